#pragma once
/// \file State of the whole process that a plugin might change by accident: saved, compared, put back.

#include <string>
#include <vector>

#include <torch/types.h>

namespace zstar::plugins {

/// Remembers floating-point control, locale, grad mode, default dtype and the number of threads; destruction puts them back.
class ProcessState {
 public:
  enum class Also { nothing, random, random_and_output };

  /// \param also  the random state too; what is printed meanwhile is kept from standard output
  explicit ProcessState(Also also = Also::nothing);
  ProcessState(const ProcessState&) = delete;
  ProcessState& operator=(const ProcessState&) = delete;
  ~ProcessState() { restore("then"); }

  /// Puts everything back. \param when  "while loading" \return a sentence for each change, with its code
  std::vector<std::string> restore(const std::string& when);

 private:
  void restore_output(const std::string& when, std::vector<std::string>& changes);

  std::string locale_;
  bool grad_, restored_ = false;
  caffe2::TypeMeta dtype_;
  int threads_, output_ = -1, stdout_ = -1;
  torch::Tensor random_;
  unsigned control_ = 0;
};

}  // namespace zstar::plugins
