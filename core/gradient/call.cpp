#include "core/gradient/call.hpp"

#include <algorithm>
#include <utility>

#include <ATen/SequenceNumber.h>

#include "core/gradient/adjoint.hpp"
#include "core/gradient/implicit.hpp"
#include "core/gradient/nodes.hpp"
#include "zstar/abi/linear.hpp"
#include "zstar/adjoint_report.hpp"
#include "zstar/guard.hpp"

namespace zstar::gradient {
namespace {

/// Whether the graph of y, made since `first`, ends in the captured tensors of f alone, so that f hides none.
bool names_all(const FixedPointMap& f, const State& y, std::uint64_t first) {
  if (!f.names_captured()) return false;
  std::vector<torch::autograd::Edge> known;
  for (const Tensor& c : f.captured()) known.push_back(torch::autograd::impl::gradient_edge(c));
  for (const auto& edge : nn::detail::boundary(y.tensors(), first))
    if (std::find(known.begin(), known.end(), edge) == known.end()) return false;
  return true;
}

/// f + δ with δ = 0 on the graph, so that what reaches δ is the adjoint, whatever the method is.
/// \param watched  counts evaluations and products; may be null
FixedPointMap with_offset(const FixedPointMap& f, const State& delta, const std::shared_ptr<Watched>& watched) {
  const auto add = [watched](const State& y, const Tensor* offsets) {
    std::vector<Tensor> sum;
    for (std::size_t i = 0; i < y.size(); ++i) sum.push_back(y[i] + offsets[i]);
    State shifted(std::move(sum), y.axes());
    if (!watched) return shifted;
    ++watched->evaluations;
    const bool tracked = torch::GradMode::is_enabled() && std::all_of(shifted.begin(), shifted.end(), [](const Tensor& t) { return t.requires_grad(); });
    return tracked ? tapped(shifted, [watched](const auto&) { ++watched->products; }) : shifted;
  };
  if (!f.names_captured())
    return FixedPointMap([f, delta, add](const State& z) { return add(f(z), delta.tensors().data()); }).declare(f.declared());
  std::vector<Captured> captured;
  for (const Tensor& c : f.captured()) captured.push_back({c, std::nullopt});
  for (const Tensor& d : delta) captured.push_back({d, std::nullopt});
  FixedPointMap sum([f, add, n = f.captured().size()](const State& z, const std::vector<Tensor>& c) {
    return add(f(z, {c.begin(), c.begin() + static_cast<std::ptrdiff_t>(n)}), c.data() + n);
  }, std::move(captured), f.samples_independent());
  return sum.declare(f.declared());
}

}  // namespace

Call::Call(const LayerParts& parts, std::shared_ptr<Starts> starts, Ladder& ladder, const Splitting* halves, Equilibrium& result)
    : parts_(parts), starts_(std::move(starts)), keys_(starts_->keys()), ladder_(ladder), halves_(halves), result_(result) {
  result_.backward = std::make_shared<std::vector<Report>>();
}

State Call::evaluate(const FixedPointMap& f, const State& z) { return tracked(f, z, tracked_ > 0 ? &newest_ : nullptr); }  // of one evaluation nothing is kept

State Call::tracked(const FixedPointMap& f, const State& z, nn::NewestGraph* newest) {
  ++result_.gradient_evaluations;
  tracked_ += torch::GradMode::is_enabled();
  try {
    if (!parts_.options.checkpoint) return f(z);
    return {nn::checkpoint([f, z] { return f(z).tensors(); }, z[0].device(), newest), z.axes()};
  } catch (...) {
    of_map_ = std::current_exception();  // passes through the method unchanged, for it is not the method's
    throw;
  }
}

State Call::implicit(const FixedPointMap& f, const State& z, Adjoint adjoint, JacobianAt jacobian_at) {
  solves_ = true;
  const State z_star = detached(z);  // no gradient reaches what a solve found
  auto call = std::make_shared<ImplicitCall>();
  call->f = f;
  call->at = z_star;
  call->forward = estimate_;
  call->adjoint = [method = std::move(adjoint), part = current_, name = name_, solver = parts_.adjoint, options = parts_.options, starts = starts_, keys = keys_,
                   reports = result_.backward](const AdjointProblem& problem) {
    return guarded([&] { return call_text(*part, "gradient method", "its adjoint", {problem.cotangent}); },
                   [&] { return AdjointRunner(name, solver, options, *starts, keys, *reports).run(method, problem); });
  };
  if (jacobian_at == JacobianAt::graph) {
    ++result_.gradient_evaluations;
    return attach_hook(f, z_star, std::move(call));
  }
  const std::uint64_t first = at::sequence_number::peek();
  const State y = tracked(f, z_star, nullptr);  // backward comes to it many times
  if (jacobian_at == JacobianAt::image) call->at = detached(y);
  else if (names_all(f, y, first)) return attach_differentiable(detached(y), std::move(call));
  return attach_implicit(y, std::move(call));
}

solve::Outcome Call::forward(const FixedPointMap& f, const State& z, solve::Options options, std::int64_t budget,
                             const std::vector<std::int64_t>& sample_at) {
  options.max_evaluations = budget;
  std::shared_ptr<Solver> solver = parts_.forward.make();
  const bool keep = parts_.estimate_wanted;
  if (keep && options.finished == "compact") options.finished = "mask";  // the estimate must cover every sample
  solve::Outcome out = halves_ ? solve::solve(*solver, parts_.forward.name, f, z, options, sample_at, halves_) : climbed(*solver, f, z, options, sample_at);
  if (keep) estimate_ = std::move(solver);
  result_.forward.push_back(out.report);
  return out;
}

/// In low precision first, where the ladder says so; the solver starts afresh where that ends.
solve::Outcome Call::climbed(Solver& solver, const FixedPointMap& f, const State& z, solve::Options options, std::vector<std::int64_t> sample_at) {
  const std::string& name = parts_.forward.name;
  const auto low = ladder_.low(f, z);
  if (!low) return solve::solve(solver, name, f, z, options, sample_at);
  const solve::Options coarse = ladder_.first_part(options, sample_at.empty() ? options.max_evaluations : sample_at.front());
  if (coarse.max_evaluations < 1) return solve::solve(solver, name, f, z, options, sample_at);
  const solve::Outcome first = in_low(*low, z, coarse);
  options.max_evaluations -= first.report.calls;
  for (std::int64_t& mark : sample_at) mark -= first.report.calls;
  solve::Outcome out = solve::solve(solver, name, f, first.z, options, sample_at);
  out.report = joined(first.report, std::move(out.report));
  ladder_.note(first.report.calls, out.report.calls);
  return out;
}

/// \throws std::runtime_error  where an operation of f has no form in low precision
solve::Outcome Call::in_low(const FixedPointMap& low, const State& z, const solve::Options& options) {
  try {
    return solve::solve(*parts_.forward.make(), parts_.forward.name, low, z, options, {}, nullptr, ladder_.epsilon());
  } catch (const c10::Error& error) {
    throw std::runtime_error("f cannot be evaluated in " + parts_.precision.low + ", which [solver.precision] low asks for: " + error.what_without_backtrace() +
                             "; use low = \"none\", or \"auto\", which tries it first");
  }
}

std::vector<State> Call::attached(const FixedPointMap& map, const State& z, std::size_t index, std::size_t count) {
  try {
    return guarded([&] { return call_text(*current_, "gradient method", "attach", z.tensors()); }, [&] {
      return current_->attach(map, z, static_cast<std::int64_t>(index), static_cast<std::int64_t>(count), *this);
    });
  } catch (const PartError&) {
    if (of_map_) std::rethrow_exception(of_map_);
    throw;
  }
}

/// f, with an offset where somebody asks for the adjoint that a backward pass amounts to.
FixedPointMap Call::observed(const FixedPointMap& f, const State& z, const std::shared_ptr<Tally>& tally, const std::shared_ptr<Watched>& watched) const {
  if (!watched && !parts_.options.residual) return f;
  if (watched) watched->map = f, watched->at = detached(z);
  return with_offset(f, source(zeros_of(z), [tally, watched, axes = z.axes()](const auto& adjoint) {
    tally->arrived(adjoint);
    if (watched) watched->adjoint = State(adjoint, axes), watched->complete = true;
  }), watched);
}

std::shared_ptr<Tally> Call::attach(const FixedPointMap& f, const State& z, std::size_t index, std::size_t count, const std::shared_ptr<Watched>& watched) {
  const bool last = index + 1 == count;
  current_ = last ? parts_.gradient : parts_.intermediate;
  name_ = last ? parts_.gradient_name : "intermediate";
  tracked_ = 0, solves_ = false;
  const torch::AutoGradMode grad(true);
  auto tally = std::make_shared<Tally>(name_, f, z, result_.backward, parts_.options.residual ? std::optional(parts_.adjoint.options.tolerance) : std::nullopt);
  std::vector<State> states = attached(observed(f, z, tally, watched), detached(z), index, count);
  if (solves_) tally = nullptr;
  else tally->spent(tracked_);
  for (State& state : states) {
    if (tally) state = tally->seen(state);
    if (watched) {
      const std::size_t slot = watched->cotangents.size();
      watched->cotangents.emplace_back();
      state = tapped(state, [watched, slot, axes = z.axes()](const auto& gradients) { watched->cotangents[slot] = State(gradients, axes); });
    }
    result_.states.push_back(std::move(state));
  }
  return tally;
}

}  // namespace zstar::gradient
