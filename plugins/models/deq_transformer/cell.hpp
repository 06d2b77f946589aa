#pragma once
/// \file The map of the DEQ Transformer: relative-position attention with a memory, and feed-forward parts. Equations: README.md.

#include <functional>

#include <zstar/sdk.hpp>

#include "attention.hpp"
#include "passes.hpp"

namespace zstar_deq_transformer {
namespace {

using torch::Tensor;
using torch::nn::Module;
using zstar::Captured;

struct CellOptions {
  std::int64_t width = 0, heads = 0, inner = 0, blocks = 1;  ///< D, H, F, N
  bool published_lm = true;    ///< form A: learned norms before the parts and on the heads; q, k, v side by side within each head
  bool pre_norm = true;        ///< form B: norms before the parts, or after the sums
  bool numbered = true;        ///< names of the parts carry the number of their block
  double initial_std = 0.01;
  std::shared_ptr<zstar::Norm> norm;

  std::int64_t head_width() const { return width / heads; }
};

/// What is fixed for one solve, besides the weights. Sequences are [B, length, features].
struct Frame {
  Tensor u, u_history;        ///< injection of the segment [B, L, 3D] and of the memory [B, M, 3D]
  Tensor z_history;           ///< [B, M, D]; undefined: no memory
  Tensor positions;           ///< embedding of the distances K−1 … 0, [K, D]
  Tensor blocked;             ///< 0, or −∞ where a query may not see a key, [L, K]
  bool training = false;
  /// A dropout mask by name, or undefined. \param what  sizes of the mask
  std::function<Tensor(const std::string& name, double p, const std::vector<std::int64_t>& sizes)> mask;
  double dropout = 0, attention_dropout = 0;
};

/// (x − mean) / √(variance + ε) over the features of a position, ε = 1e-5, with learned scale and shift or without.
class LayerNorm final : public Module {
 public:
  explicit LayerNorm(std::int64_t width, double std) {
    weight_ = register_parameter("weight", torch::empty({width}).normal_(1, std));
    bias_ = register_parameter("bias", torch::zeros({width}));
  }
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }

 private:
  Tensor weight_, bias_;
};

inline Tensor layer_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {}) {
  return torch::layer_norm(x, {x.size(-1)}, weight, bias, /*eps=*/1e-5);
}

/// Captured tensors in the order in which they were put down.
class Cursor {
 public:
  explicit Cursor(const std::vector<Tensor>& tensors) : tensors_(tensors) {}
  const Tensor& next() { return tensors_[at_++]; }
  /// An optional one: undefined if it was left out.
  Tensor next_if(bool there) { return there ? next() : Tensor(); }

 private:
  const std::vector<Tensor>& tensors_;
  std::size_t at_ = 0;
};

/// Which optional tensors a map has captured.
struct Present {
  bool memory, dropout, attention_dropout;
};

/// An affine map of sequences, stored as a matrix or as a convolution of width one.
inline std::shared_ptr<zstar::nn::Normed> sequence_map(std::int64_t in, std::int64_t out, const CellOptions& o, bool bias) {
  if (o.published_lm) return std::make_shared<zstar::nn::Linear>(in, out, o.norm, bias);
  return std::make_shared<zstar::nn::Conv1d>(zstar::nn::ConvOptions{.in = in, .out = out, .kernel = 1, .bias = bias}, o.norm);
}

/// The effective weight as a matrix [out, in].
inline Tensor matrix(zstar::nn::Normed& map, bool training) {
  const Tensor w = map.prepare(training);
  return w.dim() == 3 ? w.squeeze(2) : w;
}

/// Initial weights of a map under `func`: N(0, std²) and no bias; the published form B draws before its norm is read, to no
/// effect, so that normed weights keep the framework's default there.
inline void initialise(zstar::nn::Normed& map, const CellOptions& o) {
  const torch::NoGradGuard no_grad;
  if (map.bias().defined()) Tensor(map.bias()).zero_();
  if (o.published_lm || !o.norm) map.assign(torch::empty_like(map.prepare(/*training=*/false)).normal_(0, o.initial_std));
}

/// z ↦ z + o, o the attention of the segment to memory and segment.
/// \par Source  Dai et al., Transformer-XL, ACL 2019, section 3.3
class Attention final : public Module {
 public:
  explicit Attention(const CellOptions& o) : o_(o) {
    const std::int64_t d = o.width;
    w_bias_ = register_parameter("r_w_bias", torch::empty({o.heads, o.head_width()}).uniform_(-0.05, 0.05));
    r_bias_ = register_parameter("r_r_bias", torch::empty({o.heads, o.head_width()}).uniform_(-0.05, 0.05));
    qkv_ = register_module("qkv_net", sequence_map(d, 3 * d, o, /*bias=*/false));
    r_ = register_module("r_net", sequence_map(d, d, o, /*bias=*/false));
    o_net_ = register_module("o_net", sequence_map(d, d, o, /*bias=*/true));
    for (auto* map : {qkv_.get(), r_.get(), o_net_.get()}) initialise(*map, o);
    if (!o.published_lm) return;
    ln1_ = register_module("ln1", std::make_shared<LayerNorm>(d, o.initial_std));
    ln2_ = register_module("ln2", std::make_shared<LayerNorm>(d, o.initial_std));
  }

  /// Puts down what is fixed for one solve. Queries are scaled by 1/√d here, once. Only keys and values of the memory are
  /// needed, and they do not depend on z.
  void prepare(const Frame& frame, const std::string& name, std::vector<Captured>& out) {
    const std::int64_t heads = o_.heads, d = o_.head_width(), keys = frame.positions.size(0), queries = frame.u.size(1);
    const double scale = 1 / std::sqrt(static_cast<double>(d));
    const auto parts = split(matrix(*qkv_, frame.training), 0);  // q, k, v, each [D, D]
    out.push_back({torch::cat({parts[0] * scale, parts[1], parts[2]}), std::nullopt});
    out.push_back({(w_bias_ * scale).reshape({heads, 1, 1, d}), std::nullopt});
    out.push_back({(r_bias_ * scale).reshape({heads, 1, 1, d}), std::nullopt});
    const Tensor r = torch::linear(frame.positions, matrix(*r_, frame.training)).reshape({keys, heads, d}).permute({1, 2, 0});
    out.push_back({torch::constant_pad_nd(r, {1, 0}), std::nullopt});  // [H, d, 1 + K], a column of zeros before the distances
    out.push_back({matrix(*o_net_, frame.training), std::nullopt});
    out.push_back({o_net_->bias(), std::nullopt});
    for (const auto& norm : {ln1_, ln2_})
      if (norm) out.push_back({norm->weight(), std::nullopt}), out.push_back({norm->bias(), std::nullopt});
    if (frame.z_history.defined()) {
      const auto u = split(frame.u_history, 2);
      const Tensor c = !before() ? frame.z_history : ln1_ ? layer_norm(frame.z_history, ln1_->weight(), ln1_->bias()) : layer_norm(frame.z_history);
      for (const int part : {1, 2})  // [H, B, M, d]
        out.push_back({by_head(torch::linear(c, parts[static_cast<std::size_t>(part)]) + u[static_cast<std::size_t>(part)]).contiguous(), 1});
    }
    const std::int64_t batch = frame.u.size(0);
    if (frame.attention_dropout > 0)
      out.push_back({frame.mask(name + ".dropatt", frame.attention_dropout, {batch, heads, queries, keys}).transpose(0, 1).contiguous(), 1});
    if (frame.dropout > 0) out.push_back({frame.mask(name + ".drop", frame.dropout, {batch, 1, o_.width}), 0});
  }

  /// The injection [B, L, 3D] in the order of prepare()'s weight, queries scaled.
  Tensor injection(const Tensor& u) const {
    const auto parts = split(u, 2);
    return torch::cat({parts[0] / std::sqrt(static_cast<double>(o_.head_width())), parts[1], parts[2]}, 2);
  }

  /// \param z  [B, L, D] \param u  injection() \param blocked  [L, K]
  Tensor forward(const Tensor& z, const Tensor& u, const Tensor& blocked, const Present& has, Cursor& in) const {
    const std::int64_t batch = z.size(0), length = z.size(1);
    const Tensor weight = in.next(), w_bias = in.next(), r_bias = in.next(), r = in.next(), o_weight = in.next(), o_bias = in.next();
    const Tensor a1 = in.next_if(o_.published_lm), b1 = in.next_if(o_.published_lm), a2 = in.next_if(o_.published_lm), b2 = in.next_if(o_.published_lm);
    const Tensor k_history = in.next_if(has.memory), v_history = in.next_if(has.memory);
    const Tensor attention_mask = in.next_if(has.attention_dropout), mask = in.next_if(has.dropout);

    const Tensor c = before() ? layer_norm(z, a1, b1) : z;
    const Tensor qkv = torch::addmm(u.reshape({batch * length, 3 * o_.width}), c.reshape({batch * length, o_.width}), weight.t()).reshape({batch, length, 3 * o_.width});
    Tensor vector = attention({qkv, w_bias, r_bias, r, k_history, v_history, blocked, attention_mask});
    if (o_.published_lm) vector = layer_norm(vector, a2, b2);
    const Tensor sum = added(z, vector, o_weight, o_bias, mask);
    return before() ? sum : layer_norm(sum);
  }

 private:
  bool before() const { return o_.published_lm || o_.pre_norm; }

  /// q, k and v of a tensor whose axis counts 3D features, in the published order; each with its heads side by side.
  std::vector<Tensor> split(const Tensor& x, std::int64_t axis) const {
    if (!o_.published_lm) return x.chunk(3, axis);
    std::vector<std::int64_t> sizes = x.sizes().vec(), whole = sizes;
    whole[static_cast<std::size_t>(axis)] = o_.width;
    sizes[static_cast<std::size_t>(axis)] = o_.heads;
    sizes.insert(sizes.begin() + axis + 1, {3, o_.head_width()});
    std::vector<Tensor> parts;
    for (const Tensor& part : x.reshape(sizes).unbind(axis + 1)) parts.push_back(part.reshape(whole));
    return parts;
  }

  Tensor by_head(const Tensor& x) const { return x.reshape({x.size(0), x.size(1), o_.heads, o_.head_width()}).permute({2, 0, 1, 3}); }

  CellOptions o_;
  Tensor w_bias_, r_bias_;
  std::shared_ptr<zstar::nn::Normed> qkv_, r_, o_net_;
  std::shared_ptr<LayerNorm> ln1_, ln2_;
};

/// z ↦ z + W₂ relu(W₁ z + b₁) + b₂ at every position.
class FeedForward final : public Module {
 public:
  explicit FeedForward(const CellOptions& o) : o_(o) {
    ff1_ = register_module("ff1_net", std::make_shared<zstar::nn::Linear>(o.width, o.inner, o.norm));
    ff2_ = register_module("ff2_net", std::make_shared<zstar::nn::Linear>(o.inner, o.width, o.norm));
    for (auto* map : {ff1_.get(), ff2_.get()}) initialise(*map, o);
    if (o.published_lm) ln_ = register_module("ln", std::make_shared<LayerNorm>(o.width, o.initial_std));
  }

  void prepare(const Frame& frame, const std::string& name, std::vector<Captured>& out) {
    for (const auto& map : {ff1_, ff2_}) {
      out.push_back({matrix(*map, frame.training), std::nullopt});
      out.push_back({map->bias(), std::nullopt});
    }
    if (ln_) out.push_back({ln_->weight(), std::nullopt}), out.push_back({ln_->bias(), std::nullopt});
    if (frame.dropout == 0) return;
    out.push_back({frame.mask(name + ".drop1", frame.dropout, {frame.u.size(0), 1, o_.inner}), 0});
    out.push_back({frame.mask(name + ".drop2", frame.dropout, {frame.u.size(0), 1, o_.width}), 0});
  }

  Tensor forward(const Tensor& z, const Present& has, Cursor& in) const {
    const Tensor w1 = in.next(), b1 = in.next(), w2 = in.next(), b2 = in.next();
    const Tensor a = in.next_if(o_.published_lm), b = in.next_if(o_.published_lm);
    const Tensor mask1 = in.next_if(has.dropout), mask2 = in.next_if(has.dropout);
    const bool before = o_.published_lm || o_.pre_norm;
    const Tensor inner = hidden(before ? layer_norm(z, a, b) : z, w1, b1, mask1);  // the mask before relu, which is as good: masks are not negative
    const Tensor y = added(z, inner, w2, b2, mask2);
    return before ? y : layer_norm(y);
  }

 private:
  CellOptions o_;
  std::shared_ptr<zstar::nn::Linear> ff1_, ff2_;
  std::shared_ptr<LayerNorm> ln_;
};

/// N blocks, each attention and feed-forward part, with one memory and one injection for all of them.
class Cell final : public Module {
 public:
  explicit Cell(const CellOptions& o) {
    for (std::int64_t n = 0; n < o.blocks; ++n) attention_.push_back(std::make_shared<Attention>(o)), feed_forward_.push_back(std::make_shared<FeedForward>(o));
    place(o, "dec_attn", attention_);
    place(o, "pos_ff", feed_forward_);
  }

  /// f for one solve.
  zstar::FixedPointMap map(const Frame& frame) {
    std::vector<Captured> captured{{attention_[0]->injection(frame.u), 0}, {frame.blocked, std::nullopt}};
    for (std::size_t n = 0; n < attention_.size(); ++n) {
      attention_[n]->prepare(frame, "func." + names_[n], captured);
      feed_forward_[n]->prepare(frame, "func." + names_[attention_.size() + n], captured);
    }
    const Present has{frame.z_history.defined(), frame.dropout > 0, frame.attention_dropout > 0};
    return {[has, attention = attention_, feed_forward = feed_forward_](const zstar::State& z, const std::vector<Tensor>& c) {
              Cursor in(c);
              const Tensor u = in.next(), blocked = in.next();
              Tensor y = z[0];
              for (std::size_t n = 0; n < attention.size(); ++n)
                y = feed_forward[n]->forward(attention[n]->forward(y, u, blocked, has, in), has, in);
              return zstar::State(y);
            },
            std::move(captured), /*samples_independent=*/true};
  }

 private:
  template <class T>
  void place(const CellOptions& o, const std::string& name, const std::vector<std::shared_ptr<T>>& parts) {
    if (!o.numbered) return void((register_module(name, parts[0]), names_.push_back(name)));
    const auto list = register_module(name, std::make_shared<Module>());
    for (std::size_t n = 0; n < parts.size(); ++n) {
      list->register_module(std::to_string(n), parts[n]);
      names_.push_back(name + "." + std::to_string(n));
    }
  }

  std::vector<std::shared_ptr<Attention>> attention_;
  std::vector<std::shared_ptr<FeedForward>> feed_forward_;
  std::vector<std::string> names_;  ///< of the attention parts, then of the others
};

}  // namespace
}  // namespace zstar_deq_transformer
