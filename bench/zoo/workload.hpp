#pragma once
/// \file A workload of the zoo: a model, a batch of random data, a layer and an optimiser, all fixed. Sizes: those of the published models'
/// timing workloads; what each step costs in evaluations of the map is part of the definition.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/optimizer.h>

#include "tests/support/model_host.hpp"
#include "zstar/abi/regularizer.hpp"

namespace zstar::bench {

/// low: solves begin in bfloat16. lean: memory is spared; what a graph would hold is evaluated again in backward, or fewer samples are solved at a time.
enum class Variant { plain, low, lean };

/// What a workload is made of.
struct Recipe {
  std::shared_ptr<gradient::Layer> layer;
  std::string norm;
  Settings norm_settings;
  Description data;
  std::string model;
  Settings settings;
  Batch batch;
};

/// \param adjoint  of an implicit gradient
inline std::shared_ptr<gradient::Layer> layer(const std::string& gradient, const Settings& settings, const std::string& solver, const solve::Options& forward, const solve::Options& adjoint,
                                              Variant variant = Variant::plain) {
  gradient::LayerParts parts{test::choice(solver, forward), test::choice(solver, adjoint), test::make<GradientMethod>(Kind::gradient, gradient, settings),
                             test::make<GradientMethod>(Kind::gradient, "phantom"), {}};
  if (variant == Variant::low) parts.precision = {.low = "bfloat16", .until = 1e-9};  // the share alone ends it, as the tolerance is 0
  parts.options.checkpoint = variant == Variant::lean;
  return std::make_shared<gradient::Layer>(std::move(parts));
}

/// Every solve of a workload spends its budget: a residual of exactly zero is no reason to stop, either.
inline solve::Options budget(std::int64_t evaluations) {
  return {.tolerance = -1, .max_evaluations = evaluations, .stall_window = 0, .divergence = 1e30, .floor = false};
}

class ZooWorkload {
 public:
  explicit ZooWorkload(Recipe recipe) : batch_(std::move(recipe.batch)), layer_(std::move(recipe.layer)) {
    layer_->record_into(&solves_);
    host_ = std::make_unique<test::ModelHost>(layer_, test::make<Norm>(Kind::norm, recipe.norm, recipe.norm_settings), recipe.data);
    model_ = test::catalogue().create<Model>(Kind::model, recipe.model, recipe.settings, *host_);
    for (const Tensor& p : model_->parameters())
      if (p.requires_grad() && std::none_of(parameters.begin(), parameters.end(), [&p](const Tensor& known) { return known.is_same(p); })) parameters.push_back(p);
  }

  /// Forward, loss, backward, step of the optimiser.
  void train() {
    model_->train();
    solves_.clear();
    for (Tensor& p : parameters) p.mutable_grad() = Tensor();
    for (std::int64_t part = 0; part < parts; ++part) {
      const Batch batch = part_of(part);
      (model_->loss(model_->forward(batch).back(), batch) / static_cast<double>(parts)).backward();
    }
    if (clip_norm > 0) torch::nn::utils::clip_grad_norm_(parameters, clip_norm);
    optimizer->step();
  }
  void evaluate() {
    model_->eval();
    solves_.clear();
    const torch::NoGradGuard no_grad;
    if (evaluation) evaluation(*model_);
    else
      for (std::int64_t part = 0; part < parts; ++part) model_->forward(part_of(part));
  }
  /// Evaluations of the map in the step before, over all its solves.
  std::int64_t calls(bool training) const {
    std::int64_t n = 0;
    for (const Solved& s : solves_) n += s.equilibrium.forward.front().calls + s.equilibrium.gradient_evaluations + (training ? calls_in_backward : 0);
    return n / parts;
  }

  std::vector<Tensor> parameters;  ///< those that are trained, each once
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::int64_t parts = 1;               ///< of the batch, one after the other
  double clip_norm = 0;                 ///< 0: never
  std::function<void(Model&)> evaluation;  ///< what an evaluation is where it is no forward pass
  std::int64_t calls_in_backward = 0;   ///< of a solve: an implicit gradient evaluates the map once more

 private:
  Batch part_of(std::int64_t part) const {
    if (parts == 1) return batch_;
    Batch few;
    for (const auto& [name, tensor] : batch_.tensors) few.tensors.emplace_back(name, tensor.chunk(parts)[part]);
    return few;
  }

  Batch batch_;
  std::vector<Solved> solves_;
  std::shared_ptr<gradient::Layer> layer_;
  std::unique_ptr<test::ModelHost> host_;
  std::shared_ptr<Model> model_;
};

/// \param name  deq_lm, deq_lm_ift, deq_seq_ift; mdeq_small, mdeq_large; ignn_chains, ignn_ppi; deq_flow; deq_inr; deq_ddim_1, deq_ddim_8
std::unique_ptr<ZooWorkload> transformer(const std::string& name, Variant variant);
std::unique_ptr<ZooWorkload> mdeq(const std::string& name, Variant variant);
std::unique_ptr<ZooWorkload> ignn(const std::string& name, Variant variant);
std::unique_ptr<ZooWorkload> flow(const std::string& name, Variant variant);
std::unique_ptr<ZooWorkload> inr(const std::string& name, Variant variant);
std::unique_ptr<ZooWorkload> ddim(const std::string& name, Variant variant);

}  // namespace zstar::bench
