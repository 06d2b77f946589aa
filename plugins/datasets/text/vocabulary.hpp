#pragma once
/// \file The tokens of a text and their numbers: built by counting, saved in a file of one token a line, read again.

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <zstar/formats/files.hpp>
#include <zstar/nearest.hpp>

namespace zstar_text {
namespace {

namespace fs = std::filesystem;

/// How a text is cut into tokens.
enum class Level { word, character, byte };

inline const char* name_of(Level level) { return level == Level::word ? "word" : level == Level::character ? "character" : "byte"; }

/// The end of a line, a token of its own where tokens are words.
inline constexpr std::string_view end_of_line = "<eos>";

inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Bytes of the character that begins at `at`; 0 if it is not UTF-8, or zero, which no text holds.
inline std::size_t character_size(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t size = first == 0 ? 0 : first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (size == 0 || at + size > text.size()) return 0;
  for (std::size_t k = 1; k < size; ++k)
    if ((static_cast<unsigned char>(text[at + k]) & 0xc0) != 0x80) return 0;
  return size;
}

/// Where a text is not UTF-8. \throws zstar::formats::FormatError
[[noreturn]] inline void not_text(std::size_t at) {
  throw zstar::formats::FormatError("is not UTF-8 text: byte " + std::to_string(at) + " begins no character; level = \"byte\" takes any file");
}

/// Calls visit(token) for every token in order. Words: those between spaces, and `<eos>` after every line, blank ones included.
/// \throws zstar::formats::FormatError  for characters that are not UTF-8
template <class F>
void for_each_token(std::string_view text, Level level, const F& visit) {
  if (level != Level::word) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = level == Level::byte ? 1 : character_size(text, at);
      if (size == 0) not_text(at);
      visit(text.substr(at, size));
      at += size;
    }
    return;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    for (std::size_t from = at; from < end;) {
      std::size_t to = from;
      while (to < end && !is_space(text[to])) {
        const std::size_t size = character_size(text, to);
        if (size == 0) not_text(to);
        to += size;
      }
      if (to > from) visit(text.substr(from, to - from));
      from = to + 1;
    }
    visit(end_of_line);
    at = end + 1;
  }
}

class Vocabulary {
 public:
  /// Tokens by falling count, ties in the order of first appearance; of words, `<eos>` before all. \param rest  texts whose other tokens follow, as they appear
  static Vocabulary count(const std::vector<std::string_view>& texts, Level level, const std::vector<std::string_view>& rest) {
    std::unordered_map<std::string_view, std::size_t> known;
    std::vector<std::pair<std::string_view, std::int64_t>> counts;
    if (level == Level::word) known[end_of_line] = 0, counts.emplace_back(end_of_line, 0);
    for (const std::string_view text : texts)
      for_each_token(text, level, [&](std::string_view token) {
        const auto [entry, fresh] = known.emplace(token, counts.size());
        if (fresh) counts.emplace_back(token, 0);
        ++counts[entry->second].second;
      });
    std::stable_sort(counts.begin() + (level == Level::word ? 1 : 0), counts.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    Vocabulary v(level);
    for (const auto& entry : counts) v.add(std::string(entry.first));
    for (const std::string_view text : rest) for_each_token(text, level, [&](std::string_view token) { v.add(std::string(token)); });
    return v;
  }

  /// \throws std::runtime_error  naming the file and the line, if it is not such a file
  static Vocabulary load(const fs::path& file, Level level) {
    const auto bytes = zstar::formats::read_file(file);
    std::string_view text = zstar::formats::as_text(bytes);
    const std::string header = header_of(level);
    if (text.substr(0, header.size()) != header)
      zstar::formats::damaged(file, "is no vocabulary of " + std::string(name_of(level)) + "s: its first line is not '" + header.substr(0, header.size() - 1) + "'");
    Vocabulary v(level);
    std::size_t line = 2;
    for (std::size_t at = header.size(); at < text.size(); ++line) {
      const std::size_t end = text.find('\n', at);
      if (end == std::string_view::npos) zstar::formats::damaged(file, "is cut short: line " + std::to_string(line) + " does not end");
      const std::string token = unescaped(text.substr(at, end - at));
      if (token.empty() || !v.add(token)) zstar::formats::damaged(file, "line " + std::to_string(line) + (token.empty() ? " is empty" : " repeats a token"));
      at = end + 1;
    }
    return v;
  }

  /// What a file of it holds.
  std::string bytes() const {
    std::string text = header_of(level_);
    for (const std::string& token : tokens_) text += escaped(token) + '\n';
    return text;
  }

  void save(const fs::path& file) const {
    const fs::path part = file.string() + ".part";
    {
      std::ofstream out(part, std::ios::binary);
      out << bytes();
      if (!out.flush()) throw std::runtime_error(file.string() + ": the vocabulary cannot be written there");
    }
    fs::rename(part, file);
  }

  std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }
  Level level() const { return level_; }
  const std::string& token(std::int64_t number) const { return tokens_[static_cast<std::size_t>(number)]; }
  /// −1: not known.
  std::int32_t find(std::string_view token) const {
    const auto found = numbers_.find(std::string(token));
    return found == numbers_.end() ? -1 : found->second;
  }
  /// A line of a message with the words nearest to one that is not known; empty where there is none, or tokens are no words.
  std::string near(std::string_view token) const {
    if (level_ != Level::word) return "";
    const std::string words = zstar::quoted(zstar::nearest(token, tokens_));
    return words.empty() ? "" : "\n  did you mean: " + words + "?";
  }

 private:
  explicit Vocabulary(Level level) : level_(level) {}

  bool add(std::string token) {
    const bool fresh = numbers_.emplace(token, static_cast<std::int32_t>(tokens_.size())).second;
    if (fresh) tokens_.push_back(std::move(token));
    return fresh;
  }

  static std::string header_of(Level level) { return std::string("zstar vocabulary, ") + name_of(level) + "\n"; }
  static std::string escaped(const std::string& token) {
    std::string out;
    for (const char c : token) {
      if (c == '\n') out += "\\n";
      else if (c == '\\') out += "\\\\";
      else out += c;
    }
    return out;
  }
  static std::string unescaped(std::string_view line) {
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] != '\\' || i + 1 == line.size()) out += line[i];
      else out += line[++i] == 'n' ? '\n' : line[i];
    }
    return out;
  }

  Level level_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, std::int32_t> numbers_;
};

}  // namespace
}  // namespace zstar_text
