#pragma once
/// \file Refusals: why a plugin file or part cannot be used, as a code and sentences.

#include <string>

#include "core/plugins/catalogue.hpp"

namespace zstar::plugins {

/// One row of the table of codes in docs/plugins.md, which a test compares with this one.
struct CodeText {
  const char *code, *meaning, *remedy;
};
/// All codes, rising.
const std::vector<CodeText>& codes();

/// What is wrong, what was expected, what to do. Parts that do not apply are empty; without a remedy that of the code is taken.
struct Refusal {
  std::string code, what, expected, remedy;

  /// "FILE: error: WHAT [CODE]" and the other sentences on lines of their own.
  std::string message(const std::string& file) const {
    std::string text = file + ": error: " + what + " [" + code + "]";
    if (!expected.empty()) text += "\n  expected: " + expected;
    if (text.find("\n  remedy: ") != std::string::npos) return text;  // what a part said may hold one
    for (const CodeText& c : codes())
      if (code == c.code) text += std::string("\n  remedy: ") + (remedy.empty() ? c.remedy : remedy);
    return text;
  }
  PluginError error(const std::string& file) const { return {code, message(file)}; }
};

}  // namespace zstar::plugins
