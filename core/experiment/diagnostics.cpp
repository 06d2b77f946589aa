#include "core/experiment/diagnostics.hpp"

#include <algorithm>
#include <cstdint>
#include <sstream>

namespace zstar::experiment {
namespace {

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }  // within a letter of UTF-8

/// How many bytes a letter of UTF-8 takes here; 0: there is none.
std::size_t letter(const std::string& text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  for (std::size_t i = 1; i < length; ++i)
    if (at + i >= text.size() || !continues(text[at + i])) return 0;
  return length;
}

/// A line as a terminal and JSON take it: bytes that are no UTF-8 become U+FFFD, the end of a DOS line goes.
std::string readable(const std::string& line) {
  std::string text;
  for (std::size_t i = 0; i < line.size();) {
    const std::size_t length = letter(line, i);
    text += length == 0 ? "\ufffd" : line.substr(i, length);
    i += std::max<std::size_t>(1, length);
  }
  if (!text.empty() && text.back() == '\r') text.pop_back();
  return text;
}

/// The stretch of a long line around a column, which moves with it.
std::string around(const std::string& line, std::size_t& column) {
  constexpr std::size_t before = 60, most = 140;
  if (line.size() <= most) return line;
  std::size_t at = 0;  // of the byte where the column is
  for (std::size_t k = 1; k < column && at < line.size(); ++k)
    do ++at;
    while (at < line.size() && continues(line[at]));
  std::size_t begin = at > before ? at - before : 0, end = std::min(line.size(), begin + most);
  while (begin > 0 && continues(line[begin])) --begin;
  while (end < line.size() && continues(line[end])) ++end;
  column = 1 + static_cast<std::size_t>(std::count_if(line.begin() + static_cast<std::ptrdiff_t>(begin), line.begin() + static_cast<std::ptrdiff_t>(at), [](char c) { return !continues(c); }));
  if (begin > 0) column += 2;
  return (begin > 0 ? "… " : "") + line.substr(begin, end - begin) + (end < line.size() ? " …" : "");
}

}  // namespace

std::string Place::text() const {
  return line == 0 ? source : source + ':' + std::to_string(line) + ':' + std::to_string(column);
}

void Diagnostics::add_source(const std::string& name, const std::string& text) {
  std::istringstream in(text);
  auto& lines = lines_[name];
  for (std::string line; std::getline(in, line);) lines.push_back(readable(line));
  sources_.push_back(name);
}

std::string Diagnostics::format(const Message& m) const {
  std::string text = m.place.text() + ": error: " + m.what;
  const auto lines = lines_.find(m.place.source);
  if (m.place.line > 0 && lines != lines_.end() && m.place.line <= lines->second.size()) {
    const std::string number = std::to_string(m.place.line), margin(number.size() + 2, ' ');
    std::size_t column = std::max<std::uint32_t>(1, m.place.column);
    const std::string line = around(lines->second[m.place.line - 1], column);
    std::string carets;  // tabs stay tabs, so that the carets stand below the word
    for (std::size_t i = 0; i + 1 < column && i < line.size(); ++i) carets += line[i] == '\t' ? '\t' : ' ';
    const std::size_t left = line.size() >= column ? line.size() - column + 1 : 1;
    carets += std::string(std::max<std::size_t>(1, std::min<std::size_t>(m.place.length, left)), '^');
    text += "\n  " + number + " | " + line + "\n" + margin + " | " + carets;
  }
  if (!m.expected.empty()) text += "\n  expected: " + m.expected;
  if (!m.did_you_mean.empty()) text += "\n  did you mean: " + m.did_you_mean + "?";
  if (!m.remedy.empty()) text += "\n  remedy: " + m.remedy;
  return text;
}

std::vector<Message> Diagnostics::sorted() const {
  std::vector<Message> sorted = messages_;
  const auto rank = [this](const Message& m) {
    return std::find(sources_.begin(), sources_.end(), m.place.source) - sources_.begin();
  };
  std::stable_sort(sorted.begin(), sorted.end(), [&](const Message& a, const Message& b) {
    return std::tuple(rank(a), a.place.line, a.place.column) < std::tuple(rank(b), b.place.line, b.place.column);
  });
  return sorted;
}

std::vector<std::string> Diagnostics::formatted() const {
  std::vector<std::string> texts;
  for (const Message& m : sorted()) texts.push_back(format(m));
  return texts;
}

}  // namespace zstar::experiment
