#include "core/experiment/spec_text.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "zstar/nearest.hpp"

namespace zstar::experiment {
namespace {

std::string number(double v) {
  if (std::isinf(v)) return v > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", v);
  return text;
}

std::string real_value(double v) {
  const std::string text = number(v);
  return text.find_first_of(".einf") == std::string::npos ? text + ".0" : text;
}

std::string escaped(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else out += c;
  }
  return out + '"';
}

template <class T, class F>
std::string list(const std::vector<T>& items, const F& text) {
  std::string out = "[";
  for (const T& item : items) out += (out.size() > 1 ? ", " : "") + text(item);
  return out + "]";
}

std::string part_value(const Part& part) {
  std::string out = "{ name = " + escaped(part.name);
  for (const Setting& s : part.settings)
    if (!std::holds_alternative<std::monostate>(s.value)) out += ", " + s.name + " = " + to_toml_value(s.value);
  return out + " }";
}

struct Printer {
  std::string operator()(std::monostate) const { return ""; }
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(std::int64_t v) const { return std::to_string(v); }
  std::string operator()(double v) const { return real_value(v); }
  std::string operator()(const std::string& v) const { return escaped(v); }
  std::string operator()(const std::vector<std::int64_t>& v) const { return list(v, [](std::int64_t i) { return std::to_string(i); }); }
  std::string operator()(const std::vector<double>& v) const { return list(v, real_value); }
  std::string operator()(const std::vector<std::string>& v) const { return list(v, escaped); }
  std::string operator()(const std::vector<Part>& v) const { return v.size() == 1 ? part_value(v[0]) : list(v, part_value); }
};

std::string range_text(const OptSpec& s) {
  const bool low = std::isfinite(s.low), high = std::isfinite(s.high);
  if (low && high) return fmt::format(" in {}{}, {}{}", s.open_low ? '(' : '[', number(s.low), number(s.high), s.open_high ? ')' : ']');
  if (low) return fmt::format(" {} {}", s.open_low ? ">" : "≥", number(s.low));
  if (high) return fmt::format(" {} {}", s.open_high ? "<" : "≤", number(s.high));
  return "";
}

bool inside(const OptSpec& s, double v) {
  if (std::isnan(v)) return false;
  return (s.open_low ? v > s.low : v >= s.low) && (s.open_high ? v < s.high : v <= s.high);
}

}  // namespace

std::string to_toml_value(const OptValue& value) { return std::visit(Printer{}, value); }

std::string type_text(const OptSpec& s) {
  if (!s.choices.empty()) return "one of " + quoted(s.choices);
  switch (s.type) {
    case OptType::boolean: return "true or false";
    case OptType::integer: return "integer" + range_text(s);
    case OptType::real: return "real" + range_text(s);
    case OptType::text: return "text";
    case OptType::integers: return "array of integers" + range_text(s) + ", or one";
    case OptType::reals: return "array of reals" + range_text(s) + ", or one";
    case OptType::texts: return "array of texts, or one";
    case OptType::part: return "table { name = … }";
    case OptType::parts: return "array of tables { name = … }";
  }
  return "";
}

std::string summary(const OptSpec& s) {
  const std::string def = to_toml_value(s.def);
  return s.name + " (" + type_text(s) + (def.empty() ? ", unset by default)" : ", default " + def + ")");
}

std::string range_fault(const OptSpec& s, const OptValue& value) {
  const auto check = [&](double v) { return inside(s, v) ? "" : number(v) + " is out of range"; };
  if (const auto* i = std::get_if<std::int64_t>(&value)) return check(static_cast<double>(*i));
  if (const auto* d = std::get_if<double>(&value)) return check(*d);
  if (const auto* is = std::get_if<std::vector<std::int64_t>>(&value))
    for (const std::int64_t i : *is)
      if (auto fault = check(static_cast<double>(i)); !fault.empty()) return fault;
  if (const auto* ds = std::get_if<std::vector<double>>(&value))
    for (const double d : *ds)
      if (auto fault = check(d); !fault.empty()) return fault;
  if (const auto* t = std::get_if<std::string>(&value); t && !s.choices.empty())
    if (std::find(s.choices.begin(), s.choices.end(), *t) == s.choices.end()) return "'" + *t + "' is none of the choices";
  return "";
}

}  // namespace zstar::experiment
