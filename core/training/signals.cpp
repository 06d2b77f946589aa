#include "core/training/signals.hpp"

#include <csignal>

namespace zstar::training {
namespace {

volatile std::sig_atomic_t noted = 0;  // what a handler may touch

void note(int signal) {
  noted = signal;
  std::signal(signal, SIG_DFL);
}

}  // namespace

SignalWatch::SignalWatch() {
  noted = 0;
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
  std::signal(SIGPIPE, SIG_IGN);  // for good: what is left for a reader that has gone is written at exit, too
}
SignalWatch::~SignalWatch() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}
int SignalWatch::caught() const { return noted; }

}  // namespace zstar::training
