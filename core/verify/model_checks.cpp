/// \file Checks of models.
#include <cmath>

#include "core/solve/packing.hpp"
#include "core/verify/model_subject.hpp"
#include "zstar/guard.hpp"

namespace zstar::verify {
namespace {

Tensor rows_of(const State& z) { return solve::Packing(z).pack(z).detach(); }

/// Rows of a state, along the axis of each tensor.
State rows_of(const State& z, const Tensor& rows) {
  std::vector<Tensor> tensors;
  for (std::size_t i = 0; i < z.size(); ++i) tensors.push_back(z[i].index_select(z.axis(i), rows));
  return {std::move(tensors), z.axes()};
}

/// The final output of a model.
Tensor output_of(Model& model, const Batch& batch) {
  const auto outputs = model.forward(batch);
  if (outputs.empty()) throw std::runtime_error("forward returned no output");
  return outputs.back();
}

void forwards(ModelSubject& s, Scope& scope) {
  auto [layer, model, batch] = s.build(s.seed());
  const auto outputs = model->forward(batch);
  scope.expect(!layer->calls.empty(), "forward did not call the layer");
  scope.expect(!outputs.empty(), "forward returned no output");
  const Tensor loss = model->loss(outputs.back(), batch);
  scope.note("loss", loss.item<double>());
  scope.expect(loss.dim() == 0, "the loss is no scalar");
  scope.expect(std::isfinite(loss.item<double>()), "the loss of a fresh model is not finite");
  const Sums sums = model->measure(outputs.back(), batch);
  for (const auto& [name, value] : sums) scope.expect(std::isfinite(value), "the sum '" + name + "' is not finite");
  const auto metrics = model->summarise(sums);
  scope.expect(!metrics.empty(), "it has no metric");
  for (const Metric& m : metrics) scope.expect(std::isfinite(m.value), "the metric '" + m.name + "' is not finite");
  model->summarise({});  // of an empty pass: any value, no crash
}

void deterministic(ModelSubject& s, Scope& scope) {
  auto first = s.build(3), second = s.build(3);
  scope.expect(output_of(*first.model, first.batch).equal(output_of(*second.model, second.batch)), "two models of one seed differ in evaluation");
  scope.expect(output_of(*first.model, first.batch).equal(output_of(*first.model, first.batch)), "two evaluations of one batch differ");
}

void reloads(ModelSubject& s, Scope& scope) {
  auto from = s.build(3), to = s.build(4);
  const torch::NoGradGuard no_grad;
  from.model->forward(from.batch);  // a model may remember
  const auto copy = [&](const auto& source, const auto& target) {
    scope.expect(source.size() == target.size(), "two models of one experiment have different numbers of tensors");
    for (const auto& item : source) {
      const Tensor* into = target.find(item.key());
      scope.expect(into != nullptr && into->sizes() == item.value().sizes(), "tensor '" + item.key() + "' has no counterpart in a second model");
      into->detach().copy_(item.value());
    }
  };
  copy(from.model->named_parameters(), to.model->named_parameters());
  copy(from.model->named_buffers(), to.model->named_buffers());
  from.model->begin_pass(Phase::evaluation), to.model->begin_pass(Phase::evaluation);
  const Tensor a = output_of(*from.model, from.batch), b = output_of(*to.model, to.batch);
  scope.note("tensors", static_cast<double>(from.model->named_parameters().size() + from.model->named_buffers().size()));
  scope.expect(a.equal(b), "with all parameters and buffers copied, outputs differ by " + text((a - b).abs().max().item<double>()));
}

void trains(ModelSubject& s, Scope& scope) {
  auto [layer, model, batch] = s.build(s.seed());
  model->train();
  model->begin_pass(Phase::training);
  model->loss(output_of(*model, batch), batch).backward();
  double reached = 0, all = 0;
  for (const auto& p : model->named_parameters()) {
    if (!p.value().requires_grad()) continue;
    ++all;
    if (!p.value().grad().defined()) continue;
    ++reached;
    scope.expect(p.value().grad().isfinite().all().item<bool>(), "the gradient of '" + p.key() + "' is not finite");
  }
  scope.note("parameters", all);
  scope.note("with a gradient", reached);
  scope.expect(reached > 0, "no gradient reaches any parameter");
}

void keeps_form(ModelSubject& s, Scope& scope) {
  auto [layer, model, batch] = s.build(s.seed());
  const torch::NoGradGuard no_grad;
  model->forward(batch);
  for (const auto& call : layer->calls) {
    const State y = call.f(call.z0);
    scope.expect(y.size() == call.z0.size(), "its map changes the number of tensors");
    for (std::size_t i = 0; i < y.size(); ++i) {
      scope.expect(y[i].sizes() == call.z0[i].sizes() && y[i].scalar_type() == call.z0[i].scalar_type(), "its map changes shape or dtype of tensor " + std::to_string(i));
      scope.expect(call.z0[i].isfinite().all().item<bool>() && y[i].isfinite().all().item<bool>(), "z0 or f(z0) is not finite");
    }
    scope.expect(rows_of(call.f(call.z0)).equal(rows_of(y)), "its map gives two values for one state: it is not fixed during a solve");
  }
}

void restrictable(ModelSubject& s, Scope& scope) {
  auto [layer, model, batch] = s.build(s.seed(), torch::kFloat64);
  const torch::NoGradGuard no_grad;
  model->forward(batch);
  bool any = false;
  for (const auto& call : layer->calls) {
    const solve::Packing packing(call.z0);
    if (!call.f.samples_independent() || packing.batch() < 2) continue;
    any = true;
    const Tensor rows = torch::tensor({packing.batch() - 1, std::int64_t{0}}, torch::kInt64);
    const State y = call.f(call.z0), z = call.f(y);
    const Tensor whole = rows_of(z).index_select(0, rows), part = rows_of(call.f.at_rows(rows)(rows_of(y, rows)));
    const double difference = ((whole - part).norm() / whole.norm().clamp_min(1e-300)).item<double>();
    scope.note("difference", difference);
    scope.expect(difference <= 1e-10, "it says that samples are independent; two of them alone differ by " + text(difference) + " from themselves in the batch");
    State other = y;
    other[0] = y[0].clone();
    other[0].select(call.z0.axis(0), 0).add_(1.0);
    const Tensor moved = rows_of(call.f(other)).narrow(0, 1, packing.batch() - 1), still = rows_of(z).narrow(0, 1, packing.batch() - 1);
    scope.expect(((moved - still).norm() / still.norm().clamp_min(1e-300)).item<double>() <= 1e-10, "it says that samples are independent; a change of the first moves the others");
  }
  if (!any) scope.skip("it does not say that its samples are independent, or has one alone");
}

}  // namespace

Equilibrium RecordingLayer::solve(const FixedPointMap& f, const State& z0, const SolveOptions& options) {
  calls.push_back({f, z0});
  Equilibrium e;
  State z = z0;
  for (int k = 0; k < 3; ++k) z = f(z);
  std::vector<Tensor> plain;
  for (const Tensor& t : z) plain.push_back(t.detach());
  e.fixed_point = State(plain, z.axes());
  e.states = {options.training && torch::GradMode::is_enabled() ? z : e.fixed_point};
  e.backward = std::make_shared<std::vector<Report>>();
  Report report;  // what a model may read of a solve: three evaluations that used their budget up
  const auto batch = static_cast<std::size_t>(solve::Packing(z0).batch());
  report.method = "plain", report.calls = 3;
  report.residual.assign(batch, 0.0), report.relative.assign(batch, 0.0), report.reasons.assign(batch, Reason::budget);
  report.evaluations.assign(batch, 3), report.best.assign(batch, 3), report.first_converged.assign(batch, 0);
  e.forward = {std::move(report)};
  return e;
}

ModelSubject::Built ModelSubject::build(std::uint64_t seed, torch::ScalarType dtype) {
  Built b;
  b.layer = std::make_shared<RecordingLayer>();
  host().set(b.layer);
  host().set(data_->describe());
  torch::manual_seed(seed);
  b.model = make<Model>();
  b.model->to(dtype);
  b.model->eval();
  b.model->begin_pass(Phase::evaluation);
  b.batch = data_->load(Split::train, data_->batches(Split::train, 3, 1).front(), 1);
  for (auto& [name, tensor] : b.batch.tensors)
    if (tensor.is_floating_point()) tensor = tensor.to(dtype);
  return b;
}

bool ModelSubject::build_on(const std::string& dataset, std::string& why) {
  data_ = with_defaults(catalogue(), host(), dataset, why);
  if (!data_) return false;
  try {
    const torch::NoGradGuard no_grad;
    auto [layer, model, batch] = build(seed());
    const auto outputs = model->forward(batch);
    if (!outputs.empty()) model->loss(outputs.back(), batch);  // a check says that there is none
    return true;
  } catch (...) {
    why = current_exception_text();
    return false;
  }
}

void ModelSubject::construct(Scope& scope) {
  std::string reasons;
  for (const auto& part : catalogue().parts()) {
    const auto& file = catalogue().files()[part.file];
    if (part.kind != Kind::dataset || !file.refused.empty() || !file.shadowed_by.empty()) continue;
    std::string why;
    if (build_on(file.id + ":" + part.name, why)) return;
    reasons += "; " + part.name + ": " + why.substr(0, why.find('\n'));
  }
  scope.skip("no data set that can be made with its defaults fits it" + reasons);
}

const std::vector<Check<ModelSubject>>& model_checks() {
  static const std::vector<Check<ModelSubject>> all{
      {"forwards", "outputs, a finite scalar loss, finite sums and metrics", forwards},
      {"deterministic", "one seed gives one model; evaluation is repeatable", deterministic},
      {"reloads", "parameters and buffers are all of its state", reloads},
      {"trains", "gradients reach its parameters and are finite", trains},
      {"keeps_form", "its map keeps shapes and dtypes, and is fixed during a solve", keeps_form},
      {"restrictable", "samples that are said to be independent are", restrictable}};
  return all;
}

}  // namespace zstar::verify
