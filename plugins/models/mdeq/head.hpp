#pragma once
/// \file What is around the map: the stem that makes the injection, and the classification head.

#include "layers.hpp"

namespace zstar_mdeq {
namespace {

/// x ↦ u: two 3x3 convolutions, strided as often as `halvings` says; a 1x1 convolution follows unless the image keeps its
/// size and there are at most two branches.
class Stem final {
 public:
  Stem(Module& owner, std::int64_t in, std::int64_t out, std::int64_t halvings, std::size_t branches) {
    const auto conv = [](std::int64_t from, std::int64_t to, bool strided) {
      return ConvOptions{.in = from, .out = to, .kernel = 3, .stride = strided ? 2 : 1, .padding = 1, .bias = false};
    };
    parts_.push_back(owner.register_module("downsample", std::make_shared<ConvStack>(std::vector{conv(in, out, halvings >= 1), conv(out, out, halvings >= 2)})));
    if (halvings == 0 && branches <= 2) return;
    parts_.push_back(owner.register_module("stage0", std::make_shared<ConvStack>(std::vector{ConvOptions{.in = out, .out = out, .kernel = 1, .bias = false}})));
  }
  Tensor forward(Tensor x) const {
    for (const auto& part : parts_) x = part->forward(x);
    return x;
  }

 private:
  std::vector<std::shared_ptr<ConvStack>> parts_;
};

/// C channels to 4h: convolutions 1x1, 3x3, 1x1 with batch norm (without scale and shift), added to a shortcut.
/// \par Source  He, Zhang, Ren & Sun, CVPR 2016
class Bottleneck final : public Module {
 public:
  Bottleneck(std::int64_t channels, std::int64_t h) {
    const std::int64_t in[] = {channels, h, h}, out[] = {h, h, 4 * h}, kernel[] = {1, 3, 1};
    for (int k = 0; k < 3; ++k) {
      const std::string number = std::to_string(k + 1);
      const ConvOptions o{.in = in[k], .out = out[k], .kernel = kernel[k], .padding = kernel[k] / 2, .bias = false};
      convolutions_.push_back(register_module("conv" + number, std::make_shared<Conv2d>(o, nullptr)));
      norms_.push_back(register_module("bn" + number, std::make_shared<BatchNorm>(out[k], /*affine=*/false)));
    }
    if (channels == 4 * h) return;
    const ConvOptions o{.in = channels, .out = 4 * h, .kernel = 1, .bias = false};
    shortcut_ = register_module("downsample", std::make_shared<ConvStack>(std::vector{o}, /*relu_at_end=*/false));
  }

  Tensor forward(const Tensor& x) {
    Tensor y = x;
    for (std::size_t k = 0; k < 3; ++k) {
      y = norms_[k]->forward(convolutions_[k]->forward(y));
      if (k < 2) y = torch::relu(y);
    }
    return torch::relu(y + (shortcut_ ? shortcut_->forward(x) : x));
  }

 private:
  std::vector<std::shared_ptr<Conv2d>> convolutions_;
  std::vector<std::shared_ptr<BatchNorm>> norms_;
  std::shared_ptr<ConvStack> shortcut_;
};

/// The branches, each widened, gathered from fine to coarse, pooled and classified.
class Head final {
 public:
  Head(Module& owner, const std::vector<std::int64_t>& channels, const std::vector<std::int64_t>& h, std::int64_t final_channels,
       std::int64_t classes) {
    const std::size_t n = channels.size();
    for (std::size_t i = 0; i < n; ++i)
      widen_.push_back(place(owner, "incre_modules." + std::to_string(i) + ".0", std::make_shared<Bottleneck>(channels[i], h[i])));
    for (std::size_t i = 0; i + 1 < n; ++i) {
      const ConvOptions o{.in = 4 * h[i], .out = 4 * h[i + 1], .kernel = 3, .stride = 2, .padding = 1};
      descend_.push_back(place(owner, "downsamp_modules." + std::to_string(i), std::make_shared<ConvStack>(std::vector{o})));
    }
    last_ = owner.register_module("final_layer", std::make_shared<ConvStack>(std::vector{ConvOptions{.in = 4 * h[n - 1], .out = final_channels, .kernel = 1}}));
    classifier_ = owner.register_module("classifier", std::make_shared<zstar::nn::Linear>(final_channels, classes, nullptr));
  }

  /// \return scores of the classes, [B, classes]
  Tensor forward(const std::vector<Tensor>& z) const {
    Tensor y = widen_[0]->forward(z[0]);
    for (std::size_t i = 0; i < descend_.size(); ++i) y = widen_[i + 1]->forward(z[i + 1]) + descend_[i]->forward(y);
    return classifier_->forward(last_->forward(y).mean({2, 3}));
  }

 private:
  std::vector<std::shared_ptr<Bottleneck>> widen_;
  std::vector<std::shared_ptr<ConvStack>> descend_;
  std::shared_ptr<ConvStack> last_;
  std::shared_ptr<zstar::nn::Linear> classifier_;
};

}  // namespace
}  // namespace zstar_mdeq
