#pragma once
/// \file The residual encoder of images: features at an eighth of height and width.
/// \par Source  Teed & Deng, RAFT, ECCV 2020

#include <zstar/nn/batch_norm.hpp>
#include <zstar/nn/remade.hpp>
#include <zstar/sdk.hpp>

namespace zstar_flow {
namespace {

using torch::Tensor;
using torch::nn::Module;
using zstar::nn::BatchNorm;
using zstar::nn::Conv2d;
using zstar::nn::ConvOptions;

enum class EncoderNorm { batch, instance };

inline std::shared_ptr<Conv2d> plain_conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return std::make_shared<Conv2d>(ConvOptions{.in = in, .out = out, .kernel = kernel, .stride = stride, .padding = kernel / 2}, nullptr);
}

/// Batch norm under its name, or instance norm: without parameters, with the statistics of the instance in evaluation too, ε 1e-5.
class ChannelNorm final {
 public:
  ChannelNorm(Module& owner, const std::string& name, EncoderNorm kind, std::int64_t channels) {
    if (kind == EncoderNorm::batch) batch_ = owner.register_module(name, std::make_shared<BatchNorm>(channels));
  }
  Tensor forward(const Tensor& x) const {
    return batch_ ? batch_->forward(x) : torch::instance_norm(x, {}, {}, {}, {}, /*use_input_stats=*/true, /*momentum=*/0.1, /*eps=*/1e-5, /*cudnn_enabled=*/true);
  }
  const std::shared_ptr<BatchNorm>& batch() const { return batch_; }

 private:
  std::shared_ptr<BatchNorm> batch_;
};

/// relu(x + relu(N(conv relu(N(conv x))))), the shortcut strided and normed where the block strides. Its norm has two names in
/// published checkpoints, norm3 and downsample.1.
class ResidualBlock final : public Module {
 public:
  ResidualBlock(std::int64_t in, std::int64_t out, std::int64_t stride, EncoderNorm kind)
      : conv1_(register_module("conv1", plain_conv(in, out, 3, stride))), conv2_(register_module("conv2", plain_conv(out, out, 3))),
        norm1_(*this, "norm1", kind, out), norm2_(*this, "norm2", kind, out) {
    if (stride == 1) return;
    norm3_.emplace(*this, "norm3", kind, out);
    const auto path = register_module("downsample", std::make_shared<Module>());
    shortcut_ = path->register_module("0", plain_conv(in, out, 1, stride));
    if (norm3_->batch()) path->register_module("1", norm3_->batch());
  }

  Tensor forward(const Tensor& x) { return outer(shortcut_ ? shortcut_->forward(x) : x, conv2_->forward(inner(conv1_->forward(x)))); }

  /// The same with a graph that keeps the results of the convolutions and of the block alone: norms and rectifiers are made again in backward.
  Tensor remade(const Tensor& x) {
    const auto self = std::static_pointer_cast<ResidualBlock>(shared_from_this());  // the graph may outlive the model
    const Tensor y = conv1_->forward(x), z = zstar::nn::conv2d_of([self, y] { return self->inner(y); }, conv2_->weight(), conv2_->bias());
    const Tensor shortcut = shortcut_ ? shortcut_->forward(x) : x;
    return zstar::nn::checkpoint([self, shortcut, z] { return std::vector<Tensor>{self->outer(shortcut, z)}; }, x.device()).front();
  }

 private:
  Tensor inner(const Tensor& y) const { return torch::relu(norm1_.forward(y)); }
  Tensor outer(const Tensor& shortcut, const Tensor& z) const { return torch::relu((shortcut_ ? norm3_->forward(shortcut) : shortcut) + torch::relu(norm2_.forward(z))); }

  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
  ChannelNorm norm1_, norm2_;
  std::optional<ChannelNorm> norm3_;
};

/// [B, 3, H, W] → [B, out, H/8, W/8]: a strided 7x7 convolution, three stages of two blocks, a 1x1 convolution.
class Encoder final : public Module {
 public:
  /// \param widths  channels of the three stages
  Encoder(const std::vector<std::int64_t>& widths, std::int64_t out, EncoderNorm kind, double dropout = 0, bool checkpoint = false)
      : conv1_(register_module("conv1", plain_conv(3, widths.at(0), 7, 2))), norm1_(*this, "norm1", kind, widths[0]), dropout_(dropout), checkpoint_(checkpoint) {
    std::int64_t in = widths[0];
    for (std::size_t s = 0; s < widths.size(); ++s) {
      const auto stage = register_module("layer" + std::to_string(s + 1), std::make_shared<Module>());
      for (int b = 0; b < 2; ++b)
        blocks_.push_back(stage->register_module(std::to_string(b), std::make_shared<ResidualBlock>(b == 0 ? in : widths[s], widths[s], s > 0 && b == 0 ? 2 : 1, kind)));
      in = widths[s];
    }
    conv2_ = register_module("conv2", plain_conv(in, out, 1));
    initialise();
  }

  Tensor forward(const Tensor& images) {
    Tensor x = torch::relu(norm1_.forward(conv1_->forward(images)));
    for (const auto& block : blocks_) x = checkpoint_ ? block->remade(x) : block->forward(x);
    x = conv2_->forward(x);
    return dropout_ > 0 && is_training() ? torch::feature_dropout(x, dropout_, /*train=*/true) : x;
  }

 private:
  /// Convolutions by Kaiming's rule for ReLU, fan-out.
  void initialise() {
    const torch::NoGradGuard no_grad;
    for (const auto& module : modules(/*include_self=*/false))
      if (dynamic_cast<Conv2d*>(module.get()) != nullptr)
        for (const auto& p : module->named_parameters(/*recurse=*/false))
          if (p.key() == "weight") Tensor(p.value()).normal_(0, std::sqrt(2.0 / static_cast<double>(p.value().size(0) * p.value().size(2) * p.value().size(3))));
  }

  std::shared_ptr<Conv2d> conv1_, conv2_;
  ChannelNorm norm1_;
  double dropout_;
  bool checkpoint_;  ///< backward makes norms and rectifiers of the blocks again
  std::vector<std::shared_ptr<ResidualBlock>> blocks_;
};

}  // namespace
}  // namespace zstar_flow
