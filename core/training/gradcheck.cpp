#include "core/training/gradcheck.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/gradient/exact.hpp"
#include "core/solve/packing.hpp"
#include "core/training/probe_run.hpp"
#include "zstar/claims.hpp"
#include "zstar/guard.hpp"
#include "zstar/nearest.hpp"

namespace zstar::training {
namespace {

/// One thing to try: a method with settings, and a solver for its adjoint equation; the name empty: the experiment's own.
struct Trial {
  std::string words, method;
  Settings settings;
  std::string solver;
};

double relative(const Tensor& g, const Tensor& exact) { return (g - exact).norm().item<double>() / exact.norm().item<double>(); }
double cosine(const Tensor& g, const Tensor& exact) {
  const double size = g.norm().item<double>() * exact.norm().item<double>();
  return size > 0 ? g.dot(exact).item<double>() / size : 0;
}

class Gradcheck {
 public:
  Gradcheck(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const GradcheckRequest& request, std::ostream& warnings)
      : catalogue_(catalogue), request_(request), own_(experiment.at("gradient").part), session_(experiment, catalogue, warnings), base_(session_.layer().parts()),
        prober_(loaded(), first_batch(session_, experiment.at("train").as<TrainOptions>().batch_size, request.samples)) {
    gradient::Options& o = base_.options;
    o.states = 1, o.sample_at.clear(), o.form = "indexing", o.failed_samples = "keep", o.certificate = 0, o.residual = true;
  }

  GradcheckReport run() {
    take_references();
    const std::vector<std::string> methods = chosen(Kind::gradient, request_.methods);
    std::vector<std::string> solving;  // methods that call the solver of `[gradient] solver`
    for (const std::string& method : methods)
      for (const auto& [words, settings] : settings_of(method)) {
        const bool used_solver = row({words.empty() ? method : method + ", " + words, method, settings, ""});
        if (used_solver && words.empty()) solving.push_back(method);
      }
    if (!solving.empty() && !(request_.defaults_only && request_.solvers.empty())) compare_solvers(solving);
    return std::move(report_);
  }

 private:
  Session& loaded() {
    if (request_.weights) load_weights(session_, *request_.weights);
    return session_;
  }

  std::vector<std::string> chosen(Kind kind, const std::vector<std::string>& wanted) const {
    const auto all = catalogue_.names(kind);
    for (const std::string& name : wanted)
      if (std::find(all.begin(), all.end(), name) == all.end()) {
        const auto near = nearest(name, all);
        throw std::runtime_error(fmt::format("no {} '{}' is installed{}\n  expected: {}", kind == Kind::solver ? "solver" : "gradient method", name,
                                             near.empty() ? "" : "\n  did you mean: " + quoted(near) + "?", quoted(all)));
      }
    return wanted.empty() ? all : wanted;
  }

  std::vector<std::pair<std::string, Settings>> settings_of(const std::string& method) {
    if (request_.defaults_only) return {{"", {}}};
    return settings_to_compare(catalogue_.options(Kind::gradient, method));
  }

  /// All adjoint solvers under one method: the experiment's own, or else the first, of those that call a solver.
  void compare_solvers(const std::vector<std::string>& solving) {
    const bool own = std::find(solving.begin(), solving.end(), own_) != solving.end();
    const std::string method = own ? own_ : exact_of(solving);
    for (const std::string& solver : chosen(Kind::solver, request_.solvers)) row({method + " by " + solver, method, {}, solver});
  }

  /// The first that claims to be exact, else the first.
  std::string exact_of(const std::vector<std::string>& methods) {
    for (const std::string& name : methods) {
      const auto part = catalogue_.create<GradientMethod>(Kind::gradient, name, {}, session_.host());
      if (const auto* claims = query<GradientClaims>(*part); claims && claims->exact) return name;
    }
    return methods.front();
  }

  /// The exact gradient where the forward solver ends. \param residual  takes that of the state \param reasons  those of the solves
  Tensor exact(const solve::Options& forward, double& residual, Reason& reason) {
    gradient::LayerParts parts = base_;
    parts.gradient = gradient::exact_gradient({.tolerance = fine() ? 1e-14 : 1e-6});
    parts.forward.options = forward;
    session_.layer().replace(std::move(parts));
    const ProbeRun run = prober_.run();
    if (std::none_of(run.watched.begin(), run.watched.end(), [](const auto& w) { return w->complete; }))
      throw std::runtime_error("no gradient of the loss passes through an equilibrium; there is none to compare\n  remedy: 'zstar doctor' says why");
    for (const Solved& s : run.solves) {
      const Report& last = s.equilibrium.forward.back();
      residual = greatest({residual, greatest(last.relative)});
      reason = worst({reason, worst(last.reasons)});
      for (const Report& r : *s.equilibrium.backward) {
        report_.reference = r.method;
        report_.reference_residual = greatest({report_.reference_residual, greatest(r.relative)});
      }
    }
    const solve::Packing packing(run.solves.back().equilibrium.fixed_point);
    report_.batch = packing.batch(), report_.width = packing.width();
    report_.calls = static_cast<std::int64_t>(run.solves.size());
    report_.parameters = run.gradient.numel();
    if (!(run.gradient.norm().item<double>() > 0)) throw std::runtime_error("the gradient of this batch is zero; no method can be told from another by it");
    return run.gradient;
  }

  void take_references() {
    solve::Options tight = base_.forward.options;
    tight.tolerance = fine() ? 1e-12 : 1e-6;
    tight.max_evaluations = std::max<std::int64_t>(2000, 10 * tight.max_evaluations);
    Reason reason = Reason::converged;
    of_solution_ = exact(tight, report_.solution_residual, reason);
    at_state_ = exact(base_.forward.options, report_.forward_residual, report_.forward_reason);
    report_.forward_cosine = cosine(at_state_, of_solution_);
    report_.forward_error = relative(at_state_, of_solution_);
  }

  bool fine() const { return session_.dtype == torch::kFloat64; }

  /// \return whether the method called the solver of its adjoint equation
  bool row(const Trial& trial) {
    GradcheckRow row;
    row.method = trial.words;
    const auto used = std::make_shared<bool>(false);
    try {
      session_.layer().replace(parts_of(trial, used));
      *used = false;
      const bool from_start = session_.layer().parts().gradient->query(FromStart::id) != nullptr;
      const ProbeRun run = prober_.run();
      row.cosine = cosine(run.gradient, from_start ? of_solution_ : at_state_);
      row.error = relative(run.gradient, from_start ? of_solution_ : at_state_);
      row.solution_error = relative(run.gradient, of_solution_);
      measure(run, row);
    } catch (...) {
      row.refused = current_exception_text();
    }
    report_.rows.push_back(std::move(row));
    return *used;
  }

  gradient::LayerParts parts_of(const Trial& trial, const std::shared_ptr<bool>& used) {
    gradient::LayerParts parts = base_;
    parts.gradient = catalogue_.create<GradientMethod>(Kind::gradient, trial.method, trial.settings, session_.host());
    parts.gradient_name = trial.method;
    if (!trial.solver.empty()) {
      parts.adjoint.name = trial.solver;
      parts.adjoint.make = [this, name = trial.solver] { return catalogue_.create<Solver>(Kind::solver, name, {}, session_.host()); };
    }
    parts.adjoint.make = [used, make = parts.adjoint.make] { return *used = true, make(); };
    return parts;
  }

  void measure(const ProbeRun& run, GradcheckRow& row) {
    row.milliseconds = run.forward_milliseconds + run.backward_milliseconds;
    for (const Solved& s : run.solves) {
      for (const Report& r : s.equilibrium.forward) row.solver_evaluations += r.calls;
      for (const Report& r : *s.equilibrium.backward) {
        if (std::all_of(r.best.begin(), r.best.end(), [](std::int64_t k) { return k == 0; })) continue;  // not measured
        row.residual = greatest({row.residual.value_or(0), greatest(r.relative)});
        row.reason = row.reason ? worst({*row.reason, worst(r.reasons)}) : worst(r.reasons);
      }
    }
    for (const auto& call : run.watched) row.evaluations += call->evaluations, row.products += call->products;
    for (const auto& call : run.watched) certify(*call, row);
  }

  static void certify(const gradient::Watched& call, GradcheckRow& row) {
    try {
      const auto found = gradient::certify(call, gradient::Options().certificate_products);
      if (!found) return;
      row.certificate = std::max(row.certificate.value_or(0), found->relative_error);
      row.kind = found->kind;
    } catch (const std::exception&) {
      row.certificate.reset();  // the map has no products Jv, so that nothing is known of σ_min
    }
  }

  plugins::Catalogue& catalogue_;
  const GradcheckRequest& request_;
  const std::string own_;
  Session session_;
  gradient::LayerParts base_;
  Prober prober_;
  Tensor of_solution_, at_state_;  // exact gradients, flat
  GradcheckReport report_;
};

std::string text_of(const OptValue& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* n = std::get_if<std::int64_t>(&value)) return std::to_string(*n);
  if (const auto* n = std::get_if<std::vector<std::int64_t>>(&value)) return std::to_string(n->front());
  return std::get<std::string>(value);
}

/// A quarter and four times a count, sixteen times where a quarter is no less; a count of 0 is a switch that is off.
std::vector<std::int64_t> other_counts(std::int64_t count, const OptSpec& o) {
  if (count <= 0) return {};
  std::vector<std::int64_t> others;
  for (const std::int64_t n : {count / 4, 4 * count, count < 4 ? 16 * count : 0})
    if (n > 0 && n != count && static_cast<double>(n) >= o.low && static_cast<double>(n) <= o.high) others.push_back(n);
  return others;
}

std::vector<OptValue> other_values(const OptSpec& o) {
  std::vector<OptValue> values;
  if (const auto* b = std::get_if<bool>(&o.def)) values.emplace_back(!*b);
  if (const auto* n = std::get_if<std::int64_t>(&o.def))
    for (const std::int64_t other : other_counts(*n, o)) values.emplace_back(other);
  if (const auto* n = std::get_if<std::vector<std::int64_t>>(&o.def); n && n->size() == 1)
    for (const std::int64_t other : other_counts(n->front(), o)) values.emplace_back(std::vector<std::int64_t>{other});
  for (const std::string& c : o.choices)
    if (const auto* def = std::get_if<std::string>(&o.def); !def || *def != c) values.emplace_back(c);
  return values;
}

}  // namespace

std::vector<std::pair<std::string, Settings>> settings_to_compare(const std::vector<OptSpec>& options) {
  std::vector<std::pair<std::string, Settings>> all{{"", {}}};
  for (const OptSpec& o : options)
    for (OptValue& value : other_values(o)) {
      const std::string words = o.name + " = " + text_of(value);
      all.emplace_back(words, Settings{{o.name, std::move(value)}});
    }
  return all;
}

std::vector<std::string> laboratory_overrides() { return {"experiment.dtype=\"float64\""}; }

GradcheckReport gradcheck(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const GradcheckRequest& request, std::ostream& warnings) {
  return Gradcheck(experiment, catalogue, request, warnings).run();
}

}  // namespace zstar::training
