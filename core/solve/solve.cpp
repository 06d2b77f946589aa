#include "core/solve/solve.hpp"

#include <algorithm>
#include <array>

#include "core/solve/loop.hpp"
#include "core/solve/packing.hpp"

namespace zstar::solve {

namespace {

RowSplitting packed(const Splitting& halves, const Packing& p) {
  const auto two = [&p](std::function<State(const State&, double)> g) {
    return [p, g = std::move(g)](const Tensor& v, double alpha) { return p.pack(g(p.unpack(v), alpha)); };
  };
  return {[p, g = halves.affine](const Tensor& z) { return p.pack(g(p.unpack(z))); }, two(halves.resolvent), two(halves.prox)};
}

}  // namespace

Outcome solve(Solver& solver, const std::string& name, const FixedPointMap& f, const State& z0, const Options& options,
              const std::vector<std::int64_t>& sample_at, const Splitting* halves, double epsilon) {
  const torch::NoGradGuard no_grad;
  const Packing packing(z0);
  const auto over = [](const FixedPointMap& map, const Packing& p) -> PackedMap {
    return [map, p](const Tensor& z) { return p.pack(map(p.unpack(z))); };
  };
  RowMap rows{over(f, packing), {}};
  UsesSplitting* splits = query<UsesSplitting>(solver);
  if (splits) splits->use(halves ? packed(*halves, packing) : RowSplitting{});
  if (f.samples_independent() && !splits)
    rows.at_rows = [&](const Tensor& samples) { return over(f.at_rows(samples), packing.with_batch(samples.size(0))); };
  PackedOutcome packed =
      run(solver, name, rows, packing.pack(z0).detach(), std::max(packing.epsilon(), epsilon), options, sample_at);
  Outcome out{packing.unpack(packed.z), std::move(packed.report), {}};
  for (const Tensor& sample : packed.samples) out.samples.push_back(packing.unpack(sample));
  return out;
}

PackedOutcome solve_packed(Solver& solver, const std::string& name, const PackedMap& f, const Tensor& z0,
                           const Options& options, const std::vector<std::int64_t>& sample_at) {
  return run(solver, name, RowMap{f, {}}, z0, Packing(z0).epsilon(), options, sample_at);
}

const ReasonText& text_of(Reason reason) {
  static constexpr std::array<ReasonText, reason_count> texts{{
      {"converged", "residual ≤ tolerance", "the residual is within the tolerance", "nothing to do"},
      {"floor", "relative residual ≤ 4 ε and no better in 3 evaluations", "the precision of the dtype is reached",
       "raise the tolerance or use a wider dtype"},
      {"stalled", "best residual of the last stall_window evaluations ≥ 0.95 × the best before",
       "the residual no longer falls", "try another solver, more memory, or less damping"},
      {"diverged", "residual > divergence × first residual", "the residual has grown beyond all bounds",
       "damp the solver, lower the norm of the weights, or use a solver that needs no contraction (broyden, newton_krylov)"},
      {"nonfinite", "f(z) holds an infinity or a NaN", "the map returned numbers that are not finite",
       "look at the learning rate and the scale of the weights"},
      {"budget", "evaluations = max_evaluations", "the evaluations allowed were used up",
       "raise max_evaluations or the tolerance"},
      {"refused", "the method cannot treat the sample", "the method could not treat this sample", "choose another method"},
  }};
  return texts[static_cast<std::size_t>(reason)];
}

}  // namespace zstar::solve
