#include "core/plugins/compatibility.hpp"

#include <algorithm>
#include <array>

#include "core/plugins/mapped.hpp"
#include "zstar/abi/tag.hpp"
#include "zstar/abi_history.hpp"  // generated: abi_history

namespace zstar::plugins {
namespace {

bool starts(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

std::pair<std::string, std::string> split_version(const std::string& version) {
  const std::size_t dot = version.find('.');
  const std::size_t second = version.find('.', dot == std::string::npos ? dot : dot + 1);
  return {version.substr(0, dot), dot == std::string::npos ? "" : version.substr(dot + 1, second - dot - 1)};
}

struct Comparison {
  const Lines &theirs, &ours;
  std::string them(std::string_view key) const { return value_of(theirs, key); }
  std::string us(std::string_view key) const { return value_of(ours, key); }
  bool equal(std::string_view key) const { return them(key) == us(key); }
};

std::optional<Refusal> abi(const Comparison& c) {
  const auto [major, minor] = split_version(c.them("abi"));
  const auto [own_major, own_minor] = split_version(c.us("abi"));
  const bool newer = major == own_major && std::atoi(minor.c_str()) > std::atoi(own_minor.c_str());
  if (major != own_major || newer)
    return Refusal{"Z122", "needs SDK " + c.them("abi") + ", this zstar has " + c.us("abi"), "",
                   newer ? "use a newer zstar, or build the plugin against this one" : "build the plugin against this zstar"};
  const bool listed = std::any_of(abi_history.begin(), abi_history.end(),
                                  [&](const AbiRow& row) { return c.them("abi") == row.number && c.them("sdk") == row.hash; });
  if (!c.equal("sdk") && !listed)
    return Refusal{"Z123", "built against other SDK headers (" + c.them("sdk") + ") that call themselves " + c.them("abi"),
                   c.us("sdk"), "build the plugin against this zstar's SDK"};
  return std::nullopt;
}

std::optional<Refusal> build(const Comparison& c) {
  if (!c.equal("stdlib") || !c.equal("stddbg"))
    return Refusal{"Z126", "built with " + c.them("stdlib") + " (" + c.them("stddbg") + "), this zstar with " +
                               c.us("stdlib") + " (" + c.us("stddbg") + ")", "", "use the target zstar::sdk, which carries the flag"};
  if (!c.equal("sanitizer")) {
    const auto words = [](const std::string& s) { return s == "none" ? "without a sanitizer" : "with the " + s + " sanitizer"; };
    return Refusal{"Z127", "built " + words(c.them("sanitizer")) + ", this zstar " + words(c.us("sanitizer")), "",
                   "build both alike"};
  }
  if (!c.equal("layout"))
    return Refusal{"Z124", "sizes of shared types differ (host " + c.us("layout") + ", plugin " + c.them("layout") + ")", "",
                   "remove flags that change layout (-fpack-struct, -fshort-enums, -malign-double, _GLIBCXX_DEBUG)"};
  const auto [major, minor] = split_version(c.them("torch"));
  if (std::pair(major, minor) != split_version(c.us("torch")))
    return Refusal{"Z125", "built for LibTorch " + c.them("torch") + ", this zstar runs " + c.us("torch"), "",
                   "rebuild the plugin against this LibTorch"};
  return std::nullopt;
}

bool cpu_has(std::string_view set) {
#if defined(__x86_64__)
  if (set == "avx") return __builtin_cpu_supports("avx");
  if (set == "avx2") return __builtin_cpu_supports("avx2");
  if (set == "fma") return __builtin_cpu_supports("fma");
  if (set == "avx512f") return __builtin_cpu_supports("avx512f");
#endif
  return set == "baseline";
}

std::optional<Refusal> machine(const Comparison& c, const std::vector<std::string>& mapped) {
  std::string sets = c.them("cpu");
  while (!sets.empty()) {
    const std::string set = sets.substr(0, sets.find(','));
    sets.erase(0, std::min(sets.size(), set.size() + 1));
    if (!cpu_has(set))
      return Refusal{"Z128", "needs the instruction set " + set + ", which this processor lacks", "", "build it without -march"};
  }
  const bool has_cuda = std::any_of(mapped.begin(), mapped.end(), [](const auto& m) { return starts(m, "libtorch_cuda.so"); });
  if (c.them("cuda") != "none" && !has_cuda)
    return Refusal{"Z129", "needs CUDA " + c.them("cuda") + ", which this process has not", "",
                   "use a LibTorch with CUDA, and experiment.device = \"cuda\""};
  return std::nullopt;
}

/// libtorch_cpu.so.1.13 → libtorch_cpu.so
std::string stem(const std::string& name) { return name.substr(0, name.find(".so") + 3); }

std::optional<Refusal> libraries(const FileTag& tag, const std::vector<std::string>& mapped) {
  bool runtime = false;
  for (const std::string& name : tag.needed) {
    runtime = runtime || name == "libstdc++.so.6" || starts(name, "libc++");
    const bool loaded = std::find(mapped.begin(), mapped.end(), name) != mapped.end();
    if (loaded) continue;
    if (starts(name, "libtorch") || starts(name, "libc10")) {
      for (const std::string& m : mapped)
        if (stem(m) == stem(name))
          return Refusal{"Z133", "links " + name + ", this process uses " + m, "",
                         "remove the RPATH and configure with the same LibTorch"};
      if (name.find("cuda") != std::string::npos)
        return Refusal{"Z129", "needs " + name + ", which this process has not loaded", "", "use a LibTorch with CUDA"};
    }
    constexpr std::array<std::string_view, 3> openmp{"libgomp", "libomp", "libiomp"};
    for (const auto& theirs : openmp)
      for (const auto& ours : openmp)
        if (starts(name, theirs))
          for (const std::string& m : mapped)
            if (starts(m, ours))
              return Refusal{"Z134", "brings " + name + " beside " + m, "one OpenMP in a process", "build it with this compiler"};
  }
  if (!runtime)
    return Refusal{"Z135", "carries its own C++ runtime", "libstdc++.so.6 among the libraries it needs",
                   "do not link with -static-libstdc++"};
  return std::nullopt;
}

}  // namespace

std::vector<std::string> mapped_libraries() {
  std::vector<std::string> names;
  for (MappedLibrary& library : mapped()) names.push_back(std::move(library.name));
  return names;
}

const Lines& own_lines() {
  static const Lines lines = *parse_lines(tag::build_lines());
  return lines;
}

std::optional<Refusal> incompatibility(const FileTag& tag, const Lines& own, const std::vector<std::string>& mapped) {
  const Comparison c{tag.ident, own};
  if (c.them("tag") != std::to_string(tag::format))
    return Refusal{"Z121", "has a tag of format " + c.them("tag") + ", this zstar reads " + std::to_string(tag::format), "",
                   "build it against this zstar"};
  for (const char* key : {"id", "version", "abi", "sdk", "layout", "torch", "stdlib", "stddbg", "sanitizer", "cpu", "cuda"})
    if (c.them(key).empty()) return Refusal{"Z113", std::string("the tag lacks the key '") + key + "'", "", "build it again"};
  if (c.them("id").find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") != std::string::npos)
    return Refusal{"Z113", "the id '" + c.them("id") + "' has characters other than a–z, 0–9, '.' and '-'", "", "rename it"};
  if (auto refusal = abi(c)) return refusal;
  if (auto refusal = build(c)) return refusal;
  if (auto refusal = machine(c, mapped)) return refusal;
  return libraries(tag, mapped);
}

}  // namespace zstar::plugins
