#include "core/training/session.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>

#include <ATen/Parallel.h>

#include "core/gradient/plan.hpp"
#include "core/training/doubts.hpp"
#include "core/training/solver_choice.hpp"
#include "zstar/adjoint_report.hpp"
#include "zstar/guard.hpp"

namespace zstar::training {
namespace {

experiment::SectionSpec solver_section(const std::string& name, const std::string& doc, const std::string& part, const solve::Options& defaults) {
  experiment::SectionSpec spec{name, doc, Kind::solver};
  spec.default_part = part;
  spec.framework = describe(solve::Options::options());
  for (OptSpec& o : spec.framework) {
    if (o.name == "tolerance") o.def = defaults.tolerance;
    if (o.name == "max_evaluations") o.def = defaults.max_evaluations;
  }
  return spec;
}

/// "'a', 'b', 'c' and 4 more"
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i) text += (i ? ", '" : "'") + names[i] + '\'';
  return names.size() > shown ? text + " and " + std::to_string(names.size() - shown) + " more" : text;
}

}  // namespace

experiment::Schema schema() {
  using experiment::SectionSpec;
  SectionSpec experiment{"experiment", "name, seed, device"};
  experiment.framework = describe(ExperimentOptions::options());
  SectionSpec plugins{"plugins", "which plugins may be used; never where they lie"};
  plugins.framework = describe(PluginOptions::options());
  SectionSpec dataset{"dataset", "what is learned from", Kind::dataset};
  SectionSpec model{"model", "what learns", Kind::model};
  dataset.required = model.required = true;
  SectionSpec gradient{"gradient", "how equilibria are differentiated", Kind::gradient};
  gradient.default_part = "implicit";
  gradient.framework = describe(gradient::Options::options());
  SectionSpec intermediate{"intermediate", "gradient method of the sampled states before the last", Kind::gradient};
  intermediate.default_part = "phantom";
  intermediate.wanted = [](const Settings& of_gradient) {
    const auto o = make_options<gradient::Options>(gradient::Options::options(), of_gradient);
    return o.states > 1 || !o.sample_at.empty();
  };
  gradient.nested = {solver_section("solver", "of the adjoint equation", "broyden", {.tolerance = 1e-6, .max_evaluations = 60}), intermediate};
  SectionSpec start{"start", "where solves begin"};
  start.framework = describe(gradient::StartOptions::options());
  SectionSpec norm{"norm", "of the weights inside the map", Kind::norm};
  norm.may_be_none = true;
  norm.framework = describe(NormOptions::options());
  SectionSpec regularizers{"regularizers", "penalties added to the loss", Kind::regularizer, /*array=*/true};
  regularizers.framework = describe(RegularizerOptions::options());
  SectionSpec optimizer{"optimizer", "of the parameters"};
  optimizer.default_part = "adam";
  optimizer.variants = {{"sgd", describe(SgdOptions::options())}, {"adam", describe(AdamOptions::options())},
                        {"adamw", describe(AdamOptions::options())}, {"rmsprop", describe(RmspropOptions::options())}};
  SectionSpec schedule{"schedule", "of the learning rate, step by step"};
  schedule.default_part = "constant";
  using S = ScheduleOptions;
  schedule.variants = {{"constant", describe(std::tuple{S::warm()})}, {"step", describe(S::step())},
                       {"cosine", describe(std::tuple{S::warm(), S::span(), S::lowest(), S::overlap()})},
                       {"linear", describe(std::tuple{S::warm(), S::span(), S::lowest(), S::overlap()})}, {"one_cycle", describe(S::one_cycle())}};
  SectionSpec train{"train", "the training loop"}, eval{"eval", "evaluation"};
  train.framework = describe(TrainOptions::options());
  eval.framework = describe(EvalOptions::options());
  SectionSpec solver = solver_section("solver", "of the forward pass", "broyden", {.tolerance = 1e-4, .max_evaluations = 40});
  SectionSpec precision{"precision", "solves that begin with f in low precision"};
  precision.framework = describe(gradient::PrecisionOptions::options());
  solver.nested = {precision};
  return {experiment, plugins, dataset, model, solver,
          gradient, start, norm, regularizers, optimizer, schedule, train, eval};
}

/// What the parts of one session may ask for.
class Session::PartHost final : public Host {
 public:
  PartHost(plugins::Catalogue& catalogue, std::ostream& warnings) : catalogue_(catalogue), warnings_(warnings) {}

  Products& products() override { return solve::local_products(); }
  std::unique_ptr<Solver> solver(const Part& part) override {
    return catalogue_.create<Solver>(Kind::solver, part.name, part.settings, *this);
  }
  std::shared_ptr<EquilibriumLayer> layer() override { return asked_for_layer_ = true, needed(layer_, "a layer"); }
  bool asked_for_layer() const { return asked_for_layer_; }
  std::shared_ptr<Norm> norm() override { return norm_; }
  const Description& data() override { return *needed(description_, "a data set"); }
  void warn(std::string_view sentence) override {
    if (said_.emplace(sentence).second) warnings_ << "zstar: warning: " << sentence << '\n';
  }

  void set(std::shared_ptr<EquilibriumLayer> layer) { layer_ = std::move(layer); }
  void set(std::shared_ptr<Norm> norm) { norm_ = std::move(norm); }
  void release() { layer_.reset(), norm_.reset(); }
  void set(const Description& description) { description_ = std::make_shared<Description>(description); }

 private:
  template <class T>
  const std::shared_ptr<T>& needed(const std::shared_ptr<T>& service, const char* what) const {
    if (!service) throw std::logic_error(std::string("this kind of part has no use for ") + what);
    return service;
  }

  plugins::Catalogue& catalogue_;
  std::ostream& warnings_;
  std::set<std::string, std::less<>> said_;
  std::shared_ptr<EquilibriumLayer> layer_;
  bool asked_for_layer_ = false;
  std::shared_ptr<Norm> norm_;
  std::shared_ptr<Description> description_;
};

namespace {

/// Makes the parts that sections name. What they refuse of their options goes to `refuse`; where that returns, the part is null. `fail`, which does
/// not return, hears why one cannot be made at all.
struct Maker {
  plugins::Catalogue& catalogue;
  Host& host;
  std::function<void(const experiment::Section&, const OptionError&)> refuse;
  std::function<void(Kind, const experiment::Section&, const plugins::NotCreated&)> fail;

  template <class T>
  std::unique_ptr<T> make(Kind kind, const experiment::Section& s) const {
    try {
      return catalogue.create<T>(kind, s.part, s.options, host);
    } catch (const OptionError& error) {
      refuse(s, error);
    } catch (const plugins::NotCreated& error) {
      fail(kind, s, error);
    }
    return nullptr;
  }
  gradient::SolverChoice chosen(const experiment::Section& s) const { return solver_choice(catalogue, host, s.part, s.options, s.as<solve::Options>()); }
  gradient::SolverChoice solver(const experiment::Section& s) const {
    make<Solver>(Kind::solver, s);  // refuse early
    return chosen(s);
  }
  /// The parts of the layer. \param g  the table `[gradient]`
  gradient::LayerParts layer(gradient::SolverChoice forward, const experiment::Section& g) const {
    const auto* intermediate = g.find_nested("intermediate");
    return {std::move(forward), solver(*g.find_nested("solver")), make<GradientMethod>(Kind::gradient, g),
            intermediate ? make<GradientMethod>(Kind::gradient, *intermediate) : nullptr, g.as<gradient::Options>(), {}, g.part};
  }
};

}  // namespace

std::vector<experiment::PartRefusal> Session::refusals(const std::vector<experiment::Section>& read, plugins::Catalogue& catalogue) {
  const experiment::Section& s = read.back();
  std::ostringstream unsaid;
  PartHost host(catalogue, unsaid);
  std::vector<experiment::PartRefusal> found;
  const Maker maker{catalogue, host, [&found](const experiment::Section& section, const OptionError& error) { found.push_back({&section, error}); },
                    [](Kind, const experiment::Section&, const plugins::NotCreated&) { throw; }};
  try {
    if (s.name == "solver") maker.solver(s);
    if (s.name == "norm") maker.make<Norm>(Kind::norm, s);
    if (s.name == "regularizers") maker.make<Regularizer>(Kind::regularizer, s);
    const auto forward = std::find_if(read.begin(), read.end(), [](const experiment::Section& one) { return one.name == "solver"; });
    if (s.name != "gradient" || forward == read.end() || !forward->sound) return found;
    gradient::LayerParts parts = maker.layer(maker.chosen(*forward), s);
    if (found.empty()) gradient::Layer{std::move(parts)};
    else gradient::sampling_marks(parts.options, parts.forward.options.max_evaluations);  // the plan can be checked all the same
  } catch (const OptionError& error) {  // of the layer
    found.push_back({&s, error});
  } catch (const std::exception&) {  // that a part cannot be made is said when it is to be
  }
  return found;
}

bool Session::by_autograd(const experiment::Section& gradient, plugins::Catalogue& catalogue) {
  std::ostringstream unsaid;
  PartHost host(catalogue, unsaid);
  try {
    return catalogue.create<GradientMethod>(Kind::gradient, gradient.part, gradient.options, host)->query(ByAutograd::id) != nullptr;
  } catch (const std::exception&) {  // that it cannot be made is said when it is to be
    return false;
  }
}

namespace {

/// An option that a part refuses is an error of the experiment, at the place of the option.
template <class F>
auto at_place(const experiment::Experiment& experiment, const experiment::Section& section, const F& build) {
  try {
    return build();
  } catch (const OptionError& error) {
    throw experiment.refusal(section, error);
  }
}

/// What the constructor of the part of a section said, as a sentence at the place of the section.
std::runtime_error not_made(const experiment::Experiment& experiment, Kind kind, const experiment::Section& section, const plugins::NotCreated& error) {
  experiment::Fault fault = experiment::fault_of(error.words());
  fault.what = std::string(plugins::to_string(kind)) + " '" + section.part + "' cannot be made: " + fault.what;
  const std::string show = "'zstar plugins show " + section.part + "' explains its options";
  if (fault.remedy.empty()) fault.remedy = kind == Kind::dataset ? "look at the files that it reads; " + show : kind == Kind::model ? "choose a model and a data set that fit; " + show : show;
  return std::runtime_error(experiment.sentence(section, fault));
}

torch::Device choose_device(const ExperimentOptions& o) {
  if (o.device == "auto") return torch::hasCUDA() ? torch::Device(torch::kCUDA, 0) : torch::Device(torch::kCPU);
  const bool cuda = o.device != "cpu";
  if (cuda && !torch::hasCUDA())
    throw OptionError("device", "'" + o.device + "' was asked for, this process has no CUDA device; use device = \"cpu\", or see in 'zstar doctor' what is missing");
  return o.device == "cuda" ? torch::Device(torch::kCUDA, 0) : torch::Device(o.device);
}

}  // namespace

Session::Session(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, std::ostream& warnings)
    : options(experiment.at("experiment").as<ExperimentOptions>()), device(at_place(experiment, experiment.at("experiment"), [this] { return choose_device(options); })),
      dtype(options.dtype == "float64" ? torch::kFloat64 : torch::kFloat32), host_(std::make_unique<PartHost>(catalogue, warnings)) {
  for (const std::string& sentence : doubts(experiment)) host_->warn(sentence);
  torch::manual_seed(static_cast<std::uint64_t>(options.seed));
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  const Maker maker{catalogue, *host_, [&experiment](const experiment::Section& s, const OptionError& error) { throw experiment.refusal(s, error); },
                    [&experiment](Kind kind, const experiment::Section& s, const plugins::NotCreated& error) { throw not_made(experiment, kind, s, error); }};
  dataset_ = maker.make<Dataset>(Kind::dataset, experiment.at("dataset"));
  host_->set(guarded([&] { return call_text(*dataset_, "data set '" + experiment.at("dataset").part + "'", "describe"); }, [&] { return dataset_->describe(); }));
  if (const auto* norm = experiment.find("norm")) host_->set(std::shared_ptr<Norm>(maker.make<Norm>(Kind::norm, *norm)));

  const experiment::Section& g = experiment.at("gradient");
  gradient::LayerParts parts = maker.layer(maker.solver(experiment.at("solver")), g);
  parts.start = experiment.at("start").as<gradient::StartOptions>();
  parts.precision = experiment.at("solver").find_nested("precision")->as<gradient::PrecisionOptions>();
  parts.warn = [this](const std::string& sentence) { host_->warn(sentence); };
  layer_ = at_place(experiment, g, [&] { return std::make_shared<gradient::Layer>(std::move(parts)); });
  host_->set(std::shared_ptr<EquilibriumLayer>(layer_));

  model_ = maker.make<Model>(Kind::model, experiment.at("model"));
  if (!has_equilibrium()) warn_of_idle(experiment);
  if (const auto* norm = experiment.find("norm")) {
    const auto o = norm->as<NormOptions>();
    chosen_ = at_place(experiment, *norm, [&] { return nn::choose_normed(*model_, o.only, o.skip); });
    if (chosen_.normed.empty()) host_->warn("[norm] acts on no weight of this model");
    out_of_reach_ = nn::weights_out_of_reach(*model_);
    if (const auto& torchs = out_of_reach_.of_torch; !torchs.empty())
      host_->warn("[norm] leaves " + listed(torchs) + " as they are: their modules know of no norm; those of zstar/nn.hpp do (nn::Linear for torch::nn::Linear)");
  }
  model_->to(device, dtype);
  for (const experiment::Section* s : experiment.all("regularizers"))
    regularizers_.push_back({s->part, s->as<RegularizerOptions>(), maker.make<Regularizer>(Kind::regularizer, *s)});
}

/// What an explicit model leaves without an effect.
void Session::warn_of_idle(const experiment::Experiment& experiment) {
  std::string sections;
  for (const char* name : {"solver", "gradient", "start", "regularizers"}) {
    const auto all = experiment.all(name);
    if (std::any_of(all.begin(), all.end(), [](const auto* s) { return s->altered; })) sections += (sections.empty() ? "[" : ", [") + std::string(name) + "]";
  }
  if (!sections.empty()) host_->warn("nothing in " + sections + " has an effect: model '" + experiment.at("model").part + "' has no equilibrium");
}

Host& Session::host() { return *host_; }
bool Session::has_equilibrium() const { return host_->asked_for_layer(); }

/// In the order of creation reversed.
Session::~Session() {
  while (!regularizers_.empty()) regularizers_.pop_back();
  model_.reset();
  layer_.reset();
  host_->release();
  dataset_.reset();
}

Batch Session::to_device(Batch batch) const {
  for (auto& [name, tensor] : batch.tensors)
    tensor = tensor.is_floating_point() ? tensor.to(device, dtype) : tensor.to(device);
  return batch;
}

}  // namespace zstar::training
