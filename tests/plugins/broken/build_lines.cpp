/// \file Prints the lines that this build writes into a file tag, as a header for fixtures that include nothing of LibTorch.
#include <iostream>

#include "zstar/abi/tag.hpp"

int main() {
  std::string text = zstar::tag::build_lines();
  std::cout << "#pragma once\n#define FIXTURE_BUILD_LINES";
  for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) std::cout << " \\\n  \"" << text.substr(0, end) << "\\n\"";
  std::cout << '\n';
}
