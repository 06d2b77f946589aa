#pragma once
/// \file Registration: the macros that make a class a part and a library a plugin.
///
/// A library has one ZSTAR_PLUGIN line in one source file, and one line for each part in any source file:
///
///     ZSTAR_PLUGIN("demo.aitken", "0.1.0", "Aitken relaxation")
///     ZSTAR_SOLVER(Aitken, "aitken", "fixed-point iteration, relaxed per sample by Aitken's rule")
///
/// A part class lives in an anonymous namespace (two libraries may each have an `Aitken`), and is either
///     Aitken(Options, zstar::Host&)  with  struct Options and static auto options(),   or
///     Aitken(zstar::Host&)           if it has no options.

#if defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
#error "zstar's plugins have the strings of C++11: link with zstar::sdk, which carries _GLIBCXX_USE_CXX11_ABI=1"
#endif

#include <type_traits>

#include "zstar/abi/tag.hpp"
#include "zstar/options.hpp"

namespace zstar::detail {

/// Parts of this library alone: hidden, so that every library has its own.
[[gnu::visibility("hidden")]] inline constinit const Factory* first_factory = nullptr;

template <class T>
std::vector<OptSpec> options_of() {
  if constexpr (requires { T::options(); }) return describe(T::options());
  else return {};
}

template <class T>
Object* create(const Settings& settings, Host& host) {
  if constexpr (requires { T::options(); }) return new T(make_options<typename T::Options>(T::options(), settings), host);
  else return new T(host);
}

struct Registrar {
  explicit Registrar(Factory& factory) noexcept {
    factory.next = first_factory;
    first_factory = &factory;
  }
};

inline int fill(std::uint32_t host_abi_major, Table* out) noexcept {
  if (out == nullptr) return 1;
  if (host_abi_major != abi_major) return 2;
  if (out->struct_size < sizeof(Table)) return 3;
  *out = Table{sizeof(Table), abi_major, abi_minor, first_factory};
  return 0;
}

}  // namespace zstar::detail

#define ZSTAR_DETAIL_JOIN2(a, b) a##b
#define ZSTAR_DETAIL_JOIN(a, b) ZSTAR_DETAIL_JOIN2(a, b)
#define ZSTAR_DETAIL_NOTE __attribute__((section(".note.zstar"), used, aligned(4)))

/// Makes the library a plugin. \param id  [a-z0-9.-]+, unique \param version  of the plugin \param doc  one line
#define ZSTAR_PLUGIN(id, version, doc)                                                                           \
  namespace {                                                                                                    \
  constexpr auto zstar_plugin_note =                                                                             \
      ::zstar::tag::note<::zstar::tag::Record::ident>([] { return ::zstar::tag::ident(id, version, doc); });     \
  }                                                                                                              \
  extern "C" {                                                                                                   \
  extern __attribute__((visibility("default"))) const decltype(zstar_plugin_note) zstar_plugin_tag;              \
  ZSTAR_DETAIL_NOTE constinit const decltype(zstar_plugin_note)           \
      zstar_plugin_tag = zstar_plugin_note;                                                                      \
  __attribute__((visibility("default"))) int zstar_plugin_entry(std::uint32_t host_abi_major,                    \
                                                                ::zstar::Table* out) noexcept {                  \
    return ::zstar::detail::fill(host_abi_major, out);                                                           \
  }                                                                                                              \
  }

#define ZSTAR_PART(base, kind_name, Class, part_name, part_doc)                                                 \
  static_assert(std::is_base_of_v<::zstar::base, Class>, #Class " must derive from zstar::" #base);             \
  namespace {                                                                                                   \
  ZSTAR_DETAIL_NOTE constexpr auto ZSTAR_DETAIL_JOIN(zstar_note_, __LINE__) =                                   \
      ::zstar::tag::note<::zstar::tag::Record::provides>(                                                       \
          [] { return ::zstar::tag::provides(#kind_name, part_name, part_doc); });                              \
  constinit ::zstar::Factory ZSTAR_DETAIL_JOIN(zstar_factory_, __LINE__){                                       \
      sizeof(::zstar::Factory),          ::zstar::Kind::kind_name,          part_name, part_doc,                \
      &::zstar::detail::options_of<Class>, &::zstar::detail::create<Class>, nullptr};                           \
  const ::zstar::detail::Registrar ZSTAR_DETAIL_JOIN(zstar_registrar_, __LINE__){                               \
      ZSTAR_DETAIL_JOIN(zstar_factory_, __LINE__)};                                                             \
  }

#define ZSTAR_SOLVER(Class, name, doc) ZSTAR_PART(Solver, solver, Class, name, doc)
#define ZSTAR_GRADIENT(Class, name, doc) ZSTAR_PART(GradientMethod, gradient, Class, name, doc)
#define ZSTAR_NORM(Class, name, doc) ZSTAR_PART(Norm, norm, Class, name, doc)
#define ZSTAR_REGULARIZER(Class, name, doc) ZSTAR_PART(Regularizer, regularizer, Class, name, doc)
#define ZSTAR_MODEL(Class, name, doc) ZSTAR_PART(Model, model, Class, name, doc)
#define ZSTAR_DATASET(Class, name, doc) ZSTAR_PART(Dataset, dataset, Class, name, doc)
