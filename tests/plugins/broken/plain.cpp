/// \file A plugin written by hand, with at most one fault. Without FAULT_… it is the twin that loads. It includes nothing of LibTorch,
/// so that it compiles in a second; the lines of its tag are those of this build (build_lines.hpp is generated).
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "build_lines.hpp"
#include "zstar/abi/object.hpp"

namespace {

#if defined(FAULT_OLD_STRINGS)  // with the SDK's macros it would not compile
static_assert(!_GLIBCXX_USE_CXX11_ABI, "to be compiled with the flag that it stands for");
constexpr std::string_view built_with = "cxx11abi1", instead = "cxx11abi0";
#else
constexpr std::string_view built_with = "", instead = "";
#endif

/// A note record as the macros of the SDK emit it.
template <std::size_t n>
struct Note {
  std::uint32_t owner_size = 6, text_size = n - 1, type;
  char owner[8] = "zstar";
  char text[(n + 2) / 4 * 4] = {};
};
template <std::size_t n>
constexpr Note<n> note(std::uint32_t type, const char (&text)[n]) {
  Note<n> result{.type = type};
  for (std::size_t i = 0; i + 1 < n; ++i) result.text[i] = text[i];
  if (const std::size_t at = std::string_view(text).find(built_with); at < n)
    for (std::size_t i = 0; i < instead.size(); ++i) result.text[at + i] = instead[i];
  return result;
}
#define NOTE __attribute__((section(".note.zstar"), used, aligned(4)))

[[maybe_unused]] constexpr auto ident = note(1, "tag=1\nid=fixture.plain\nversion=0.1.0\ndoc=a fixture\n" FIXTURE_BUILD_LINES);
#if !defined(FAULT_NO_TAG)
NOTE constexpr auto provides = note(2, "kind=solver\nname=plain\ndoc=made by hand\n");
#endif

#if defined(FAULT_TWO_IDENTITIES)
NOTE constexpr auto another = note(1, "tag=1\nid=fixture.other\nversion=0.1.0\ndoc=another\n" FIXTURE_BUILD_LINES);
#elif defined(FAULT_LARGE_NOTES)
NOTE constexpr Note<70 * 1024> padding{.type = 7};
#elif defined(FAULT_TAG_LISTS_MORE)
NOTE constexpr auto more = note(2, "kind=solver\nname=a\ndoc=in the tag alone\n");
#elif defined(FAULT_STATIC_TLS)
__attribute__((tls_model("initial-exec"))) thread_local char large[64 * 1024];
[[maybe_unused]] char* const touched = large;
#endif

struct Initialiser {
  Initialiser() {
#if defined(FAULT_THROWS)
    throw std::runtime_error("thrown by an initialiser");
#elif defined(FAULT_ABORTS)
    std::abort();
#elif defined(FAULT_LOOPS)
    for (volatile bool forever = true; forever;) {
    }
#elif defined(FAULT_EXITS)
    std::exit(0);
#elif defined(FAULT_PRINTS)
    std::puts("hello from an initialiser");
#elif defined(FAULT_LOCALE)
    std::setlocale(LC_ALL, "C.UTF-8");
#endif
  }
};
const Initialiser initialiser;

class Plain final : public zstar::Object {};

std::vector<zstar::OptSpec> options() {
  zstar::OptSpec beta{"beta", "mixing"};
  beta.type = zstar::OptType::real;
#if defined(FAULT_DEFAULT_OUTSIDE)
  beta.def = 2.0;
#else
  beta.def = 0.5;
#endif
  beta.high = 1;
  return {beta};
}

#if defined(FAULT_CANNOT_THROW)
#define FIXTURE_NOEXCEPT noexcept
#else
#define FIXTURE_NOEXCEPT
#endif
zstar::Object* create(const zstar::Settings& settings, zstar::Host&) FIXTURE_NOEXCEPT {
  for (const zstar::Setting& s : settings)
    if (s.name == "beta") std::get<double>(s.value);
#if defined(FAULT_CREATE_THROWS)
  throw std::runtime_error("no room for a history");
#elif defined(FAULT_CREATE_ABORTS)
  std::abort();
#endif
  return new Plain;
}

constinit zstar::Factory factory{sizeof(zstar::Factory), zstar::Kind::solver, "plain", "made by hand", options, create, nullptr};

}  // namespace

#if defined(FAULT_UNDEFINED)
int missing(int);
int use_of_missing(int n) { return missing(n); }
#endif

extern "C" {
#if !defined(FAULT_NO_TAG)
extern __attribute__((visibility("default"))) const decltype(ident) zstar_plugin_tag;
NOTE constinit const decltype(ident) zstar_plugin_tag = ident;
#endif

__attribute__((visibility("default"))) int zstar_plugin_entry(std::uint32_t, zstar::Table* out) noexcept {
#if defined(FAULT_ENTRY)
  return 7;
#elif defined(FAULT_SMALL_TABLE)
  *out = {8, zstar::abi_major, zstar::abi_minor, &factory};
#else
  *out = {sizeof(zstar::Table), zstar::abi_major, zstar::abi_minor, &factory};
#endif
  return 0;
}
}
