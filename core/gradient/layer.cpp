#include "core/gradient/layer.hpp"

#include <exception>
#include <utility>

#include "core/gradient/adjoint.hpp"
#include "core/gradient/implicit.hpp"
#include "core/gradient/plan.hpp"
#include "zstar/guard.hpp"

namespace zstar::gradient {

struct Layer::Impl {
  explicit Impl(LayerParts p) : parts(std::move(p)) {}
  LayerParts parts;
  std::vector<Solved>* sink = nullptr;
};

namespace {

State detached(const State& z) {
  std::vector<Tensor> tensors;
  for (const Tensor& t : z) tensors.push_back(t.detach());
  return {std::move(tensors), z.axes()};
}

/// The services of one call of the layer. Gradient methods see them while states are attached; what backward needs
/// later is kept by the nodes.
class Call final : public GradientServices {
 public:
  Call(const LayerParts& parts, const Splitting* halves, Equilibrium& result) : parts_(parts), halves_(halves), result_(result) {
    result_.backward = std::make_shared<std::vector<Report>>();
  }

  State evaluate(const FixedPointMap& f, const State& z) override {
    ++result_.gradient_evaluations;
    try {
      return f(z);
    } catch (...) {
      of_map_ = std::current_exception();  // passes through the method unchanged, for it is not the method's
      throw;
    }
  }

  State implicit(const FixedPointMap& f, const State& z_star, Adjoint adjoint, JacobianAt jacobian_at) override {
    const State y = evaluate(f, z_star);
    auto call = std::make_shared<ImplicitCall>();
    call->f = f;
    call->at = detached(jacobian_at == JacobianAt::image ? y : z_star);
    call->forward = estimate_;
    call->adjoint = [method = std::move(adjoint), part = current_, solver = parts_.adjoint, options = parts_.options,
                     reports = result_.backward](const AdjointProblem& problem) {
      return guarded([&] { return call_text(*part, "gradient method", "its adjoint", {problem.cotangent}); },
                     [&] { return AdjointRunner(solver, options, *reports).run(method, problem); });
    };
    return attach_implicit(y, std::move(call));
  }

  /// Runs the forward solver from z for `budget` evaluations.
  solve::Outcome forward(const FixedPointMap& f, const State& z, solve::Options options, std::int64_t budget,
                         const std::vector<std::int64_t>& sample_at) {
    options.max_evaluations = budget;
    std::shared_ptr<Solver> solver = parts_.forward.make();
    const bool keep = parts_.gradient->query(UsesEstimate::id) != nullptr;
    if (keep && options.finished == "compact") options.finished = "mask";  // the estimate must cover every sample
    solve::Outcome out = solve::solve(*solver, parts_.forward.name, f, z, options, sample_at, halves_);
    if (keep) estimate_ = std::move(solver);
    result_.forward.push_back(out.report);
    return out;
  }

  void attach(const FixedPointMap& f, const State& z, std::size_t index, std::size_t count) {
    current_ = index + 1 == count ? parts_.gradient : parts_.intermediate;
    const torch::AutoGradMode grad(true);
    try {
      auto states = guarded([&] { return call_text(*current_, "gradient method", "attach", z.tensors()); }, [&] {
        return current_->attach(f, detached(z), static_cast<std::int64_t>(index), static_cast<std::int64_t>(count), *this);
      });
      for (State& state : states) result_.states.push_back(std::move(state));
    } catch (const PartError&) {
      if (of_map_) std::rethrow_exception(of_map_);
      throw;
    }
  }

 private:
  const LayerParts& parts_;
  const Splitting* halves_;
  Equilibrium& result_;
  std::shared_ptr<Solver> estimate_;
  std::shared_ptr<GradientMethod> current_;  // whose attach runs
  std::exception_ptr of_map_;
};

void solve_indexing(Call& call, const FixedPointMap& f, const State& z0, const solve::Options& options,
                    const std::vector<std::int64_t>& marks, Equilibrium& result) {
  solve::Outcome out = call.forward(f, z0, options, marks.back(), marks);
  for (std::size_t k = 0; k < marks.size(); ++k) call.attach(f, out.samples[k], k, marks.size());
  result.fixed_point = std::move(out.z);
}

void solve_sliced(Call& call, const FixedPointMap& f, const State& z0, const solve::Options& options,
                  const std::vector<std::int64_t>& marks, Equilibrium& result) {
  State z = z0;
  std::int64_t from = 0;
  for (std::size_t k = 0; k < marks.size(); ++k) {
    solve::Outcome out = call.forward(f, z, options, marks[k] - from, {});
    call.attach(f, out.z, k, marks.size());
    result.fixed_point = out.z;
    z = detached(result.states.back());
    from = marks[k];
  }
}

}  // namespace

Layer::Layer(LayerParts parts) : impl_(std::make_shared<Impl>(std::move(parts))) {
  const LayerParts& p = impl_->parts;
  sampling_marks(p.options, p.forward.options.max_evaluations);
}

Layer::~Layer() = default;

Equilibrium Layer::solve(const FixedPointMap& f, const State& z0, const SolveOptions& request) { return run(f, nullptr, z0, request); }

Equilibrium Layer::solve(const FixedPointMap& f, const Splitting& halves, const State& z0, const SolveOptions& request) {
  return run(f, &halves, z0, request);
}

Equilibrium Layer::run(const FixedPointMap& f, const Splitting* halves, const State& z0, const SolveOptions& request) {
  const LayerParts& parts = impl_->parts;
  solve::Options options = parts.forward.options;
  if (request.tolerance) options.tolerance = *request.tolerance;
  const std::int64_t budget = request.max_evaluations.value_or(
      request.training ? options.max_evaluations : options.eval_max_evaluations.value_or(options.max_evaluations));
  const bool joined = torch::GradMode::is_enabled() && request.gradient.value_or(request.training);

  Equilibrium result;
  Call call(parts, halves, result);
  const State start = detached(z0);
  if (!joined) {
    result.fixed_point = call.forward(f, start, options, budget, {}).z;
    result.states = {result.fixed_point};
  } else if (parts.options.form == "sliced") {
    solve_sliced(call, f, start, options, sampling_marks(parts.options, budget), result);
  } else {
    solve_indexing(call, f, start, options, sampling_marks(parts.options, budget), result);
  }
  if (impl_->sink) impl_->sink->push_back({f, result});
  return result;
}

void Layer::record_into(std::vector<Solved>* sink) { impl_->sink = sink; }

}  // namespace zstar::gradient
