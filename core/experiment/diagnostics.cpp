#include "core/experiment/diagnostics.hpp"

#include <algorithm>
#include <cstdint>
#include <sstream>

namespace zstar::experiment {

std::string Place::text() const {
  return line == 0 ? source : source + ':' + std::to_string(line) + ':' + std::to_string(column);
}

void Diagnostics::add_source(const std::string& name, const std::string& text) {
  std::istringstream in(text);
  auto& lines = lines_[name];
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  sources_.push_back(name);
}

std::string Diagnostics::format(const Message& m) const {
  std::string text = m.place.text() + ": error: " + m.what;
  const auto lines = lines_.find(m.place.source);
  if (m.place.line > 0 && lines != lines_.end() && m.place.line <= lines->second.size()) {
    const std::string number = std::to_string(m.place.line), margin(number.size() + 2, ' ');
    const std::string& line = lines->second[m.place.line - 1];
    const std::size_t column = std::max<std::uint32_t>(1, m.place.column);
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
