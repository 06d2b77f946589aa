#pragma once
/// \file Labels of nodes: one for each, or any number; loss and metrics over the nodes of the batch's mask.

#include "layer.hpp"

namespace zstar_ignn {
namespace {

/// Scores and labels of the nodes that count. Labels [n]: one class for each node; [n, classes]: zeros and ones.
struct NodeTask {
  Tensor scores, labels;

  NodeTask(const Tensor& output, const zstar::Batch& batch) : scores(output), labels(batch.at("labels")) {
    if (!batch.has("mask")) return;
    const Tensor nodes = batch.at("mask").nonzero().squeeze(1);
    scores = scores.index_select(0, nodes), labels = labels.index_select(0, nodes);
  }

  bool many() const { return labels.dim() == 2; }

  Tensor loss() const {
    return many() ? torch::binary_cross_entropy_with_logits(scores, labels.to(scores.scalar_type())) : torch::nll_loss(torch::log_softmax(scores, 1), labels);
  }

  /// \param as_many  take as many of the highest scores as a node has labels, instead of the positive ones
  zstar::Sums measure(bool as_many) const {
    if (!many()) return {{"correct", scores.argmax(1).eq(labels).sum().item<double>()}, {"nodes", static_cast<double>(labels.numel())}};
    const Tensor truth = labels > 0.5;
    const Tensor said = as_many ? scores.argsort(1, /*descending=*/true).argsort(1, /*descending=*/false) < truth.sum(1, /*keepdim=*/true) : scores > 0;
    const Tensor counts = torch::stack({(said & truth).sum(0), (said & ~truth).sum(0), (~said & truth).sum(0)}).cpu();
    const auto number = counts.accessor<std::int64_t, 2>();
    zstar::Sums sums;
    for (std::int64_t c = 0; c < counts.size(1); ++c)
      for (int kind = 0; kind < 3; ++kind) sums.emplace_back(names[kind] + std::to_string(c), static_cast<double>(number[kind][c]));
    return sums;
  }

  /// Accuracy, or micro F1 = 2 tp / (2 tp + fp + fn) over all classes and macro F1, the mean of that of every class.
  static std::vector<zstar::Metric> summarise(const zstar::Sums& sums) {
    if (sums.empty() || sums.front().first == "correct") return {accuracy(sums, "nodes")};
    const auto f1 = [](double tp, double fp, double fn) { return tp > 0 ? 2 * tp / (2 * tp + fp + fn) : 0.0; };
    double all[3] = {0, 0, 0}, mean = 0;
    const std::size_t classes = sums.size() / 3;
    for (std::size_t c = 0; c < classes; ++c) {
      double of[3];
      for (int kind = 0; kind < 3; ++kind) all[kind] += of[kind] = sum_of(sums, names[kind] + std::to_string(c));
      mean += f1(of[0], of[1], of[2]) / static_cast<double>(classes);
    }
    return {{"micro_f1", f1(all[0], all[1], all[2]), true}, {"macro_f1", mean, true}};
  }

 private:
  static inline const std::string names[3] = {"true_positive.", "false_positive.", "false_negative."};
};

/// Of one class for each node; with several labels of every class by itself.
inline Tensor probabilities(const Tensor& scores, const zstar::Batch& batch) {
  return batch.has("labels") && batch.at("labels").dim() == 2 ? torch::sigmoid(scores) : torch::softmax(scores, 1);
}

}  // namespace
}  // namespace zstar_ignn
