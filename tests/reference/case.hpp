#pragma once
/// \file Case: one reference case of a folder, and the comparison of what this build gives with what it holds.

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "tests/support/parts.hpp"

namespace zstar::reference {

class Case {
 public:
  /// Reads case.json and tensors.safetensors. \throws std::runtime_error  for damaged files
  explicit Case(const std::filesystem::path& folder);

  std::filesystem::path folder;
  std::string name, kind, family;
  nlohmann::json settings, function;

  bool has(const std::string& tensor) const { return tensors_.count(tensor) > 0; }
  /// The names of all tensors that begin so.
  std::set<std::string> names(const std::string& prefix) const;
  /// A tensor of the case, in the dtype of the case.
  const Tensor& at(const std::string& tensor) const;
  Tensor leaf(const std::string& tensor) const { return at(tensor).clone().requires_grad_(); }

  template <class T>
  T get(const char* key, T fallback) const {
    return settings.contains(key) && !settings[key].is_null() ? settings[key].get<T>() : fallback;
  }

  /// Compares a result with the tensor of that name, if the case has one.
  void compare(const std::string& tensor, const Tensor& got);
  /// A result that this build does not have, rightly.
  void pass_over(const std::string& tensor) { wanted_.erase(tensor); }
  /// A failure that is no difference of numbers.
  void fail(const std::string& reason) { reason_ = reason_.empty() ? reason : reason_; }
  /// Every result of the case that nobody compared is a failure.
  bool passed();
  std::string line();

 private:
  std::map<std::string, Tensor> tensors_;
  nlohmann::json tolerance_;
  std::set<std::string> wanted_;
  std::string reason_, worst_;
  double worst_share_ = 0, worst_error_ = 0;
};

/// The maps of the README's families, with gradients reaching `leaves`.
struct Family {
  std::map<std::string, Tensor> leaves;  ///< "W", "x", …: parameters and inputs that f uses
  std::vector<std::string> states;       ///< names of the state tensors after a dot; one empty name for a single one
  FixedPointMap f;
};
Family make_family(const Case& c);
/// `prefix`, or `prefix.a`, `prefix.b`.
State state_of(const Case& c, const Family& family, const std::string& prefix);
/// All tensors of a state side by side, [B, D].
Tensor flat(const State& z);

/// f and its evaluations in order, until stopped.
struct Recorder {
  std::vector<Tensor> in, out;
  bool on = true;
  FixedPointMap wrap(const FixedPointMap& f);
  std::pair<Tensor, Tensor> traces() const { return {torch::stack(in), torch::stack(out)}; }
};

gradient::SolverChoice compatible_solver(const std::string& name, const nlohmann::json& extras, const solve::Options& options);

/// The adjoint solver's arguments, values and result.
struct AdjointRecord {
  std::vector<Tensor> in, out;
  Tensor solution;
};

/// What the reference does with one sampled state.
struct Functor {
  std::int64_t steps = 1;                ///< damped steps on the graph
  std::vector<std::int64_t> handed_out;  ///< after which of them; one may stand twice, or none at all
  bool implicit = false;                 ///< in place of the steps
};
/// Which states the reference samples. Of marks and functors, the longer list is cut.
struct Plan {
  std::vector<std::int64_t> marks;  ///< sliced: the budget of each solve; indexing: evaluations of the one solve
  std::vector<Functor> functors;
};
/// A layer of the case's settings, and the budget of its forward solve.
struct Setup {
  gradient::LayerParts parts;  ///< those of the layer, or at least both solvers where it cannot hold the plan
  Plan plan;
  std::function<std::vector<std::int64_t>(std::int64_t budget)> marks_of_call;  ///< as long as the case lives
  std::vector<std::shared_ptr<GradientMethod>> methods;  ///< of each functor
  std::int64_t budget = 0;
  bool training = true, held = true;  ///< held: the layer's own plan is the reference's
};
/// What a call of the layer gives.
struct Joined {
  std::vector<State> states;
  Report forward;
  std::vector<std::shared_ptr<std::vector<Report>>> backward = {};
};
/// \param record  outlives the layer
Setup set_up(const Case& c, AdjointRecord& record);
/// Parts and plan of the settings, both solvers being there.
void set_plan(const Case& c, Setup& setup);
/// One call; by the steps of the reference where no plan of the layer says the same.
/// \param recorder  of f's evaluations; may be null
Joined join(const Setup& setup, const FixedPointMap& f, const State& z0, Recorder* recorder = nullptr);
/// The layer of the settings for a model, by the steps of the reference where its own plan says something else.
class PlannedLayer final : public EquilibriumLayer {
 public:
  /// \param sink  takes every call
  PlannedLayer(Setup setup, std::vector<Solved>* sink);
  Equilibrium solve(const FixedPointMap& f, const State& z0, const SolveOptions& options = {}) override;

 private:
  Setup setup_;
  gradient::Layer layer_;
  std::vector<Solved>* sink_;
};
/// A state of the graph's end alone, joined by the gradient method of the parts.
Equilibrium join_at_rest(gradient::LayerParts parts, const FixedPointMap& f, const State& z);
std::shared_ptr<Norm> make_norm(const Case& c);
/// Of the loss of state k of n.
double weight_of(const Case& c, std::int64_t n, std::int64_t k);

void run_solver(Case& c);
void run_layer(Case& c);
void run_norm(Case& c);
void run_model(Case& c);
void run_regularizer(Case& c);
void run_dropout(Case& c);
void run_correction(Case& c);
void run_spectral_radius(Case& c);
void run_files(Case& c);

}  // namespace zstar::reference
