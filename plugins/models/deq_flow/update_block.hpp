#pragma once
/// \file The map of DEQ-Flow: motion features, a separable convolutional GRU, the flow head, and global motion aggregation.
/// All that does not depend on the state is prepared once for a solve. Equations: README.md.

#include <zstar/sdk.hpp>

#include "encoder.hpp"

namespace zstar_flow {
namespace {

struct Widths {
  std::vector<std::int64_t> encoder = {64, 96, 128};
  std::int64_t feature = 256, hidden = 128, c1 = 256, c2 = 192, f1 = 128, f2 = 64, cat = 128, flow_head = 256, mask = 256;
};

/// A convolution along one axis or with a square kernel, under the norm; used through its tensors.
class NormedConv final : public zstar::nn::Normed {
 public:
  NormedConv(std::int64_t in, std::int64_t out, std::int64_t kh, std::int64_t kw, std::shared_ptr<zstar::Norm> norm, bool bias = true)
      : Normed(zstar::nn::default_weight({out, in, kh, kw}, in * kh * kw), bias ? zstar::nn::default_weight({out}, in * kh * kw) : Tensor(),
               {zstar::Geometry::Map::convolution, 0, {1, 1}, {kh / 2, kw / 2}, {1, 1}, 1, {}}, std::move(norm)) {}
};

inline Tensor convolve(const Tensor& x, const Tensor& weight, const Tensor& bias = {}) {
  return zstar::nn::conv2d(x, weight, bias, 1, {weight.size(2) / 2, weight.size(3) / 2});
}

/// The attention of every position of the context to every other: softmax(q kᵀ / √d), [B, heads, h·w, h·w].
/// \par Source  Jiang, Campbell, Lu, Li & Hartley, ICCV 2021
class Attention final : public Module {
 public:
  Attention(std::int64_t dim, std::int64_t heads, std::int64_t dim_head)
      : heads_(heads), dim_head_(dim_head),
        to_qk_(register_module("to_qk", std::make_shared<Conv2d>(ConvOptions{.in = dim, .out = 2 * heads * dim_head, .kernel = 1, .bias = false}, nullptr))) {}

  Tensor forward(const Tensor& context) {
    const auto qk = to_qk_->forward(context).view({context.size(0), 2, heads_, dim_head_, -1}).unbind(1);  // [B, heads, d, hw]
    return torch::softmax(torch::matmul(qk[0].transpose(2, 3) * std::pow(static_cast<double>(dim_head_), -0.5), qk[1]), -1);
  }

 private:
  std::int64_t heads_, dim_head_;
  std::shared_ptr<Conv2d> to_qk_;
};

/// m ↦ m + γ · project(A to_v(m)); the projection exists if the inner width differs.
class Aggregate final : public Module {
 public:
  Aggregate(std::int64_t dim, std::int64_t heads, std::int64_t dim_head, const std::shared_ptr<zstar::Norm>& norm)
      : to_v_(register_module("to_v", std::make_shared<NormedConv>(dim, heads * dim_head, 1, 1, norm, /*bias=*/false))) {
    if (heads * dim_head != dim) project_ = register_module("project", std::make_shared<NormedConv>(heads * dim_head, dim, 1, 1, norm, /*bias=*/false));
    gamma_ = register_parameter("gamma", torch::zeros({1}));
  }

  void prepare(bool training, std::vector<Tensor>& tensors) const {
    tensors.push_back(to_v_->prepare(training));
    if (project_) tensors.push_back(project_->prepare(training));
    tensors.push_back(gamma_);
  }
  /// \param tensors  as prepared, at the reader's place
  static Tensor apply(const Tensor& m, const Tensor& attention, const Tensor*& tensors) {
    const std::int64_t b = m.size(0), heads = attention.size(1);
    const Tensor v = convolve(m, *tensors++).view({b, heads, -1, m.size(2) * m.size(3)}).transpose(2, 3);
    Tensor out = torch::matmul(attention, v).transpose(2, 3).reshape({b, -1, m.size(2), m.size(3)});
    if (out.size(1) != m.size(1)) out = convolve(out, *tensors++);
    return m + *tensors++ * out;
  }

 private:
  std::shared_ptr<NormedConv> to_v_, project_;
  Tensor gamma_;
};

/// The part of the map that has parameters: (h, motion) ↦ (h⁺, Δflow).
class UpdateBlock final : public Module {
 public:
  UpdateBlock(const Widths& w, std::int64_t correlations, bool gma, const std::shared_ptr<zstar::Norm>& norm) : gma_(gma) {
    const auto under = [this](const char* name) { return register_module(name, std::make_shared<Module>()); };
    const auto conv = [&](const std::shared_ptr<Module>& owner, const char* name, std::int64_t in, std::int64_t out, std::int64_t kh, std::int64_t kw) {
      return owner->register_module(name, std::make_shared<NormedConv>(in, out, kh, kw, norm));
    };
    const auto encoder = under("encoder");
    motion_ = {conv(encoder, "convc1", correlations, w.c1, 1, 1), conv(encoder, "convc2", w.c1, w.c2, 3, 3), conv(encoder, "convf1", 2, w.f1, 7, 7),
               conv(encoder, "convf2", w.f1, w.f2, 3, 3), conv(encoder, "conv", w.c2 + w.f2, w.cat - 2, 3, 3)};
    const auto gru = under("gru");
    const std::int64_t in = 2 * w.hidden + (gma ? 2 : 1) * w.cat;
    for (const char* step : {"1", "2"})
      for (const char* gate : {"convz", "convr", "convq"})
        gates_.push_back(conv(gru, (std::string(gate) + step).c_str(), in, w.hidden, *step == '1' ? 1 : 5, *step == '1' ? 5 : 1));
    const auto head = under("flow_head");
    head_ = {conv(head, "conv1", w.hidden, w.flow_head, 3, 3), conv(head, "conv2", w.flow_head, 2, 3, 3)};
    if (gma) aggregate_ = register_module("gma", std::make_shared<Aggregate>(w.cat, 1, w.cat, norm));
  }

  /// What the map needs, in the order in which apply() reads it. The weights of the reset and update gates are joined, and the share
  /// of the context in all gates, bias included, is computed here once.
  struct Prepared {
    std::vector<Tensor> constant;  ///< [B, 2 Dh, h, w] and [B, Dh, h, w] for both directions
    std::vector<Tensor> weights;
  };
  /// \param context  [B, Dh, h, w]
  Prepared prepare(const Tensor& context, bool training) const {
    Prepared out;
    const auto pair = [&](const std::shared_ptr<NormedConv>& c) { out.weights.insert(out.weights.end(), {c->prepare(training), c->bias()}); };
    for (const auto& c : motion_) pair(c);
    if (gma_) aggregate_->prepare(training, out.weights);
    const std::int64_t dh = context.size(1);
    const auto split = [&](const Tensor& weight, const Tensor& bias) {  // input channels: h, context, motion
      out.constant.push_back(convolve(context, weight.narrow(1, dh, dh), bias));
      out.weights.push_back(torch::cat({weight.narrow(1, 0, dh), weight.narrow(1, 2 * dh, weight.size(1) - 2 * dh)}, 1));
    };
    for (std::size_t step = 0; step < 2; ++step) {
      const auto &z = gates_[3 * step], &r = gates_[3 * step + 1], &q = gates_[3 * step + 2];
      split(torch::cat({z->prepare(training), r->prepare(training)}), torch::cat({z->bias(), r->bias()}));
      split(q->prepare(training), q->bias());
    }
    for (const auto& c : head_) pair(c);
    return out;
  }

  struct Step {
    Tensor hidden, delta, motion;  ///< h⁺, Δflow, motion features
  };
  /// \param correlation  looked up around the flow \param flow  c − c0, [B, 2, h, w]; attention is undefined without aggregation
  static Step apply(const Tensor& hidden, const Tensor& correlation, const Tensor& flow, const Tensor& attention, const Tensor* constant, const Tensor* weights) {
    const auto conv = [&](const Tensor& x) {
      const Tensor y = convolve(x, weights[0], weights[1]);
      weights += 2;
      return y;
    };
    const Tensor c = torch::relu(conv(torch::relu(conv(correlation)))), f = torch::relu(conv(torch::relu(conv(flow))));
    const Tensor motion = torch::cat({torch::relu(conv(torch::cat({c, f}, 1))), flow}, 1);
    const Tensor input = attention.defined() ? torch::cat({motion, Aggregate::apply(motion, attention, weights)}, 1) : motion;
    Tensor h = hidden;
    for (int step = 0; step < 2; ++step, constant += 2, weights += 2) {
      const auto zr = torch::sigmoid(convolve(torch::cat({h, input}, 1), weights[0]) + constant[0]).chunk(2, 1);
      const Tensor q = torch::tanh(convolve(torch::cat({zr[1] * h, input}, 1), weights[1]) + constant[1]);
      h = torch::lerp(h, q, zr[0]);
    }
    const Tensor wide = torch::relu(conv(h));
    return {h, conv(wide), motion};
  }

 private:
  bool gma_;
  std::vector<std::shared_ptr<NormedConv>> motion_, gates_, head_;
  std::shared_ptr<Aggregate> aggregate_;
};

}  // namespace
}  // namespace zstar_flow
