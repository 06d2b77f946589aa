/// \file MDEQ, CIFAR and ImageNet form.
#include "tests/reference/zoo/zoo.hpp"

namespace zstar::reference::zoo {
namespace {

class MdeqCifar : public Family {
 public:
  std::string model() const override { return "mdeq"; }
  Settings options(const Case& c) const override {
    const auto& m = c.settings.at("model");
    const auto list = [&](const char* name) { return m.at(name).get<std::vector<std::int64_t>>(); };
    const auto number = [&](const char* name) { return m.at(name).get<std::int64_t>(); };
    return {{"channels", list("num_channels")}, {"blocks", list("num_blocks")}, {"head_channels", list("head_channels")},
            {"final_channels", number("final_chansize")}, {"groups", number("num_groups")}, {"expansion", number("expansion")},
            {"halvings", number("downsample_times")}, {"norm_fusion", normed_fusion()}};
  }
  Description data(const Case& c) const override {
    const auto& x = c.at("input/x");
    return {{{"channels", x.size(1)}, {"height", x.size(2)}, {"width", x.size(3)}, {"classes", c.settings.at("model").at("num_classes").get<std::int64_t>()}}};
  }
  Batch batch(const Case& c, std::int64_t) const override { return {{{"images", c.at("input/x")}, {"labels", c.at("input/label")}}, {}}; }

  std::vector<std::pair<std::string, Tensor>> states(const State& z) const override {
    std::vector<std::pair<std::string, Tensor>> named;
    for (std::size_t i = 0; i < z.size(); ++i) named.emplace_back(".branch_" + std::to_string(i), z[i]);
    return named;
  }
  State state(const std::vector<Tensor>& tensors, const State&) const override { return {tensors}; }
  /// One branch is not fused.
  bool unused(const Case& c, const std::string& parameter) const override {
    return c.settings.at("model").at("num_channels").size() == 1 && parameter.find("post_fuse_layers.") != std::string::npos;
  }

 protected:
  virtual bool normed_fusion() const { return true; }
};

/// There τ damps the solver too, and the convolutions of the fusion are not normed.
class MdeqImagenet final : public MdeqCifar {
 public:
  void adjust(Case& c) const override { c.settings["forward"]["solver_kwargs"]["tau"] = c.get("tau", 1.0); }

 protected:
  bool normed_fusion() const override { return false; }
};

ZSTAR_ZOO_FAMILY(MdeqCifar, "mdeq_cifar")
ZSTAR_ZOO_FAMILY(MdeqImagenet, "mdeq_imagenet")

}  // namespace
}  // namespace zstar::reference::zoo
