#pragma once
/// \file An affine map f(u) = K u + c behind an evaluator: products with I − K by differences of f, and the honest end of a solve.

#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>

#include <zstar/abi/linear.hpp>

namespace zstar_krylov {
namespace {

using torch::Tensor;

/// The problem A u = c, A = I − K, of one solve. Products are probes, counted but not judged; a state that may be returned is
/// evaluated as a step, so that its residual is measured.
class Affine {
 public:
  /// \param together  the batch as one sample: [B, D] ↔ [1, B D]
  Affine(zstar::Evaluator& f, const Tensor& start, bool together) : f_(f), shape_(start.sizes().vec()), together_(together) {
    if (const auto y = evaluate(start, zstar::Purpose::step)) base_ = start, image_ = *y, aim();
  }

  /// Whether the start could be evaluated at all.
  bool begun() const { return image_.defined(); }
  /// f(u) − u at the start.
  Tensor first_residual() const { return apart(image_ - base_); }
  /// Whether one more product leaves an evaluation for the state that is returned.
  bool affords_product() const { return calls_ + 1 < f_.limits().max_evaluations; }
  bool affords_step() const { return calls_ < f_.limits().max_evaluations; }

  /// A p = p − (f(u₀ + p) − f(u₀)), 0 where that is what rounding leaves; nothing once the solve is over.
  std::optional<Tensor> product(const Tensor& p) {
    const Tensor length = p.norm(2, {1}, true), ratio = apart(image_).norm(2, {1}, true) / length;
    const Tensor scale = torch::where(ratio.isfinite() & (ratio > 0), ratio, torch::ones_like(ratio));  // p as large as f(u₀), or rounding would drown it
    const auto y = evaluate(base_ + whole(p * scale), zstar::Purpose::probe);
    if (!y) return std::nullopt;
    const Tensor w = p - apart(*y - image_) / scale;
    const double rounding = p.scalar_type() == torch::kFloat64 ? 1e-14 : 5e-6;
    return torch::where(w.norm(2, {1}, true) <= rounding * length, torch::zeros({}, w.options()), w);
  }

  /// f(u) − u at u = u₀ + x as measured. \return nothing once the solve is over
  std::optional<Tensor> residual(const Tensor& x) {
    const Tensor u = base_ + whole(x);
    const auto y = evaluate(u, zstar::Purpose::step);
    if (!y) return std::nullopt;
    return apart(*y - u);
  }

  /// The residual at which each sample may stop as far as the limits say, [B] or one: absolute, or relative to ‖f(u)‖ of the start.
  const std::vector<double>& targets() const { return targets_; }
  /// All targets are met and the solve goes on, for more than one tolerance has to be kept: a tenth of the targets.
  /// \return false where rounding is in the way of that
  bool tighten() {
    const double rounding = image_.scalar_type() == torch::kFloat64 ? 1e-17 : 1e-9;
    bool possible = false;
    for (std::size_t b = 0; b < targets_.size(); ++b) targets_[b] *= 0.1, possible = possible || targets_[b] > rounding * sizes_[b];
    return possible;
  }

  Tensor apart(const Tensor& t) const { return together_ ? t.reshape({1, -1}) : t; }

 private:
  void aim() {
    const Tensor size = apart(image_).to(torch::kFloat64).norm(2, {1}).cpu().contiguous();
    sizes_.assign(size.data_ptr<double>(), size.data_ptr<double>() + size.numel());
    for (const double s : sizes_) {
      const double scale = f_.limits().relative ? s : 1.0;
      targets_.push_back(0.5 * f_.limits().tolerance * (together_ ? scale / std::sqrt(static_cast<double>(shape_[0])) : scale));
    }
  }
  Tensor whole(const Tensor& t) const { return together_ ? t.reshape(shape_) : t; }
  std::optional<Tensor> evaluate(const Tensor& u, zstar::Purpose purpose) {
    auto y = f_.evaluate(u, purpose);
    calls_ += y.has_value();
    return y;
  }

  zstar::Evaluator& f_;
  std::vector<std::int64_t> shape_;
  bool together_;
  std::int64_t calls_ = 0;
  Tensor base_, image_;
  std::vector<double> sizes_, targets_;  // ‖f(u)‖ of the start, and what a residual may be
};

/// What the checks of general solvers do not ask of one for affine maps.
inline zstar::Exemptions for_affine_maps() {
  zstar::Exemptions e{{{"samples", "its evaluations are products of a recurrence, no iterates"}}};
  for (const char* check : {"honest", "untouched", "no_graph", "within_budget", "finite"}) e.checks.push_back({check, "it refuses maps that are not affine"});
  return e;
}

/// What the solvers for affine maps have in common.
class LinearBase : public zstar::Solver, public zstar::Driver, public zstar::LinearSolver {
 public:
  LinearBase(const char* name, std::string space, zstar::Exemptions exemptions) : name_(name), space_(std::move(space)), exemptions_(std::move(exemptions)) {}
  void* query(std::string_view id) override {
    if (id == zstar::Exemptions::id) return &exemptions_;
    if (id == zstar::Driver::id) return static_cast<zstar::Driver*>(this);
    if (id == zstar::LinearSolver::id) return static_cast<zstar::LinearSolver*>(this);
    return nullptr;
  }
  void told(const zstar::LinearFacts& facts) override { facts_ = facts; }
  void begin(std::int64_t, std::int64_t) override {}
  Tensor propose(const Tensor&, const Tensor& fz) override { return fz; }
  void keep(const Tensor&) override {}

 protected:
  ~LinearBase() override = default;
  const std::optional<zstar::LinearFacts>& facts() const { return facts_; }
  bool together(const Tensor& start) const {
    if (start.size(0) < 2) return false;
    return space_ == "batch" || (space_ == "auto" && facts_ && !facts_->samples_independent);
  }
  /// An affine map leaves the residual that the recurrence says, up to the rounding of f. \param x  how far the state is from the start, [B, D]
  /// \throws std::runtime_error  for one that does not
  void expect_affine(const Tensor& before, const Tensor& predicted, const Tensor& measured, const Tensor& x) const {
    if (facts_) return;
    const bool wide = before.scalar_type() == torch::kFloat64;
    const Tensor size = before.norm(2, {1}),
                 allowed = 10 * predicted.to(size.scalar_type()) + (wide ? 1e-6 : 1e-2) * size + (wide ? 1e-13 : 1e-5) * x.norm(2, {1});
    const Tensor found = measured.norm(2, {1});
    if (!(found > allowed).any().item<bool>()) return;
    throw std::runtime_error(std::string(name_) + " solves affine maps, as the adjoint equation is one; this map is none: where an affine one would leave a residual of at most " +
                             std::to_string(allowed.max().item<double>()) + ", it leaves " + std::to_string(found.max().item<double>()) +
                             "; use newton_krylov, which linearises, or anderson");
  }

 private:
  const char* name_;
  std::string space_;
  zstar::Exemptions exemptions_;
  std::optional<zstar::LinearFacts> facts_;
};

constexpr const char* space_words = "a Krylov space for each sample, one for the whole batch (right even where samples interact), or as the map says";

}  // namespace
}  // namespace zstar_krylov
