#pragma once
/// \file Texts made from the table of commands: help, man page, page of the documentation.

#include <string>
#include <utility>
#include <vector>

#include "core/app/command.hpp"

namespace zstar::app {

inline constexpr const char* program_summary = "deep equilibrium models from solvers, gradients and models that are plugins";

/// Every exit code and what it means.
const std::vector<std::pair<int, std::string>>& exit_codes();

/// Options as shown: "-s, --set section.key=value" and what it is for; words without dashes are left out.
std::vector<std::pair<std::string, std::string>> option_rows(const Command& command);

std::string help();
std::string help(const Command& command);
/// The man page, in the macros of man(7).
std::string manual();
/// The same as Markdown.
std::string manual_markdown();

}  // namespace zstar::app
