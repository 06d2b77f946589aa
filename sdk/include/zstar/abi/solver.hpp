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

/// What an evaluation is for. A probe is a product with the Jacobian in disguise: counted, but neither judged nor a candidate.
enum class Purpose : std::uint8_t { step, line_search, probe };

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

/// What a product-form method needs of its history in one pass; see Products::chain.
struct ChainResult {
  Tensor v;     ///< [B, D]
  Tensor dots;  ///< [B, k + 2], float64: ⟨v₀, v₀⟩, the ⟨right_j, v_j⟩, ⟨v, v⟩
};

/// Inner products and combinations of [B, D] tensors. Solvers use no other reduction over D, so that a state may be
/// split over processes, and so that one fused pass over memory serves them all.
///
/// float64 results are on the CPU if the tensors are, else on their device. What has a body here is its plain form, which
/// serves every device and dtype; a host may do the same in fewer passes over memory.
class Products : public Object {
 public:
  /// ⟨a_i, b_j⟩ for each sample. \return [B, |a|, |b|], float64
  virtual Tensor dots(const std::vector<Tensor>& a, const std::vector<Tensor>& b) = 0;
  /// base + Σ_j c_bj columns[j]_b; a column whose coefficient is 0 takes no part, whatever it holds.
  /// \param coefficients  [B, k], float64 \return [B, D], the dtype of base
  virtual Tensor combine(const Tensor& base, const std::vector<Tensor>& columns, const Tensor& coefficients) = 0;

  /// columns[slot] ← a − b, in place where it is defined: the columns belong to the caller.
  /// \return ⟨columns_j, columns[slot]⟩ for all j, [B, |columns|], float64
  virtual Tensor difference_dots(const Tensor& a, const Tensor& b, std::vector<Tensor>& columns, std::size_t slot) {
    columns[slot] = a - b;
    return dots(columns, {columns[slot]}).squeeze(2);
  }

  /// v ← a − b, then v ← v + ⟨right_j, v⟩ (c_bj left_j + e_bj right_j) for j = 0, 1, … in this order.
  /// `left` may have one vector less than `right`; the last product is then only formed. A factor whose c and e are 0
  /// changes nothing, whatever its vectors hold.
  /// \param b  undefined: 0 \param c, e  [B, |left|], float64; e undefined: 0
  virtual ChainResult chain(const Tensor& a, const Tensor& b, const std::vector<Tensor>& left,
                            const std::vector<Tensor>& right, const Tensor& c, const Tensor& e) {
    Tensor v = b.defined() ? a - b : a;
    std::vector<Tensor> found{dots({v}, {v}).view({v.size(0), 1})};
    for (std::size_t j = 0; j < right.size(); ++j) {
      const Tensor d = dots({right[j]}, {v}).view({v.size(0), 1});
      found.push_back(d);
      if (j == left.size()) break;
      const auto factor = [&](const Tensor& t) {
        const Tensor column = t.narrow(1, static_cast<std::int64_t>(j), 1);
        return torch::where(column == 0, column, column * d);
      };
      v = combine(v, {left[j]}, factor(c));
      if (e.defined()) v = combine(v, {right[j]}, factor(e));
    }
    found.push_back(dots({v}, {v}).view({v.size(0), 1}));
    return {v, torch::cat(found, 1)};
  }
};

}  // namespace zstar
