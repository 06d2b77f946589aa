#pragma once
/// \file Session: an experiment's parts, built; and what the program does with them.

#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "core/experiment/experiment.hpp"
#include "core/gradient/layer.hpp"
#include "core/plugins/catalogue.hpp"
#include "core/training/options.hpp"
#include "zstar/abi/host.hpp"
#include "zstar/abi/model.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/nn/choose.hpp"
#include "zstar/nn/out_of_reach.hpp"

namespace zstar::training {

/// The schema of experiment files.
experiment::Schema schema();

/// The option tables of a catalogue, for checking experiments.
class CatalogueTables final : public experiment::PartTables {
 public:
  /// \param lock  file that `[plugins] locked` means; empty: there is none
  explicit CatalogueTables(plugins::Catalogue& catalogue, std::filesystem::path lock = {}) : catalogue_(catalogue), lock_(std::move(lock)) {}
  std::vector<std::string> names(Kind kind) const override { return catalogue_.names(kind); }
  std::vector<OptSpec> options(Kind kind, std::string_view name) const override { return catalogue_.options(kind, name); }
  /// `[plugins]`: what is locked or pinned is asked of the catalogue from then on. `[experiment]`: names of a folder and of a device.
  std::vector<experiment::Fault> accept(const experiment::Section& section) const override;
  std::vector<experiment::PartRefusal> make(const std::vector<experiment::Section>& read) const override;
  /// `[gradient] solver` of a method that solves no adjoint equation.
  std::string idle(const experiment::Section& section, const experiment::Section& inner) const override;

 private:
  plugins::Catalogue& catalogue_;
  std::filesystem::path lock_;
};

struct WeightedRegularizer {
  std::string name;
  RegularizerOptions options;
  std::unique_ptr<Regularizer> part;
};

/// Everything that an experiment names, built. Parts die before the host that they were given.
class Session {
 public:
  /// Seeds, chooses the device, builds data set, layer, norm, model and regularizers.
  /// \throws experiment::Refused  for options that a part refuses, at the place of its table
  Session(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, std::ostream& warnings);
  ~Session();

  /// What the parts of the last section read refuse: solvers, gradient methods with the layer of them all, norms and regularizers, which need
  /// no data to be made; nothing is made for good. \param read  sections in the order of schema()
  static std::vector<experiment::PartRefusal> refusals(const std::vector<experiment::Section>& read, plugins::Catalogue& catalogue);
  /// Whether autograd differentiates the steps of the method that a table names, so that no adjoint equation is solved.
  static bool by_autograd(const experiment::Section& gradient, plugins::Catalogue& catalogue);

  const ExperimentOptions options;
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat32;

  Dataset& dataset() { return *dataset_; }
  Model& model() { return *model_; }
  gradient::Layer& layer() { return *layer_; }
  /// Whether the model asked for the layer; one without it is explicit.
  bool has_equilibrium() const;
  /// What further parts may be made with.
  Host& host();
  /// What the norm acts on, and what it could act on.
  const nn::Chosen& normed() const { return chosen_; }
  /// Weights of modules that know of no norm.
  const nn::OutOfReach& out_of_reach() const { return out_of_reach_; }
  std::vector<WeightedRegularizer>& regularizers() { return regularizers_; }

  /// A batch on the device of the session, floating tensors in its dtype.
  Batch to_device(Batch batch) const;

 private:
  class PartHost;
  void warn_of_idle(const experiment::Experiment& experiment);

  std::unique_ptr<PartHost> host_;
  std::shared_ptr<gradient::Layer> layer_;
  std::unique_ptr<Dataset> dataset_;
  std::shared_ptr<Model> model_;
  nn::Chosen chosen_;
  nn::OutOfReach out_of_reach_;
  std::vector<WeightedRegularizer> regularizers_;
};

/// How a run ended; values are the program's exit codes.
enum class RunEnd : int { done = 0, failed = 1, interrupted = 130, terminated = 143 };

struct RunRequest {
  std::filesystem::path resume;  ///< run folder to go on with; empty: a new run
  std::int64_t most_steps = -1;  ///< for a smoke run; negative: as the experiment says
  bool terminal = false;         ///< one line that is rewritten, instead of plain lines
  std::string identity;          ///< command line, for the record
  std::string record;            ///< experiment.toml of the run, where it is not the experiment itself
};

/// Trains; everything goes to a run folder. Text for people goes to `out`.
RunEnd train(const experiment::Experiment& experiment, plugins::Catalogue& catalogue, const RunRequest& request, std::ostream& out);

/// Where weights come from: a checkpoint or run folder, or a file that another program saved.
struct WeightsFrom {
  std::filesystem::path checkpoint, file;
  std::string key;  ///< of the weights in the file; empty: the outermost dict
};
/// \throws std::runtime_error  for damaged files, and for weights of another model, which is then untouched
void load_weights(Session& session, const WeightsFrom& from);

/// Metrics of weights on all splits.
std::vector<std::pair<std::string, std::vector<Metric>>> evaluate(const experiment::Experiment& experiment, plugins::Catalogue& catalogue,
                                                                  const WeightsFrom& from, std::ostream& warnings);

}  // namespace zstar::training
