#include "core/training/console.hpp"

#include <fmt/format.h>

namespace zstar::training {

void Console::progress(double share, const std::string& text) {
  using namespace std::chrono;
  const auto now = steady_clock::now();
  if (!terminal_ || now - last_ < milliseconds(100)) return;
  last_ = now;
  const double seconds = duration<double>(now - start_).count(), left = share > 0 ? seconds * (1 - share) / share : 0;
  constexpr int width = 24;
  const int done = static_cast<int>(share * width);
  out_ << fmt::format("\r\033[K[{}{}] {:3.0f} % {}  ETA {:.0f}:{:02.0f}", std::string(done, '='), std::string(width - done, ' '), 100 * share,
                      text, std::floor(left / 60), std::fmod(std::floor(left), 60.0))
       << std::flush;
}

void Console::line(const std::string& text) { out_ << (terminal_ ? "\r\033[K" : "") << text << '\n' << std::flush; }

}  // namespace zstar::training
