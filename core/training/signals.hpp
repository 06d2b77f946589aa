#pragma once
/// \file SIGINT and SIGTERM as a flag that the training loop reads between steps; a reader of the output that goes away ends nothing.

namespace zstar::training {

/// While it lives, the first signal is noted and a second one ends the process as usual.
class SignalWatch {
 public:
  SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch();
  /// The signal that came; 0: none.
  int caught() const;
};

}  // namespace zstar::training
