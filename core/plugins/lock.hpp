#pragma once
/// \file Lock files: what an experiment was run with, and whether it is the same now.

#include <optional>
#include <string>
#include <vector>

#include "core/plugins/mapped.hpp"
#include "core/plugins/refusal.hpp"

namespace zstar::plugins {

inline constexpr const char* lock_name = "plugins.lock.toml";

/// This process's libtorch_cpu.
MappedLibrary torch_library();

/// The text of a lock file: a table [libtorch], an array [[plugins]].
std::string to_toml(const Lock& lock);

/// The first field in which a plugin differs from the lock, or that the lock lacks it (Z141).
std::optional<Refusal> difference(const Lock& lock, const UsedPlugin& now);
/// The same for LibTorch.
std::optional<Refusal> torch_difference(const Lock& lock);

/// What `text` pins: "ID@VERSION" or "ID@sha256:HEX". \return nothing if it is neither
std::optional<Pin> parse_pin(const std::string& text);
/// Why a plugin is not what was pinned (Z141).
std::optional<Refusal> difference(const Pin& pin, const UsedPlugin& now);

/// 64 hex digits of "sha256:HEX" or "HEX". \return nothing if it is neither
std::optional<std::string> parse_digest(const std::string& text);

}  // namespace zstar::plugins
