#include "core/training/console.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace zstar::training {
namespace {

/// 3725 → "1:02:05", 125 → "2:05"
std::string clock(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds);
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60) : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

}  // namespace

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
  out_ << fmt::format("\r\033[K[{}{}] {:3.0f} % {}  ETA {}", std::string(done, '='), std::string(width - done, ' '), 100 * share, text, left) << std::flush;
}

void Console::line(const std::string& text) { out_ << (terminal_ ? "\r\033[K" : "") << text << '\n' << std::flush; }

}  // namespace zstar::training
