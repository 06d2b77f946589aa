#pragma once
/// \file The diffusion U-Net ε(x, t), under its published names. Equations: README.md.

#include <zstar/nn/checkpoint.hpp>

#include "blocks.hpp"
#include "schedule.hpp"

namespace zstar_ddim {
namespace {

struct UnetOptions {
  std::int64_t channels = 3, size = 32, width = 128, blocks = 2, groups = 32;
  Integers multipliers = {1, 2, 2, 2}, attention = {16};  ///< widths of the levels in multiples of `width`; resolutions with attention
  bool with_conv = true, checkpoint = false;
  double dropout = 0;

  bool has_level_of(std::int64_t pixels) const {
    for (std::size_t k = 0; k < multipliers.size(); ++k)
      if (size >> k == pixels) return true;
    return false;
  }
};

class Unet final : public Module {
 public:
  explicit Unet(const UnetOptions& o) : o_(o) {
    const auto temb = register_module("temb", std::make_shared<Module>());
    const auto dense = temb->register_module("dense", std::make_shared<Module>());
    dense0_ = dense->register_module("0", std::make_shared<zstar::nn::Linear>(o.width, 4 * o.width, nullptr));
    dense1_ = dense->register_module("1", std::make_shared<zstar::nn::Linear>(4 * o.width, 4 * o.width, nullptr));
    conv_in_ = register_module("conv_in", convolution(o.channels, o.width, 3));
    Integers skips{o.width};
    build_down(skips);
    const std::int64_t low = o.width * o.multipliers.back();
    const auto mid = register_module("mid", std::make_shared<Module>());
    middle1_ = mid->register_module("block_1", resnet(low, low));
    middle_attention_ = mid->register_module("attn_1", std::make_shared<AttentionBlock>(o.groups, low));
    middle2_ = mid->register_module("block_2", resnet(low, low));
    build_up(skips);
    norm_out_ = register_module("norm_out", std::make_shared<GroupNorm>(o.groups, o.width * o.multipliers.front()));
    conv_out_ = register_module("conv_out", convolution(o.width * o.multipliers.front(), o.channels, 3));
  }

  /// \param x  [B, C, H, W] \param t  times [B] \return the noise predicted, like x
  Tensor forward(const Tensor& x, const Tensor& t) {
    const Tensor e = dense1_->forward(torch::silu(dense0_->forward(embedding(t, o_.width, x.scalar_type()))));
    std::vector<Tensor> skips{conv_in_->forward(x)};
    for (const Level& level : down_) {
      for (std::size_t j = 0; j < level.blocks.size(); ++j) skips.push_back(apply(level, j, {skips.back()}, e));
      if (level.down) skips.push_back(level.down->forward(skips.back()));
    }
    Tensor h = middle2_->forward(middle_attention_->forward(middle1_->forward(skips.back(), e)), e);
    for (auto level = up_.rbegin(); level != up_.rend(); ++level) {
      for (std::size_t j = 0; j < level->blocks.size(); ++j) {
        h = apply(*level, j, {h, skips.back()}, e);
        skips.pop_back();
      }
      if (level->up) h = level->up->forward(h);
    }
    return conv_out_->forward(torch::silu(norm_out_->forward(h)));
  }

 private:
  struct Level {
    std::vector<std::shared_ptr<ResnetBlock>> blocks;
    std::vector<std::shared_ptr<AttentionBlock>> attentions;  ///< as many as blocks, or none
    std::shared_ptr<Downsample> down;
    std::shared_ptr<Upsample> up;
  };

  /// Block j of a level, and the attention after it. \param inputs  whose channels come into it together
  Tensor apply(const Level& level, std::size_t j, const std::vector<Tensor>& inputs, const Tensor& e) const {
    const auto evaluated = [block = level.blocks[j], attention = level.attentions.empty() ? nullptr : level.attentions[j], inputs, e] {
      const Tensor h = block->forward(inputs.size() == 1 ? inputs.front() : torch::cat(inputs, 1), e);
      return std::vector<Tensor>{attention ? attention->forward(h) : h};
    };
    return (o_.checkpoint ? zstar::nn::checkpoint(evaluated, e.device()) : evaluated()).front();
  }

  std::shared_ptr<ResnetBlock> resnet(std::int64_t in, std::int64_t out) const {
    return std::make_shared<ResnetBlock>(ResnetOptions{.in = in, .out = out, .embedding = 4 * o_.width, .groups = o_.groups, .dropout = o_.dropout});
  }
  std::int64_t width_of(std::size_t level) const { return o_.width * o_.multipliers[level]; }
  bool attends(std::size_t level) const { return std::find(o_.attention.begin(), o_.attention.end(), o_.size >> level) != o_.attention.end(); }

  /// One level with its lists of blocks and attentions. \param inputs  channels that come into each block
  Level make_level(Module& owner, std::size_t level, const Integers& inputs) {
    Level made;
    const auto blocks = owner.register_module("block", std::make_shared<Module>()), attentions = owner.register_module("attn", std::make_shared<Module>());
    for (std::size_t j = 0; j < inputs.size(); ++j) {
      made.blocks.push_back(blocks->register_module(std::to_string(j), resnet(inputs[j], width_of(level))));
      if (attends(level)) made.attentions.push_back(attentions->register_module(std::to_string(j), std::make_shared<AttentionBlock>(o_.groups, width_of(level))));
    }
    return made;
  }

  /// \param skips  channels of all tensors that the way up takes back
  void build_down(Integers& skips) {
    const auto list = register_module("down", std::make_shared<Module>());
    for (std::size_t i = 0; i < o_.multipliers.size(); ++i) {
      const auto owner = list->register_module(std::to_string(i), std::make_shared<Module>());
      Integers inputs(static_cast<std::size_t>(o_.blocks), width_of(i));
      inputs[0] = skips.back();
      down_.push_back(make_level(*owner, i, inputs));
      skips.insert(skips.end(), static_cast<std::size_t>(o_.blocks), width_of(i));
      if (i + 1 == o_.multipliers.size()) continue;
      down_[i].down = owner->register_module("downsample", std::make_shared<Downsample>(width_of(i), o_.with_conv));
      skips.push_back(width_of(i));
    }
  }

  void build_up(Integers skips) {
    const auto list = register_module("up", std::make_shared<Module>());
    std::vector<std::shared_ptr<Module>> owners;
    for (std::size_t i = 0; i < o_.multipliers.size(); ++i) owners.push_back(list->register_module(std::to_string(i), std::make_shared<Module>()));
    up_.resize(owners.size());
    std::int64_t from = width_of(owners.size() - 1);
    for (std::size_t i = owners.size(); i-- > 0;) {
      Integers inputs;
      for (std::int64_t j = 0; j <= o_.blocks; ++j) {
        inputs.push_back((j == 0 ? from : width_of(i)) + skips.back());
        skips.pop_back();
      }
      up_[i] = make_level(*owners[i], i, inputs);
      if (i > 0) up_[i].up = owners[i]->register_module("upsample", std::make_shared<Upsample>(width_of(i), o_.with_conv));
      from = width_of(i);
    }
  }

  UnetOptions o_;
  std::shared_ptr<zstar::nn::Linear> dense0_, dense1_;
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::vector<Level> down_, up_;
  std::shared_ptr<ResnetBlock> middle1_, middle2_;
  std::shared_ptr<AttentionBlock> middle_attention_;
  std::shared_ptr<GroupNorm> norm_out_;
};

}  // namespace
}  // namespace zstar_ddim
