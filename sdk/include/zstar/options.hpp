#pragma once
/// \file Options of a part: declared once, as a table of the members of a struct.
///
///     struct Options { double beta = 1.0; std::int64_t memory = 5; };
///     static auto options() {
///       return std::tuple{zstar::opt("beta", &Options::beta, "β, mixing; 1 is undamped", zstar::within(0.0, 2.0)),
///                         zstar::opt("memory", &Options::memory, "m, residuals kept", zstar::at_least(1))};
///     }
///
/// The table is the only source of validation, help, schema and documentation; the defaults are the struct's own.

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "zstar/abi/object.hpp"

namespace zstar {

/// Thrown by a part whose options contradict one another; the host adds file, line and part.
class OptionError : public std::invalid_argument {
 public:
  OptionError(std::string option, const std::string& message) : std::invalid_argument(message), option_(std::move(option)) {}
  const std::string& option() const { return option_; }

 private:
  std::string option_;
};

struct Range {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool open_low = false, open_high = false;
};
constexpr Range at_least(double low) { return {.low = low}; }
constexpr Range above(double low) { return {.low = low, .open_low = true}; }
constexpr Range within(double low, double high) { return {.low = low, .high = high}; }
/// low ≤ value < high
constexpr Range from_below(double low, double high) { return {.low = low, .high = high, .open_high = true}; }

/// One row of an option table: a member of the struct C with its name and its words.
template <class C, class T>
struct Opt {
  const char* name;
  T C::*member;
  const char* doc;
  Range range = {};
  const char* unit = "";
  std::vector<std::string> choices = {};
  Kind part_kind = Kind::solver;
};

template <class C, class T>
Opt<C, T> opt(const char* name, T C::*member, const char* doc, Range range = {}, const char* unit = "") {
  return {name, member, doc, range, unit};
}
template <class C>
Opt<C, std::string> choice(const char* name, std::string C::*member, const char* doc, std::vector<std::string> choices) {
  return {name, member, doc, {}, "", std::move(choices)};
}
/// An option whose value is a part: `inner = { name = "anderson", memory = 3 }`, or an array of such tables.
template <class C, class T>
Opt<C, T> part(const char* name, T C::*member, const char* doc, Kind kind) {
  return {name, member, doc, {}, "", {}, kind};
}

namespace detail {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
constexpr OptType opt_type() {
  if constexpr (IsOptional<T>::value) return opt_type<typename T::value_type>();
  else if constexpr (std::is_same_v<T, bool>) return OptType::boolean;
  else if constexpr (std::is_same_v<T, std::int64_t>) return OptType::integer;
  else if constexpr (std::is_same_v<T, double>) return OptType::real;
  else if constexpr (std::is_same_v<T, std::string>) return OptType::text;
  else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) return OptType::integers;
  else if constexpr (std::is_same_v<T, std::vector<double>>) return OptType::reals;
  else if constexpr (std::is_same_v<T, std::vector<std::string>>) return OptType::texts;
  else if constexpr (std::is_same_v<T, Part>) return OptType::part;
  else {
    static_assert(std::is_same_v<T, std::vector<Part>>, "an option is bool, int64_t, double, string, a vector of these, or Part");
    return OptType::parts;
  }
}

template <class T>
OptValue to_value(const T& v) {
  if constexpr (IsOptional<T>::value) return v ? to_value(*v) : OptValue{};
  else if constexpr (std::is_same_v<T, Part>) return v.name.empty() ? OptValue{} : OptValue{std::vector<Part>{v}};
  else return OptValue{v};
}

template <class T>
void from_value(const OptValue& value, T& out) {
  if constexpr (IsOptional<T>::value) {
    if (std::holds_alternative<std::monostate>(value)) out.reset();
    else from_value(value, out.emplace());
  } else if constexpr (std::is_same_v<T, Part>) {
    if (const auto* parts = std::get_if<std::vector<Part>>(&value); parts && !parts->empty()) out = parts->front();
  } else if constexpr (std::is_same_v<T, double>) {
    out = std::holds_alternative<std::int64_t>(value) ? static_cast<double>(std::get<std::int64_t>(value)) : std::get<double>(value);
  } else {
    out = std::get<T>(value);
  }
}

}  // namespace detail

/// The rows of a table as the host sees them; defaults come from a default-made struct.
template <class C, class... T>
std::vector<OptSpec> describe(const std::tuple<Opt<C, T>...>& table) {
  const C defaults{};
  std::vector<OptSpec> specs;
  const auto add = [&]<class V>(const Opt<C, V>& row) {
    constexpr bool unset_allowed = detail::IsOptional<V>::value || std::is_same_v<V, Part>;
    specs.push_back({row.name, row.doc, row.unit, detail::opt_type<V>(), unset_allowed,
                     detail::to_value(defaults.*row.member), row.range.low, row.range.high, row.range.open_low,
                     row.range.open_high, row.choices, row.part_kind});
  };
  std::apply([&](const auto&... rows) { (add(rows), ...); }, table);
  return specs;
}
inline std::vector<OptSpec> describe(const std::tuple<>&) { return {}; }

/// Writes settings into the struct; settings of other names are left alone.
template <class C, class... T>
void assign(const std::tuple<Opt<C, T>...>& table, const Settings& settings, C& out) {
  const auto set = [&](const auto& row) {
    for (const auto& setting : settings)
      if (setting.name == row.name) detail::from_value(setting.value, out.*row.member);
  };
  std::apply([&](const auto&... rows) { (set(rows), ...); }, table);
}

/// A struct with options() from settings: the defaults, overwritten by what is set.
template <class C, class Table>
C make_options(const Table& table, const Settings& settings) {
  C result{};
  if constexpr (std::tuple_size_v<Table> > 0) assign(table, settings, result);
  return result;
}

}  // namespace zstar
