#include "core/training/console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

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

}  // namespace zstar::training
