#include "core/training/console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace zstar::training {
namespace {

/// 3725 → "1:02:05", 125 → "2:05"
std::string clock(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds);
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60) : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

/// Characters of UTF-8 text.
std::size_t length(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// The first `most` characters of UTF-8 text.
std::string cut(std::string text, std::size_t most) {
  while (length(text) > most) text.pop_back();
  return text;
}

}  // namespace

std::size_t terminal_columns() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void Console::progress(std::int64_t step, std::int64_t steps, const std::string& text) {
  using namespace std::chrono;
  const auto now = steady_clock::now();
  if (!first_) first_ = step, start_ = now;
  if (!terminal_ || now - last_ < milliseconds(100)) return;
  last_ = now;
  const double share = std::clamp(static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, steps)), 0.0, 1.0);
  const auto seen = static_cast<double>(step - *first_);
  const std::string left = seen > 0 ? clock(duration<double>(now - start_).count() / seen * static_cast<double>(steps - step)) : "-:--";
  constexpr int width = 24;
  const int done = static_cast<int>(share * width);
  const std::string bar = fmt::format("[{}{}] {:3.0f} % ", std::string(done, '='), std::string(width - done, ' '), 100 * share), eta = "  ETA " + left;
  const std::size_t columns = columns_(), most = columns > 0 ? columns - 1 : std::string::npos;  // a longer line would leave rows behind
  std::string fields = text;
  while (length(bar + fields + eta) > most && fields.rfind("  ") != std::string::npos) fields.resize(fields.rfind("  "));
  out_ << "\r\033[K" << cut(bar + fields + eta, most) << std::flush;
}

void Console::line(const std::string& text) { out_ << (terminal_ ? "\r\033[K" : "") << text << '\n' << std::flush; }

std::string table_of(const SplitMetrics& splits, const std::string& label) {
  const auto number = [](double v) { return std::isnan(v) ? "nan" : std::abs(v) < 1e6 ? fmt::format("{:.4f}", v) : fmt::format("{:.4g}", v); };
  const auto cell = [](const std::string& text, const Metric& of) { return fmt::format(" {:>{}}", text, std::max<std::size_t>(11, of.name.size())); };
  std::vector<Metric> columns;  // a split may have metrics that others lack
  const auto find = [](const std::vector<Metric>& in, const std::string& name) { return std::find_if(in.begin(), in.end(), [&](const Metric& m) { return m.name == name; }); };
  for (const auto& [split, metrics] : splits)
    for (const Metric& m : metrics)
      if (find(columns, m.name) == columns.end()) columns.push_back(m);
  std::string text = fmt::format("\n{:<12}", label);
  for (const Metric& m : columns) text += cell(m.name, m);
  for (const auto& [split, metrics] : splits) {
    text += fmt::format("\n{:<12}", split);
    for (const Metric& m : columns) {
      const auto found = find(metrics, m.name);
      text += cell(found == metrics.end() ? "-" : number(found->value), m);
    }
  }
  return text + "\n\n";
}

}  // namespace zstar::training
