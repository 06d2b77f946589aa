#pragma once
/// \file SHA-256 of files.

#include <filesystem>
#include <string>

namespace zstar::plugins {

/// SHA-256 of an open file from its start, 64 hex digits. \throws std::runtime_error  if it cannot be read
std::string sha256(int descriptor);

}  // namespace zstar::plugins
