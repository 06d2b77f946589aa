#include "core/training/probe_run.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "core/training/calls.hpp"
#include "zstar/carried.hpp"

namespace zstar::training {
namespace {

/// The layer shows what it does as long as this lives.
class Recording {
 public:
  Recording(gradient::Layer& layer, ProbeRun& run) : layer_(layer) {
    layer_.record_into(&run.solves);
    layer_.watch_into(&run.watched);
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording() {
    layer_.record_into(nullptr);
    layer_.watch_into(nullptr);
  }

 private:
  gradient::Layer& layer_;
};

Tensor flat_gradient(const Model& model) {
  std::vector<Tensor> parts;
  for (const Tensor& p : model.parameters())
    if (p.requires_grad()) parts.push_back((p.grad().defined() ? p.grad() : torch::zeros_like(p)).detach().to(torch::kCPU, torch::kFloat64).flatten());
  return parts.empty() ? torch::empty({0}, torch::kFloat64) : torch::cat(parts);
}

}  // namespace

Prober::Prober(Session& session, Batch batch) : session_(session), batch_(std::move(batch)) {
  for (const Tensor& b : session_.model().buffers()) buffers_.emplace_back(b, b.detach().clone());
  session_.model().train();
  if (const auto* carrying = query<Carries>(session_.model()))
    for (const auto& [name, tensor] : carried_of(session_.model(), *carrying)) carried_.emplace_back(name, tensor.clone());
}

void Prober::restore() {
  const torch::NoGradGuard no_grad;
  for (auto& [buffer, value] : buffers_) buffer.copy_(value);
  for (Tensor& p : session_.model().parameters()) p.mutable_grad() = Tensor();
  session_.model().train();
  if (auto* carrying = query<Carries>(session_.model())) of_model(session_.model(), "carry", {}, [&] { carrying->carry(carried_); });
  gradient::Starts& starts = session_.layer().starts();
  starts = gradient::Starts(starts.options());
  starts.pass();
  torch::manual_seed(static_cast<std::uint64_t>(session_.options.seed));
}

ProbeRun Prober::run(const Batch& batch, Pass pass) {
  restore();
  Model& model = session_.model();
  const bool training = pass != Pass::evaluation;
  model.train(training);
  begin_pass(model, training ? Phase::training : Phase::evaluation);
  ProbeRun run;
  const Recording recording(session_.layer(), run);
  const auto start = std::chrono::steady_clock::now();
  const torch::AutoGradMode grad(pass == Pass::whole);
  const Tensor output = outputs_of(model, batch).back();
  run.loss = of_model(model, "loss", batch, [&] { return model.loss(output, batch); });
  const auto middle = std::chrono::steady_clock::now();
  if (pass == Pass::whole && run.loss.requires_grad()) of_model(model, "backward", batch, [&] { run.loss.backward(); });
  run.forward_milliseconds = std::chrono::duration<double, std::milli>(middle - start).count();
  run.backward_milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - middle).count();
  run.loss = run.loss.detach();
  if (pass == Pass::whole) run.gradient = flat_gradient(model);
  return run;
}

Batch first_batch(Session& session, std::int64_t batch_size, std::int64_t samples) {
  const std::uint64_t seed = static_cast<std::uint64_t>(session.options.seed) * 1000003;  // that of a run's first pass
  const auto batches = batches_of(session.dataset(), Split::train, batch_size, seed);
  if (batches.empty()) throw std::runtime_error("the data set has no samples for training\n  remedy: 'zstar data show FOLDER' says what is there");
  std::vector<std::int64_t> indices = batches.front();
  if (samples > 0 && static_cast<std::int64_t>(indices.size()) > samples) indices.resize(static_cast<std::size_t>(samples));
  Batch batch = of_data(session.dataset(), "load", [&] { return session.dataset().load(Split::train, indices, seed); });
  return session.to_device(std::move(batch));
}

Report whole_solve(const Equilibrium& equilibrium) {
  Report whole = equilibrium.forward.front();
  for (auto slice = equilibrium.forward.begin() + 1; slice != equilibrium.forward.end(); ++slice) {
    Report next = *slice;
    for (std::size_t b = 0; b < next.reasons.size(); ++b) {
      const std::int64_t before = whole.evaluations[b], hit = whole.first_converged[b];
      next.evaluations[b] += before;
      if (next.best[b] > 0) next.best[b] += before;
      if (next.first_converged[b] > 0) next.first_converged[b] += before;
      if (hit > 0) next.first_converged[b] = hit;
    }
    next.calls += whole.calls;
    whole = std::move(next);
  }
  return whole;
}

std::string residual_text(double residual) { return std::isnan(residual) ? "not measured" : fmt::format("{:.1e}", residual); }

double greatest(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) {
    if (!std::isfinite(v)) return v;
    most = std::max(most, v);
  }
  return most;
}

Reason worst(const std::vector<Reason>& reasons) {
  constexpr std::array order{Reason::nonfinite, Reason::diverged, Reason::refused, Reason::stalled, Reason::budget, Reason::floor};
  for (const Reason r : order)
    if (std::find(reasons.begin(), reasons.end(), r) != reasons.end()) return r;
  return Reason::converged;
}

}  // namespace zstar::training
