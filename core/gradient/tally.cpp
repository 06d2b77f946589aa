#include "core/gradient/tally.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/gradient/linearisation.hpp"
#include "core/gradient/nodes.hpp"
#include "core/solve/packing.hpp"
#include "core/solve/solve.hpp"
#include "zstar/adjoint_report.hpp"

namespace zstar::gradient {
namespace {

Tensor packed(const solve::Packing& packing, std::vector<Tensor> values, const State& like) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i].defined() ? values[i].detach() : torch::zeros_like(like[i]);
  return packing.pack(State(std::move(values), like.axes()));
}

}  // namespace

Report unmeasured(const std::string& method, std::int64_t batch, std::int64_t products) {
  const auto n = static_cast<std::size_t>(batch);
  Report report;
  report.method = method;
  report.calls = products;
  report.residual.assign(n, std::numeric_limits<double>::quiet_NaN());
  report.relative = report.residual;
  report.evaluations.assign(n, products);
  report.best.assign(n, 0);
  report.first_converged.assign(n, 0);
  report.reasons.assign(n, Reason::budget);
  return report;
}

Tally::Tally(std::string method, FixedPointMap f, const State& z, std::shared_ptr<std::vector<Report>> reports, std::optional<double> tolerance)
    : method_(std::move(method)), f_(std::move(f)), z_(detached(z)), batch_(solve::Packing(z).batch()), tolerance_(tolerance), reports_(std::move(reports)) {}

State Tally::seen(const State& state) {
  if (std::none_of(state.begin(), state.end(), [](const Tensor& t) { return t.requires_grad(); })) return state;
  const std::size_t slot = seen_.size();
  seen_.push_back(0);
  cotangents_.emplace_back();
  return tapped(state, [self = shared_from_this(), slot](const auto& cotangent) { self->came(slot, cotangent); });
}

void Tally::came(std::size_t slot, const std::vector<Tensor>& cotangent) {
  const bool under_way = std::find(seen_.begin(), seen_.end(), 1) != seen_.end();
  if (!under_way || seen_[slot]) {
    std::fill(seen_.begin(), seen_.end(), 0);
    report_ = reports_->size();
    reports_->push_back(unmeasured(method_, batch_, products_));
    if (!reasons_.empty()) reports_->back().reasons = reasons_;
  }
  seen_[slot] = 1;
  if (tolerance_) cotangents_[slot] = cotangent;
}

void Tally::arrived(const std::vector<Tensor>& adjoint) {
  if (!tolerance_) return;
  const torch::NoGradGuard no_grad;
  const solve::Packing packing(z_);
  Tensor v;
  for (std::size_t slot = 0; slot < seen_.size(); ++slot) {
    if (!seen_[slot]) continue;
    const Tensor one = packed(packing, std::exchange(cotangents_[slot], {}), z_);
    v = v.defined() ? v + one : one;
  }
  std::fill(seen_.begin(), seen_.end(), 0);
  if (!v.defined() || report_ >= reports_->size()) return;
  const Tensor u = packed(packing, adjoint, z_), r = v + Linearisation(f_, z_).vjp(u) - u;
  (*reports_)[report_] = adjoint_report(solve::local_products(), method_, r, v, {.products = products_ + 1, .tolerance = *tolerance_});
}

}  // namespace zstar::gradient
