#include "core/training/doctor.hpp"

#include <sys/resource.h>

#include <algorithm>

#include "core/training/examination.hpp"

namespace zstar::training {
namespace {

struct Question {
  const char* check;
  Finding (Examination::*ask)();
  bool ends;  ///< whether later answers would only follow from a bad one here
};

/// Causes before what follows from them.
constexpr Question questions[] = {
    {"deterministic", &Examination::deterministic, true}, {"finite", &Examination::finite, true},
    {"independent", &Examination::independent, true},     {"identity", &Examination::identity, true},
    {"precision", &Examination::precision, true},         {"solved", &Examination::solved, true},
    {"start", &Examination::start, true},                 {"conditioning", &Examination::conditioning, true},
    {"unique", &Examination::unique, false},              {"input", &Examination::input, false},
    {"reached", &Examination::reached, true},             {"gradient", &Examination::gradient, false},
    {"evaluation", &Examination::evaluation, false}};

/// A solver and those that it is made of.
void add_names(const std::string& name, const Settings& settings, std::vector<std::string>& names) {
  names.push_back(name);
  for (const Setting& s : settings)
    if (const auto* parts = std::get_if<std::vector<Part>>(&s.value))
      for (const Part& inner : *parts) add_names(inner.name, inner.settings, names);
}

double peak_megabytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace

const char* name_of(Verdict verdict) {
  constexpr const char* names[] = {"good", "note", "sick", "skipped"};
  return names[static_cast<std::size_t>(verdict)];
}

bool Diagnosis::sick() const {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& f) { return f.verdict == Verdict::sick; });
}

Diagnosis diagnose(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const DoctorRequest& request, std::ostream& warnings) {
  Session session(experiment, catalogue, warnings);
  if (request.weights) load_weights(session, *request.weights);
  Prober prober(session, first_batch(session, experiment.at("train").as<TrainOptions>().batch_size, request.samples));
  if (prober.run(Pass::forward).solves.empty()) throw std::runtime_error("the model solved no equilibrium: it does not call the layer that it is handed");
  std::vector<std::string> solvers;
  add_names(experiment.at("solver").part, experiment.at("solver").options, solvers);
  Examination examination(session, prober, std::move(solvers));
  Diagnosis diagnosis;
  std::string ended;
  for (const Question& q : questions) {
    if (!ended.empty()) {
      diagnosis.findings.push_back({q.check, Verdict::skipped, "would follow from '" + ended + "'"});
      continue;
    }
    diagnosis.findings.push_back((examination.*q.ask)());
    const Finding& found = diagnosis.findings.back();
    if (found.verdict == Verdict::sick && q.ends) ended = found.disease;
  }
  diagnosis.reasons = examination.reasons();
  diagnosis.residuals = examination.residuals();
  if (ended.empty()) diagnosis.methods = examination.others(catalogue);
  diagnosis.budgets = examination.budgets();
  const ProbeRun& pass = examination.pass();
  diagnosis.calls = static_cast<std::int64_t>(pass.solves.size());
  diagnosis.batch = examination.packing().batch(), diagnosis.width = examination.packing().width();
  diagnosis.forward_milliseconds = pass.forward_milliseconds, diagnosis.backward_milliseconds = pass.backward_milliseconds;
  diagnosis.peak_megabytes = peak_megabytes();
  return diagnosis;
}

}  // namespace zstar::training
