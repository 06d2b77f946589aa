/// \file Results as TAP and as JUnit.
#include <sstream>

#include "core/verify/verify.hpp"

namespace zstar::verify {
namespace {

std::string title(const Result& r) { return std::string(plugins::to_string(r.kind)) + " " + r.part + ": " + r.check; }

std::string numbers(const Result& r) {
  std::string line;
  for (const auto& [name, value] : r.numbers) line += (line.empty() ? "" : ", ") + name + " " + text(value);
  return line;
}

std::string in_one_line(std::string sentence) {
  for (char& c : sentence)
    if (c == '\n') c = ' ';
  return sentence;
}

std::string escaped(const std::string& raw) {
  std::string out;
  for (const char c : raw) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') out += ' ';
    else out += c;
  }
  return out;
}

}  // namespace

std::string tap(const std::vector<Result>& results) {
  std::ostringstream out;
  out << "TAP version 13\n1.." << results.size() << '\n';
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Result& r = results[i];
    out << (r.outcome == Outcome::failed ? "not ok " : "ok ") << i + 1 << " - " << title(r);
    if (r.outcome == Outcome::skipped) out << " # SKIP " << in_one_line(r.why);
    out << "\n  ---\n  seed: " << r.seed << '\n';
    if (r.outcome == Outcome::failed) out << "  why: '" << in_one_line(r.why) << "'\n";
    if (!r.numbers.empty()) out << "  numbers: '" << numbers(r) << "'\n";
    out << "  ...\n";
  }
  return out.str();
}

std::string junit(const std::vector<Result>& results) {
  const auto suite_of = [](const Result& r) { return std::string(plugins::to_string(r.kind)) + "." + r.part; };
  std::ostringstream out;
  out << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
  for (std::size_t begin = 0; begin < results.size();) {
    const std::string suite = suite_of(results[begin]);
    std::size_t end = begin, failures = 0, skipped = 0;
    for (; end < results.size() && suite_of(results[end]) == suite; ++end)
      failures += results[end].outcome == Outcome::failed, skipped += results[end].outcome == Outcome::skipped;
    out << "  <testsuite name=\"" << escaped(suite) << "\" tests=\"" << end - begin << "\" failures=\"" << failures << "\" skipped=\"" << skipped << "\">\n";
    for (std::size_t i = begin; i < end; ++i) {
      const Result& r = results[i];
      out << "    <testcase classname=\"" << escaped(suite) << "\" name=\"" << escaped(r.check) << "\" time=\"" << r.seconds << "\">";
      if (r.outcome == Outcome::failed) out << "<failure message=\"" << escaped(r.why) << "\"/>";
      if (r.outcome == Outcome::skipped) out << "<skipped message=\"" << escaped(r.why) << "\"/>";
      if (!r.numbers.empty()) out << "<system-out>" << escaped(numbers(r)) << ", seed " << r.seed << "</system-out>";
      out << "</testcase>\n";
    }
    out << "  </testsuite>\n";
    begin = end;
  }
  out << "</testsuites>\n";
  return out.str();
}

}  // namespace zstar::verify
