#pragma once
/// \file The framework's own tables of an experiment: experiment, train, eval, regularizers, optimizer, schedule.

#include <string>

#include "zstar/options.hpp"

namespace zstar::training {

struct ExperimentOptions {
  std::string name = "experiment", device = "auto", dtype = "float32", runs = "runs";
  std::int64_t seed = 1, threads = 0;

  static auto options() {
    using O = ExperimentOptions;
    return std::tuple{
        opt("name", &O::name, "of the folder that the runs go to"),
        opt("seed", &O::seed, "of everything random", at_least(0)),
        opt("device", &O::device, "auto, cpu, cuda or cuda:N"),
        choice("dtype", &O::dtype, "of parameters and data", {"float32", "float64"}),
        opt("threads", &O::threads, "of LibTorch; 0: as many as cores", {0, 1024}),
        opt("runs", &O::runs, "folder of all runs")};
  }
};

struct PluginOptions {
  bool locked = false;
  std::vector<std::string> pin;

  static auto options() {
    using O = PluginOptions;
    return std::tuple{
        opt("locked", &O::locked, "run with exactly the plugins and the LibTorch of plugins.lock.toml beside this file, or not at all"),
        opt("pin", &O::pin, "plugins that must be these, as \"ID@VERSION\" or \"ID@sha256:HEX\"")};
  }
};

struct TrainOptions {
  std::int64_t epochs = 1, batch_size = 128, accumulate = 1, eval_every = 1, eval_every_steps = 0, log_every = 0, checkpoint_every = 0, keep_last = 2,
               prefetch = 4, loader_threads = 1, patience = 0;
  std::optional<std::int64_t> steps;
  std::optional<double> clip_norm;
  std::string clip = "global", on_divergence = "warn", correction = "exp", weights;
  double ema = 0.0, gamma = 0.8, correction_bias = 0.0;
  bool negative_weights = false;

  static auto options() {
    using O = TrainOptions;
    return std::tuple{
        opt("epochs", &O::epochs, "passes over the training split", {0, 1e9}),
        opt("weights", &O::weights, "where training starts: a run folder, a checkpoint, or a file of weights of another program; empty: weights drawn with the seed"),
        opt("steps", &O::steps, "optimiser steps at most; unset: as the epochs give", at_least(0)),
        opt("batch_size", &O::batch_size, "samples of a batch", {1, 1e9}),
        opt("accumulate", &O::accumulate, "batches of a step; their gradients make that of one large batch", {1, 1e9}),
        opt("clip_norm", &O::clip_norm, "gradients are scaled down to this 2-norm, or their numbers cut at ± this (clip = value); unset: never", above(0.0)),
        choice("clip", &O::clip, "the norm of all gradients together, or of each parameter's, or each number by itself", {"global", "per_parameter", "value"}),
        opt("ema", &O::ema, "decay of the averaged weights that are evaluated; 0: none", from_below(0.0, 1.0)),
        choice("correction", &O::correction,
               "weights of the losses of n states, k = 0 … n − 1: γ^(n−1−k), linear 1 − γ (n−k−1)/n + correction_bias, or const γ", {"exp", "linear", "const"}),
        opt("gamma", &O::gamma, "γ of the correction"),
        opt("correction_bias", &O::correction_bias, "added to the weights of the linear correction"),
        opt("negative_weights", &O::negative_weights, "let the correction give states a negative weight"),
        opt("eval_every", &O::eval_every, "epochs between evaluations; 0: at the end alone", at_least(0)),
        opt("eval_every_steps", &O::eval_every_steps, "steps between evaluations, besides those after epochs; 0: none", at_least(0)),
        opt("patience", &O::patience, "evaluations without a better metric after which training ends; 0: never", at_least(0)),
        opt("log_every", &O::log_every, "steps between records; 0: one an epoch", at_least(0)),
        opt("checkpoint_every", &O::checkpoint_every, "steps between checkpoints; 0: at evaluations", at_least(0)),
        opt("keep_last", &O::keep_last, "checkpoints kept, besides the best", at_least(1)),
        opt("prefetch", &O::prefetch, "batches loaded ahead; 0: none", at_least(0)),
        opt("loader_threads", &O::loader_threads, "threads that load training batches ahead; the batches are the same, in the same order", within(1, 256)),
        choice("on_divergence", &O::on_divergence, "a loss that is not finite: stop, skip the step, or warn and skip it",
               {"stop", "skip", "warn"})};
  }
};

struct EvalOptions {
  std::int64_t batch_size = 0, spectral_products = 20;
  bool training_split = true, spectral_radius = false, singular_value = false;
  static auto options() {
    using O = EvalOptions;
    return std::tuple{
        opt("batch_size", &O::batch_size, "samples of a batch; 0: as in training", at_least(0)),
        opt("training_split", &O::training_split, "the table at the end, and zstar eval, have a row of the training split too: a pass over all of it"),
        opt("spectral_radius", &O::spectral_radius, "measure ρ(J) at every equilibrium, by Arnoldi: below 1, plain iteration converges near it"),
        opt("singular_value", &O::singular_value, "measure ‖J‖₂ at every equilibrium: below 1, the map contracts there"),
        opt("spectral_products", &O::spectral_products, "vector–Jacobian products at most for each of them", at_least(1))};
  }
};

/// Samples of a batch in evaluation.
inline std::int64_t evaluation_batch_size(const EvalOptions& eval, const TrainOptions& train) { return eval.batch_size > 0 ? eval.batch_size : train.batch_size; }

struct RegularizerOptions {
  double weight = 1.0, chance = 1.0, rise = 0.0;
  std::int64_t every = 1, rise_every = 1;
  static auto options() {
    using O = RegularizerOptions;
    return std::tuple{opt("weight", &O::weight, "of the penalty in the loss, at first", at_least(0.0)),
                      opt("every", &O::every, "steps from one penalty to the next", at_least(1)),
                      opt("chance", &O::chance, "of such a step to have the penalty", within(0.0, 1.0)),
                      opt("rise", &O::rise, "added to the weight every rise_every steps", at_least(0.0)),
                      opt("rise_every", &O::rise_every, "steps from one rise of the weight to the next", at_least(1))};
  }
  double weight_at(std::int64_t step) const { return weight + rise * static_cast<double>(step / rise_every); }
};

struct NormOptions {
  std::vector<std::string> only, skip;
  static auto options() {
    using O = NormOptions;
    return std::tuple{
        opt("only", &O::only, "names of the weights or layers that are normed, '*' for any characters; empty: all that the model offers"),
        opt("skip", &O::skip, "names of those that are not; wins over only")};
  }
};

/// Of learning rates: their products with weight decay are numbers of float32 still.
constexpr Range rate() { return within(0.0, 1e30); }

struct SgdOptions {
  double lr = 0.1, momentum = 0.0, weight_decay = 0.0;
  bool nesterov = false;
  static auto options() {
    using O = SgdOptions;
    return std::tuple{opt("lr", &O::lr, "learning rate", rate()), opt("momentum", &O::momentum, "μ", from_below(0.0, 1.0)),
                      opt("weight_decay", &O::weight_decay, "added to the gradient, times the weight", within(0.0, 1e6)),
                      opt("nesterov", &O::nesterov, "Nesterov's form of the momentum")};
  }
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.0;
  static auto options() {
    using O = AdamOptions;
    return std::tuple{opt("lr", &O::lr, "learning rate", rate()), opt("beta1", &O::beta1, "β₁", from_below(0.0, 1.0)),
                      opt("beta2", &O::beta2, "β₂", from_below(0.0, 1.0)), opt("eps", &O::eps, "ε", {.low = 0.0, .high = 1e30, .open_low = true}),
                      opt("weight_decay", &O::weight_decay, "adam: added to the gradient; adamw: applied to the weight", within(0.0, 1e6))};
  }
};

struct RmspropOptions {
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0.0, momentum = 0.0;
  static auto options() {
    using O = RmspropOptions;
    return std::tuple{opt("lr", &O::lr, "learning rate", rate()), opt("alpha", &O::alpha, "decay of the squares", from_below(0.0, 1.0)),
                      opt("eps", &O::eps, "ε", {.low = 0.0, .high = 1e30, .open_low = true}), opt("weight_decay", &O::weight_decay, "added to the gradient", within(0.0, 1e6)),
                      opt("momentum", &O::momentum, "μ", from_below(0.0, 1.0))};
  }
};

/// Options of all schedules; which apply depends on the name.
struct ScheduleOptions {
  std::int64_t warmup = 0, every = 30, total = 0;
  std::vector<std::int64_t> at;
  double factor = 0.1, floor = 0.0, start = 0.04;
  bool from_first = false;
  std::string anneal = "cosine", unit = "steps";
  static auto warm() { return opt("warmup", &ScheduleOptions::warmup, "steps over which the rate rises linearly", at_least(0)); }
  static auto span() { return opt("total", &ScheduleOptions::total, "steps of the whole course; 0: those of the run", at_least(0)); }
  static auto overlap() { return opt("from_first", &ScheduleOptions::from_first, "the course counts from the first step, not from the end of the rise"); }
  static auto lowest() { return opt("floor", &ScheduleOptions::floor, "learning rate at the end", at_least(0.0)); }
  static auto step() {
    return std::tuple{warm(), opt("every", &ScheduleOptions::every, "steps from one drop to the next", {1, 1e9}),
                      opt("at", &ScheduleOptions::at, "steps after which the rate drops, once each; empty: every so many", {1, 1e9}),
                      choice("unit", &ScheduleOptions::unit, "what every and at count", {"steps", "epochs"}), opt("factor", &ScheduleOptions::factor, "of a drop", above(0.0))};
  }
  static auto one_cycle() {
    return std::tuple{span(), lowest(), opt("warmup", &ScheduleOptions::warmup, "steps of the rise; 0: 30 % of all", at_least(0)),
                      opt("start", &ScheduleOptions::start, "learning rate at first, as a share of the highest", within(0.0, 1.0)),
                      choice("anneal", &ScheduleOptions::anneal, "the way up and down", {"cosine", "linear"})};
  }
};

}  // namespace zstar::training
