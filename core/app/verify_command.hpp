#pragma once
/// \file Verification from the command line: of `verify`, and of `plugins check --deep`.

#include <filesystem>

#include "core/app/command.hpp"
#include "core/verify/verify.hpp"

namespace zstar::app {

/// Verifies the parts of these files; other plugins are found as always.
std::vector<verify::Result> verify_files(const Arguments& arguments, const std::vector<std::filesystem::path>& files, const verify::Request& request,
                                         const std::function<void(const verify::Result&)>& seen = {});

/// "31 passed, 0 failed, 4 skipped; seed 1"
void print_verdict(const std::vector<verify::Result>& results);

}  // namespace zstar::app
