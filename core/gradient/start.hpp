#pragma once
/// \file Where solves begin: the model's own state, noise, or what an earlier solve of the same sample found.

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "zstar/abi/report.hpp"
#include "zstar/abi/state.hpp"
#include "zstar/options.hpp"

namespace zstar::gradient {

/// The table `[start]` of an experiment.
struct StartOptions {
  std::string from = "model", store = "none", precision = "state";
  std::int64_t capacity = 100000, probe_every = 10, max_age = 0;
  bool adjoint = false;

  static auto options() {
    using O = StartOptions;
    return std::tuple{
        choice("from", &O::from, "the first iterate: the model's own, zeros, standard normal numbers, or mixed: those times Bernoulli(1/2)",
               {"model", "zeros", "normal", "mixed"}),
        choice("store", &O::store, "keep equilibria of training and begin there: by the sample's id, or by its position in the batch (streams, whole graphs); of a model that "
               "solves several times in a pass, by the number of the solve, too",
               {"none", "sample", "position"}),
        opt("capacity", &O::capacity, "states kept; beyond it the oldest leave", at_least(1)),
        opt("max_age", &O::max_age, "calls after which a state is too old to begin at; 0: never", at_least(0)),
        choice("precision", &O::precision, "of what is kept: the state's own, or half", {"state", "half"}),
        opt("adjoint", &O::adjoint, "keep the adjoints, too, and begin backward solves there"),
        opt("probe_every", &O::probe_every, "every so many calls begin cold, to measure what the store saves; 0: never", at_least(0))};
  }
};

/// What a state is kept under.
struct StartKey {
  std::int64_t sample = 0;  ///< its id, or its position in the batch
  std::int64_t step = 0;    ///< number of the solve in the pass of the model: its layer, frame or place in the sequence
  auto operator<=>(const StartKey&) const = default;
};
using StartKeys = std::vector<StartKey>;

/// States by key, with their age.
class StateStore {
 public:
  explicit StateStore(const StartOptions& options) : o_(options) {}

  /// Rows of z [B, D] replaced by what is kept for the keys. \return how many were, and the sum of their ages in calls
  std::pair<std::int64_t, std::int64_t> fetch(const StartKeys& keys, Tensor& z, std::int64_t now) const;
  /// Keeps the rows of z whose entry in `good` is set.
  void put(const StartKeys& keys, const Tensor& z, const std::vector<char>& good, std::int64_t now);
  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }

  void save(const std::string& prefix, std::map<std::string, Tensor>& tensors) const;
  void load(const std::string& prefix, const std::map<std::string, Tensor>& tensors);

 private:
  struct Entry {
    Tensor row;  // [D], on the CPU
    std::int64_t call;
  };
  StartOptions o_;
  std::map<StartKey, Entry> entries_;
};

/// The starts of one layer's solves.
class Starts {
 public:
  explicit Starts(const StartOptions& options) : o_(options), states_(options), adjoints_(options) {}

  const StartOptions& options() const { return o_; }
  /// The model begins a pass over a batch: solves are counted from here. Without passes, every solve is the first.
  void pass() { step_ = 0, passes_ = true; }
  /// What this call begins with. \param ids  of the samples; empty: unknown
  State begin(const State& z0, const std::vector<std::int64_t>& ids, bool training);
  /// Takes what the call found. Samples without a fixed point are not kept.
  void end(const State& z, const Report& report);
  /// The keys of the call under way; empty: nothing is kept.
  const StartKeys& keys() const { return keys_; }

  /// Start of an adjoint solve; undefined: none is kept. \param like  [B, D]
  Tensor adjoint(const StartKeys& keys, const Tensor& like) const;
  void keep_adjoint(const StartKeys& keys, const Tensor& u, const Report& report);

  /// Numbers since the last call of this function: entries, share found, mean age, evaluations of warm and of cold starts and their ratio.
  std::vector<std::pair<std::string, double>> flush();
  void save(std::map<std::string, Tensor>& tensors) const;
  void load(const std::map<std::string, Tensor>& tensors);

 private:
  struct Side {
    double evaluations = 0, samples = 0;
  };
  StartOptions o_;
  StateStore states_, adjoints_;
  StartKeys keys_;
  bool passes_ = false;
  std::int64_t step_ = 0, calls_ = 0, wanted_ = 0, found_ = 0, age_ = 0;
  bool cold_ = false;
  Side warm_, cold_side_;
};

}  // namespace zstar::gradient
