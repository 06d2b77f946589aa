#pragma once
/// \file The names nearest to a misspelt one, for messages.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace zstar {

/// Least number of insertions, deletions, replacements and swaps of neighbours (Damerau, Comm. ACM 7, 1964) between words.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    next[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) next[j] = std::min(next[j], before[j - 2] + 1);
    }
    before.swap(row);
    row.swap(next);
  }
  return row[b.size()];
}

/// At most three of `names` within a third of the letters of `word` (at least one), nearest first.
inline std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& names) {
  std::vector<std::pair<std::size_t, std::string>> found;
  const std::size_t allowed = std::max<std::size_t>(1, word.size() / 3);
  for (const std::string& name : names)
    if (const std::size_t d = edit_distance(word, name); d <= allowed) found.emplace_back(d, name);
  std::sort(found.begin(), found.end());
  std::vector<std::string> result;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, found.size()); ++i) result.push_back(found[i].second);
  return result;
}

/// 'a', 'b', 'c'
inline std::string quoted(const std::vector<std::string>& names, std::string_view separator = ", ") {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "'" : std::string(separator) + "'") + name + "'";
  return text;
}

}  // namespace zstar
