#include "core/training/gradient_watch.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

namespace zstar::training {

void GradientWatch::begin(std::int64_t step) {
  const std::int64_t every = layer_.options().certificate;
  due_ = every > 0 && step % every == 0;
  watched_.clear();
  layer_.watch_into(due_ ? &watched_ : nullptr);
}

void GradientWatch::judge(std::int64_t step, Console& console) {
  layer_.watch_into(nullptr);
  if (!due_) return;
  const gradient::Options& o = layer_.options();
  for (const auto& call : watched_) {
    const auto report = gradient::certify(*call, o.certificate_products);
    if (!report) continue;
    add(*report);
    if (report->relative_error <= o.bad_gradient) continue;
    ++sums_.bad;
    const std::string text = fmt::format("step {}: the gradient may be wrong by {:.2g} of its size ({}; σ_min {:.2g}, adjoint residual {:.2g})", step, report->relative_error,
                                         gradient::name_of(report->kind), *std::min_element(report->sigma.begin(), report->sigma.end()),
                                         *std::max_element(report->residual.begin(), report->residual.end()));
    if (o.on_bad_gradient == "abort")
      throw std::runtime_error(text + "\n  remedy: lower [gradient] solver.tolerance or take gmres there, regularise the Jacobian, or set gradient.on_bad_gradient = \"warn\"");
    if (o.on_bad_gradient == "refine") refine(*call, *report, step, console);
    else console.line("warning: " + text + (o.on_bad_gradient == "skip" ? "; the step is left out" : ""));
    spoilt_ = spoilt_ || o.on_bad_gradient == "skip";
  }
  watched_.clear();
}

void GradientWatch::refine(const gradient::Watched& call, const gradient::GradientReport& report, std::int64_t step, Console& console) {
  const Report solve = gradient::refine(call, report, layer_.options().bad_gradient, /*products=*/200);
  ++sums_.refined;
  if (std::any_of(solve.reasons.begin(), solve.reasons.end(), [](Reason r) { return r != Reason::converged; }))
    console.line(fmt::format("warning: step {}: {} products of GMRES did not make a bad gradient good", step, solve.calls));
}

void GradientWatch::add(const gradient::GradientReport& report) {
  const bool bound = report.kind == gradient::CertificateKind::bound;
  ++sums_.certificates;
  sums_.bounds += bound;
  (bound ? sums_.error_bound : sums_.error_estimate) += report.relative_error;
  sums_.forward += report.forward_error;
  sums_.residual = std::max(sums_.residual, *std::max_element(report.residual.begin(), report.residual.end()));
  sums_.sigma = std::min(sums_.sigma, *std::min_element(report.sigma.begin(), report.sigma.end()));
  sums_.cosine = std::min(sums_.cosine, report.cosine);
  sums_.products += static_cast<double>(report.products);
}

void GradientWatch::flush(runs::Record& record) {
  if (sums_.certificates > 0) {
    const auto add = [&record](const char* name, double value) { record.numbers.emplace_back(std::string("gradient_") + name, value); };
    const double estimates = sums_.certificates - sums_.bounds;
    if (sums_.bounds > 0) add("error_bound", sums_.error_bound / sums_.bounds);
    if (estimates > 0) add("error_estimate", sums_.error_estimate / estimates);
    add("error_forward", sums_.forward / sums_.certificates);
    add("residual_max", sums_.residual);
    add("sigma_min", sums_.sigma);
    add("cosine_min", sums_.cosine);
    add("certificate_products", sums_.products / sums_.certificates);
    add("bad", sums_.bad);
    add("refined", sums_.refined);
  }
  sums_ = Sums();
}

void GradientWatch::save(runs::Checkpoint& checkpoint) const {
  const Sums& s = sums_;
  checkpoint.tensors["certificates"] = torch::tensor(
      {s.certificates, s.bad, s.refined, s.bounds, s.error_bound, s.error_estimate, s.forward, s.residual, s.cosine, s.sigma, s.products}, torch::kFloat64);
}

void GradientWatch::load(const runs::Checkpoint& checkpoint) {
  const auto saved = checkpoint.tensors.find("certificates");
  if (saved == checkpoint.tensors.end()) return;
  const double* n = saved->second.data_ptr<double>();
  sums_ = {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10]};
}

}  // namespace zstar::training
