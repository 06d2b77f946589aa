#pragma once
/// \file The file tag: ELF notes that say what a library is and offers, readable without running it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/version.h>

#include "zstar/abi/gradient.hpp"
#include "zstar/abi/host.hpp"
#include "zstar/abi/model.hpp"
#include "zstar/abi/object.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/abi_hash.hpp"  // generated: ZSTAR_SDK_HASH

namespace zstar::tag {

/// Note types, with owner "zstar" in section ".note.zstar".
enum class Record : std::uint32_t { ident = 1, provides = 2 };

inline constexpr int format = 1;

constexpr std::string to_text(std::uint64_t n) {
  std::string digits;
  do digits.insert(digits.begin(), static_cast<char>('0' + n % 10));
  while (n /= 10);
  return digits;
}

/// Sizes and alignments of what crosses the boundary, folded by FNV-1a (64 bits).
class Layout {
 public:
  template <class... T>
  static constexpr std::uint64_t of() {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const std::size_t n : std::array{sizeof(T)..., alignof(T)...}) hash = (hash ^ n) * 1099511628211ULL;
    return hash;
  }
};

constexpr std::string layout() {
  constexpr std::uint64_t hash =
      Layout::of<std::string, std::string_view, std::vector<int>, std::function<void()>, std::shared_ptr<int>,
                 std::unique_ptr<int>, std::variant<int, double>, torch::Tensor, torch::IValue, torch::TensorOptions,
                 torch::nn::Module, at::Generator, Object, OptValue, Setting, Part, OptSpec, Factory, Table, State,
                 Captured, FixedPointMap, Trace, Report, SolveOptions, Equilibrium, Limits, AdjointProblem, Geometry,
                 Stored, Solved, Batch, Description, Metric, Solver, Products, EquilibriumLayer, GradientMethod, Norm,
                 Regularizer, Dataset, Model, Host>();
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[(hash >> shift) & 15];
  return text;
}

constexpr std::string torch_version() {
  return to_text(TORCH_VERSION_MAJOR) + '.' + to_text(TORCH_VERSION_MINOR) + '.' + to_text(TORCH_VERSION_PATCH);
}

constexpr std::string compiler() {
#if defined(__clang__)
  return "clang-" + to_text(__clang_major__);
#else
  return "gcc-" + to_text(__GNUC__);
#endif
}

constexpr std::string stdlib() {
#if defined(_LIBCPP_VERSION)
  return "libc++-" + to_text(_LIBCPP_ABI_VERSION);
#elif defined(_GLIBCXX_USE_CXX11_ABI) && _GLIBCXX_USE_CXX11_ABI
  return "libstdc++-cxx11abi1";
#else
  return "libstdc++-cxx11abi0";
#endif
}

constexpr std::string stdlib_debug() {
#if defined(_GLIBCXX_DEBUG)
  return "debug";
#else
  return "plain";
#endif
}

constexpr std::string sanitizer() {
#if defined(__SANITIZE_ADDRESS__)
  return "address";
#elif defined(__SANITIZE_THREAD__)
  return "thread";
#else
  return "none";
#endif
}

constexpr std::string assertions() {
#if defined(NDEBUG)
  return "off";
#else
  return "on";
#endif
}

/// Instruction sets that the compiler was allowed to use beyond the x86-64 baseline.
constexpr std::string cpu() {
  std::string sets;
#if defined(__AVX__)
  sets += "avx,";
#endif
#if defined(__AVX2__)
  sets += "avx2,";
#endif
#if defined(__FMA__)
  sets += "fma,";
#endif
#if defined(__AVX512F__)
  sets += "avx512f,";
#endif
  if (sets.empty()) return "baseline";
  sets.pop_back();
  return sets;
}

constexpr std::string cuda() {
#if defined(ZSTAR_PLUGIN_CUDA)
  return ZSTAR_PLUGIN_CUDA;  // "13.0:sm_90", set by zstar_add_plugin for libraries with kernels
#else
  return "none";
#endif
}

/// What a build says of itself; the host compares its own values with those of a plugin.
constexpr std::string build_lines() {
  return "abi=" + to_text(abi_major) + '.' + to_text(abi_minor) + "\nsdk=" ZSTAR_SDK_HASH "\nlayout=" + layout() +
         "\ntorch=" + torch_version() + "\ncompiler=" + compiler() + "\nstdlib=" + stdlib() +
         "\nstddbg=" + stdlib_debug() + "\nsanitizer=" + sanitizer() + "\nassert=" + assertions() + "\ncpu=" + cpu() +
         "\ncuda=" + cuda() + '\n';
}

constexpr std::string ident(std::string_view id, std::string_view version, std::string_view doc) {
  return "tag=" + to_text(format) + "\nid=" + std::string(id) + "\nversion=" + std::string(version) +
         "\ndoc=" + std::string(doc) + '\n' + build_lines();
}

constexpr std::string provides(std::string_view kind, std::string_view name, std::string_view doc) {
  return "kind=" + std::string(kind) + "\nname=" + std::string(name) + "\ndoc=" + std::string(doc) + '\n';
}

/// One ELF note record with its text, padded to four bytes.
template <std::size_t length>
struct Note {
  std::uint32_t owner_size = 6, text_size = length;
  Record type;
  char owner[8] = "zstar";
  char text[(length + 3) / 4 * 4] = {};
};

template <Record type, class Text>
consteval auto note(Text text) {
  Note<Text{}().size()> result{.type = type};
  const std::string s = text();
  for (std::size_t i = 0; i < s.size(); ++i) result.text[i] = s[i];
  return result;
}

}  // namespace zstar::tag
