/// \file A mutating driver for LLVMFuzzerTestOneInput: flips, cuts, repeats, splices, and numbers that lie at the edges.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/fuzz.hpp"

namespace zstar::fuzz {

namespace fs = std::filesystem;

std::string read_whole(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const fs::path& as_file(const std::uint8_t* data, std::size_t size) {
  static const fs::path file = fs::temp_directory_path() / ("zstar-fuzz-" + std::to_string(::getpid()));
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  return file;
}

namespace {

class Mutator {
 public:
  Mutator(std::vector<std::string> seeds, std::uint64_t seed) : seeds_(std::move(seeds)), random_(seed) {}

  std::string next() {
    std::string text = seeds_[below(seeds_.size())];
    for (std::size_t n = 1 + below(6); n > 0; --n) mutate(text);
    return text;
  }

 private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

  void mutate(std::string& text) {
    const std::size_t at = below(text.size()), length = below(std::min<std::size_t>(text.size() - at, 64) + 1);
    switch (below(8)) {
      case 0: if (!text.empty()) text[at] = static_cast<char>(text[at] ^ (1 << below(8))); break;
      case 1: text.resize(at); break;                                       // cut short
      case 2: text.erase(at, length); break;
      case 3: text.insert(at, std::string(text, at, length)); break;        // twice
      case 4: text.insert(at, 1 + below(16), static_cast<char>(below(256))); break;
      case 5: edge_number(text, at); break;
      case 6: {                                                             // a piece of another seed
        const std::string& other = seeds_[below(seeds_.size())];
        const std::size_t from = below(other.size());
        text.replace(at, length, other, from, below(other.size() - from + 1));
        break;
      }
      default: text.insert(at, words_[below(std::size(words_))]); break;
    }
  }

  void edge_number(std::string& text, std::size_t at) {
    static constexpr std::uint64_t edges[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, 0xffffffffffffffff};
    const std::uint64_t value = edges[below(std::size(edges))];
    for (std::size_t i = 0, n = std::size_t{1} << below(4); i < n && at + i < text.size(); ++i) text[at + i] = static_cast<char>(value >> (8 * i));
  }

  static constexpr const char* words_[] = {"\"", "'", "\"\"\"", "[", "]]", "{", "}", "=", ".", "\n", "\\u0000", "\xff\xfe", "1e999", "-9223372036854775808",
                                           "nan", "inf", "true", "include = [\"", "name = \"", "[solver]", "[[regularizers]]", "#", "\x7f" "ELF"};
  std::vector<std::string> seeds_;
  std::mt19937_64 random_;
};

}  // namespace
}  // namespace zstar::fuzz

int main(int count, char** words) {
  const double seconds = count > 1 ? std::atof(words[1]) : 10;
  const std::uint64_t seed = count > 2 ? std::strtoull(words[2], nullptr, 10) : 1;
  const std::vector<std::string> seeds = fuzz_seeds();
  if (seeds.empty()) return std::fputs("no seeds\n", stderr), 1;
  for (const std::string& s : seeds) LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(s.data()), s.size());

  zstar::fuzz::Mutator mutator(seeds, seed);
  const auto start = std::chrono::steady_clock::now();
  std::size_t inputs = 0;
  for (; std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds; ++inputs) {
    const std::string input = mutator.next();
    zstar::fuzz::as_file(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());  // what is left of a crash
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  }
  std::filesystem::remove(zstar::fuzz::as_file(nullptr, 0));
  std::printf("%zu inputs, seed %llu\n", inputs, static_cast<unsigned long long>(seed));
}
