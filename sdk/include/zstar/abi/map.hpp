#pragma once
/// \file FixedPointMap: f with x and θ captured.

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "zstar/abi/state.hpp"

namespace zstar {

/// A tensor that f uses besides z. `batch_axis`: the axis that counts samples; none: shared by all samples.
struct Captured {
  Tensor tensor;
  std::optional<std::int64_t> batch_axis;
};

/// What is proven of the Jacobian J = ∂f/∂z, at every state and in the 2-norm of a sample. Solvers and certificates trust it:
/// declare only what holds whatever the values of x and θ are.
struct Declared {
  bool symmetric = false;           ///< J = Jᵀ
  std::optional<double> lipschitz;  ///< L with ‖J‖ ≤ L
  std::optional<double> monotone;   ///< m with ⟨v, (I − J) v⟩ ≥ m ‖v‖²
};

/// f: z ↦ f(z; x, θ), fixed during one solve and its backward pass. A cheap handle: copies share the function.
///
/// A map that names its captured tensors can be restricted to rows (if its samples are independent) and has second
/// derivatives. A map that hides them in the closure of an opaque function has neither.
class FixedPointMap {
 public:
  using Opaque = std::function<State(const State& z)>;
  using Function = std::function<State(const State& z, const std::vector<Tensor>& captured)>;

  FixedPointMap() = default;
  FixedPointMap(Opaque f)
      : f_(std::make_shared<Function>([f = std::move(f)](const State& z, const std::vector<Tensor>&) { return f(z); })) {}
  FixedPointMap(Function f, std::vector<Captured> captured, bool samples_independent)
      : f_(std::make_shared<Function>(std::move(f))), names_captured_(true), samples_independent_(samples_independent) {
    for (auto& c : captured) {
      tensors_.push_back(std::move(c.tensor));
      axes_.push_back(c.batch_axis);
    }
  }

  State operator()(const State& z) const { return (*f_)(z, tensors_); }
  /// f with other tensors in the place of the captured ones, in the order of captured().
  State operator()(const State& z, const std::vector<Tensor>& captured) const { return (*f_)(z, captured); }

  bool names_captured() const { return names_captured_; }
  /// Whether row b of f(z) depends on row b of z alone, and the captured tensors say where their rows are.
  bool samples_independent() const { return samples_independent_; }
  const std::vector<Tensor>& captured() const { return tensors_; }

  /// What is proven of the Jacobian; nothing unless said.
  FixedPointMap& declare(Declared declared) {
    declared_ = declared;
    return *this;
  }
  const Declared& declared() const { return declared_; }

  /// f for the samples `rows` (int64, [n]) alone. \pre samples_independent()
  FixedPointMap at_rows(const Tensor& rows) const {
    if (!samples_independent_) throw std::logic_error("a map with dependent samples cannot be restricted to rows");
    FixedPointMap map(*this);
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (axes_[i]) map.tensors_[i] = tensors_[i].index_select(*axes_[i], rows);
    return map;
  }

  explicit operator bool() const { return f_ != nullptr; }

 private:
  std::shared_ptr<Function> f_;
  std::vector<Tensor> tensors_;
  std::vector<std::optional<std::int64_t>> axes_;
  bool names_captured_ = false, samples_independent_ = false;
  Declared declared_;
};

}  // namespace zstar
