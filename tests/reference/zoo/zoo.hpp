#pragma once
/// \file Families of published models: how the settings of a case become a model of this build, and what its results are
/// called. A family is a source file beside this one with one line ZSTAR_ZOO_FAMILY; no list names it.

#include <torch/optim/optimizer.h>

#include "tests/reference/case.hpp"
#include "zstar/abi/model.hpp"

namespace zstar::reference::zoo {

/// One family. Names and layouts are those of the case; the defaults hold for a model with one solve, whose parameters have
/// the published names.
class Family {
 public:
  virtual ~Family() = default;

  virtual std::string model() const = 0;                       ///< name of the plugin
  virtual Settings options(const Case& c) const = 0;           ///< of the plugin
  virtual Description data(const Case& c) const = 0;           ///< what the data set would say
  virtual Batch batch(const Case& c, std::int64_t segment) const = 0;
  virtual std::int64_t segments(const Case&) const { return 1; }

  /// Changes settings before they are read: `c.settings` holds the library's options beside `model`, `mode`, ….
  virtual void adjust(Case&) const {}
  /// After the parameters are in place and before the first forward pass.
  virtual void begin(Case&, Model&) const {}
  /// Whether the loss sees the last returned state alone.
  virtual bool last_alone() const { return false; }
  /// Whether the published model has that parameter or buffer and never uses it.
  virtual bool unused(const Case&, const std::string& /*parameter*/) const { return false; }
  /// Prefix of the results of solve number k of a forward pass ("ig1."), after that of the segment.
  virtual std::string solve_prefix(const Case&, std::size_t) const { return ""; }
  /// Name of the model's output number k.
  virtual std::string output_name(const Case&, std::size_t k) const { return "logits_" + std::to_string(k); }
  /// The tensors of a state in the layout of the case, with what follows their name ("", ".branch_0").
  virtual std::vector<std::pair<std::string, Tensor>> states(const State& z) const = 0;
  /// A state of the shapes of `like` from tensors in the layout of the case.
  virtual State state(const std::vector<Tensor>& tensors, const State& like) const = 0;
  /// Prefix of the results of a forward pass.
  virtual std::string pass_prefix(const Case& c, std::int64_t pass) const {
    if (c.settings.contains("train")) return "step" + std::to_string(pass) + ".";
    return segments(c) > 1 ? "seg" + std::to_string(pass) + "." : "";
  }
  /// The model's outputs, one for each returned state. \param prefix  of the pass
  virtual void compare_outputs(Case& c, const std::vector<Tensor>& outputs, const std::string& prefix) const {
    for (std::size_t k = last_alone() ? outputs.size() - 1 : 0; k < outputs.size(); ++k) c.compare("output/" + prefix + output_name(c, k), outputs[k]);
  }
  /// What is differentiated: the loss of a pass, and penalties.
  virtual Tensor total(Case&, const Tensor& loss, const std::vector<Solved>&, const std::string& /*prefix*/) const { return loss; }
  /// Learning rate of a training step, by the settings of the run.
  virtual double rate(const nlohmann::json& train, std::int64_t step) const;
  /// Results of this family alone, after each forward pass. \param prefix  of the segment or training step
  virtual void compare_more(Case&, Model&, const std::vector<Solved>&, const std::string& /*prefix*/) const {}
};

struct Registration {
  Registration(const std::string& family, std::shared_ptr<const Family> value);
};

/// Runs a case of kind model with a family.
void run(Case& c);

/// What runs the cases whose settings name it (`runner`): a source file beside this one with a line ZSTAR_ZOO_RUNNER.
using Runner = void (*)(Case&);
struct RunnerRegistration {
  RunnerRegistration(const std::string& name, Runner runner);
};
void run_named(Case& c);

/// The library's options beside the settings of the case, norms under the names of the kind norm.
void flatten(Case& c);
/// The parameters and buffers of the case, strictly: each has its tensor, each tensor is used.
/// \param below  a prefix of the names in the case, for a module that is a part of its model: "injection."
/// \param unused  which parameters the published model has and never uses
void load(Case& c, torch::nn::Module& module, const std::string& below = "", const std::function<bool(const std::string&)>& unused = {});
/// \param train  name (sgd, adam), lr, momentum, weight_decay, nesterov
std::unique_ptr<torch::optim::Optimizer> optimiser(const nlohmann::json& train, const std::vector<Tensor>& parameters);

}  // namespace zstar::reference::zoo

#define ZSTAR_ZOO_FAMILY(Class, name) \
  static const ::zstar::reference::zoo::Registration zstar_zoo_##Class##_registration(name, std::make_shared<Class>());
#define ZSTAR_ZOO_RUNNER(function, name) \
  static const ::zstar::reference::zoo::RunnerRegistration zstar_zoo_##function##_registration(name, function);
