#pragma once
/// \file Solver: an update rule for batches of fixed-point problems; services it may use.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zstar/abi/object.hpp"
#include "zstar/abi/state.hpp"

namespace zstar {

/// An update rule over iterates of shape [B, D]. It neither stops, nor counts, nor couples samples.
class Solver : public Object {
 public:
  /// Forgets everything; the next iterates are [batch, width].
  virtual void begin(std::int64_t batch, std::int64_t width) = 0;
  /// The next iterate. \param z  iterate, [B, D]; not modified \param fz  f(z), [B, D]; not modified
  /// \return a tensor of the same shape, dtype and device; it may be `fz` itself
  virtual Tensor propose(const Tensor& z, const Tensor& fz) = 0;
  /// Only the samples `rows` (int64, [n]) remain in the batch, in that order.
  virtual void keep(const Tensor& rows) = 0;
};

/// By query: the solver's estimate of (J − I)⁻¹ at its last iterate, J = ∂f/∂z.
class InverseJacobian {
 public:
  static constexpr std::string_view id = "zstar.solver.inverse-jacobian/1";
  virtual Tensor apply(const Tensor& v) = 0;            ///< H v,  [B, D] → [B, D]
  virtual Tensor apply_transpose(const Tensor& v) = 0;  ///< Hᵀ v, [B, D] → [B, D]
 protected:
  ~InverseJacobian() = default;
};

/// By query: numbers about the last solve, by name; copied into Report::statistics.
class Statistics {
 public:
  static constexpr std::string_view id = "zstar.solver.statistics/1";
  virtual std::vector<std::pair<std::string, Tensor>> statistics() = 0;
 protected:
  ~Statistics() = default;
};

/// What a solve may use, and when it stops.
struct Limits {
  std::int64_t max_evaluations = 40;
  double tolerance = 1e-3;
  bool relative = true;                  ///< the tolerance is on the relative residual
  std::vector<std::int64_t> sample_at;   ///< evaluations after which the state is sampled, rising
  bool stop_early = true;                ///< the solve ends once every sample has stopped
};

enum class Purpose : std::uint8_t { step, line_search };

/// f through the accounting of the framework: every call is counted, measured and offered as best iterate.
class Evaluator {
 public:
  /// f(z), [B, D]; nothing once the budget is used up or every sample has stopped: return what you have then.
  virtual std::optional<Tensor> evaluate(const Tensor& z, Purpose purpose = Purpose::step) = 0;
  /// Hands over the next sampled state, [B, D].
  virtual void sample(const Tensor& z) = 0;
  virtual const Limits& limits() const = 0;
 protected:
  ~Evaluator() = default;
};

/// By query: a method that chooses its own evaluations. `propose` is then never called.
class Driver {
 public:
  static constexpr std::string_view id = "zstar.solver.driver/1";
  /// The limits that the framework shall enforce: those asked for, or wider ones where the method stops itself.
  virtual Limits enforced(const Limits& asked) const { return asked; }
  /// Runs the whole solve. \return the state to return, [B, D]; undefined: the best one evaluated
  virtual Tensor drive(Evaluator& f, const Tensor& z0) = 0;
 protected:
  ~Driver() = default;
};

/// By query: a method that answers a non-finite f(z) by a shorter step instead of giving the sample up.
class Backtracking {
 public:
  static constexpr std::string_view id = "zstar.solver.backtracking/1";
  /// Non-finite evaluations in a row that the method will answer; 0: none.
  virtual std::int64_t patience() const = 0;
 protected:
  ~Backtracking() = default;
};

/// Inner products and combinations of [B, D] tensors. Solvers use no other reduction over D, so that a state may be
/// split over processes, and so that one fused pass over memory serves them all.
class Products : public Object {
 public:
  /// ⟨a_i, b_j⟩ for each sample. \return [B, |a|, |b|], float64, on the CPU if the tensors are, else on their device
  virtual Tensor dots(const std::vector<Tensor>& a, const std::vector<Tensor>& b) = 0;
  /// base + Σ_j c_bj columns[j]_b. \param coefficients  [B, k], float64 \return [B, D], the dtype of base
  virtual Tensor combine(const Tensor& base, const std::vector<Tensor>& columns, const Tensor& coefficients) = 0;
};

}  // namespace zstar
