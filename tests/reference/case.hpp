#pragma once
/// \file Case: one reference case of a folder, and the comparison of what this build gives with what it holds.

#include <filesystem>
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

/// A layer of the case's settings, and the budget of its forward solve.
struct Setup {
  gradient::LayerParts parts;
  std::int64_t budget = 0;
};
/// \param record  outlives the layer
Setup set_up(const Case& c, AdjointRecord& record);
std::shared_ptr<Norm> make_norm(const Case& c);

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
