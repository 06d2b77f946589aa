#pragma once
/// \file ProbeRun: one forward and backward pass of a session, with all that the layer did in it.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/training/session.hpp"

namespace zstar::training {

struct ProbeRun {
  Tensor loss;
  Tensor gradient;                                          ///< of all parameters as one vector, float64 on the CPU; undefined: no backward pass was asked for
  std::vector<Solved> solves;
  std::vector<std::shared_ptr<gradient::Watched>> watched;  ///< of the solves that were joined to the graph
  double forward_milliseconds = 0, backward_milliseconds = 0;
};

/// whole: forward and backward; evaluation: forward as a trained model is used, without gradient.
enum class Pass : std::uint8_t { whole, forward, evaluation };

/// Runs passes that do not influence one another: buffers, gradients, random numbers, remembered
/// starts and what the model carries are as in the first one.
class Prober {
 public:
  /// \param batch  on the device of the session
  Prober(Session& session, Batch batch);

  /// The loss is that of the last output.
  ProbeRun run(Pass pass = Pass::whole) { return run(batch_, pass); }
  /// The same with another batch.
  ProbeRun run(const Batch& batch, Pass pass);
  const Batch& batch() const { return batch_; }

 private:
  void restore();

  Session& session_;
  Batch batch_;
  std::vector<std::pair<Tensor, Tensor>> buffers_;  // of the model, and what they were
  std::vector<std::pair<std::string, Tensor>> carried_;
};

/// The first batch of a training run of the session. \param samples  at most so many of it; 0: all
/// \throws std::runtime_error  if there is none
Batch first_batch(Session& session, std::int64_t batch_size, std::int64_t samples);

/// The solve of one call, whatever the number of its slices: begun as the first, ended as the last, with the evaluations of all.
Report whole_solve(const Equilibrium& equilibrium);

/// "3.1e-05"; "not measured" for a NaN.
std::string residual_text(double residual);

/// The largest number, or one that is not finite where there is such a one.
double greatest(const std::vector<double>& values);

/// The reason of the sample that went worst.
Reason worst(const std::vector<Reason>& reasons);

}  // namespace zstar::training
