#pragma once
/// \file What a fuzz program consists of: seeds, and libFuzzer's entry point.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

/// Good inputs to begin with. Defined by each fuzz program.
std::vector<std::string> fuzz_seeds();

/// Feeds one input to the reader under test; what the reader throws for bad input is caught here, all else is a find.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace zstar::fuzz {

std::string read_whole(const std::filesystem::path& file);
/// An input as a file, for readers that take one; it is overwritten by the next. \return its path
const std::filesystem::path& as_file(const std::uint8_t* data, std::size_t size);

}  // namespace zstar::fuzz
