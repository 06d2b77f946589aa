/// \file Multiscale deep equilibrium model for image classification. Equations, names and sources: README.md.
#include "cell.hpp"
#include "head.hpp"
#include "zstar/nn/packed.hpp"
#include "zstar/nn/pretraining.hpp"
#include "zstar/nn/winograd.hpp"
#include "zstar/predict.hpp"
#include "zstar/weight_names.hpp"

namespace {

using namespace zstar_mdeq;
using zstar::OptionError;
using zstar::State;

class Mdeq final : public zstar::Model, public zstar::Predicts, public zstar::RenamesWeights {
 public:
  struct Options {
    std::vector<std::int64_t> channels = {24, 24}, blocks = {1}, head_channels = {8, 16};
    std::int64_t final_channels = 200, groups = 8, expansion = 5, halvings = 0, pretrain_steps = 0, pretrain_evaluations = 5;
    bool norm_fusion = true;
    std::string initial = "small", memory_format = "auto";
    double dropout = 0.0;
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::opt("channels", &O::channels, "C_i of every branch, from fine to coarse; as many branches as numbers", zstar::at_least(1)),
        zstar::opt("blocks", &O::blocks, "residual blocks of every branch, or one number for all", zstar::at_least(1)),
        zstar::opt("head_channels", &O::head_channels, "h_i, inner channels of the head's bottlenecks, one for each branch", zstar::at_least(1)),
        zstar::opt("final_channels", &O::final_channels, "features that the classifier sees", zstar::at_least(1)),
        zstar::opt("groups", &O::groups, "G of the group norms; after the fusion half of it", zstar::at_least(2)),
        zstar::opt("expansion", &O::expansion, "e, channels inside of a block in multiples of its own", zstar::at_least(1)),
        zstar::opt("halvings", &O::halvings, "strided convolutions of the stem: each halves height and width", zstar::within(0, 2)),
        zstar::opt("norm_fusion", &O::norm_fusion, "put the convolutions of the fusion, and those after it, under the norm too (CIFAR form; the ImageNet form does not)"),
        zstar::choice("initial", &O::initial, "weights at first: small = N(0, 0.01²) for convolutions that are not under a norm and for their biases, default = LibTorch's",
                      {"small", "default"}),
        zstar::choice("memory_format", &O::memory_format, "of images and states: channels_last is faster on a CPU in float32, where auto takes it",
                      {"auto", "contiguous", "channels_last"}),
        zstar::opt("dropout", &O::dropout, "variational: whole channels of a block, one mask for a whole solve", zstar::from_below(0.0, 1.0)),
        zstar::opt("pretrain_steps", &O::pretrain_steps, "training batches at first for which the map is unrolled instead of solved", zstar::at_least(0)),
        zstar::opt("pretrain_evaluations", &O::pretrain_evaluations, "evaluations of the unrolled map", zstar::at_least(1))};
  }

  Mdeq(const Options& o, zstar::Host& host) : o_(checked(o)), layer_(host.layer()), pretraining_(*this, o.pretrain_steps, o.pretrain_evaluations) {
    const zstar::Description& data = host.data();
    stem_ = std::make_unique<Stem>(*this, data.at("channels"), o_.channels[0], o_.halvings, o_.channels.size());
    const CellOptions cell{o_.channels, o_.blocks, o_.groups, o_.expansion, host.norm(), o_.norm_fusion ? host.norm() : nullptr};
    cell_ = register_module("full_stage", std::make_shared<Cell>(cell));
    head_ = std::make_unique<Head>(*this, o_.channels, o_.head_channels, o_.final_channels, data.at("classes"));
    for (const auto& module : cell_->modules(/*include_self=*/false))
      if (auto* layer = dynamic_cast<zstar::nn::Freezable*>(module.get())) frozen_.push_back(layer);
    if (o_.initial == "small") initialise();
  }

  void* query(std::string_view id) override {
    if (id == zstar::RenamesWeights::id) return static_cast<zstar::RenamesWeights*>(this);
    return id == zstar::Predicts::id ? static_cast<zstar::Predicts*>(this) : nullptr;
  }

  /// The first published implementation said `fullstage`; published programs of one branch keep what would follow a fusion, unused.
  std::string own_name(const std::string& name) const override {
    const std::string old = "fullstage.", after = "full_stage.post_fuse_layers.";
    const std::string mine = name.compare(0, old.size(), old) == 0 ? "full_stage." + name.substr(old.size()) : name;
    return o_.channels.size() == 1 && mine.compare(0, after.size(), after) == 0 ? "" : mine;
  }

  std::vector<Tensor> forward(const zstar::Batch& batch) override {
    const Tensor& images = batch.at("images");
    const Tensor u = stem_->forward(images.contiguous(format(images)));
    const zstar::FixedPointMap f = map(u);
    const State z = start(u);
    if (const auto last = pretraining_.unrolled(f, z, is_training())) return {head_->forward(last->tensors())};
    std::vector<Tensor> outputs;
    for (const State& s : layer_->solve(f, z, {.training = is_training(), .sample_ids = batch.ids}).states)
      outputs.push_back(head_->forward(s.tensors()));
    return outputs;
  }

  Tensor loss(const Tensor& output, const zstar::Batch& batch) override {
    return torch::cross_entropy_loss(output, batch.at("labels"));
  }

  Tensor predict(const zstar::Batch& batch) override { return torch::softmax(forward(batch).back(), 1); }

  zstar::Sums measure(const Tensor& output, const zstar::Batch& batch) override {
    const Tensor& labels = batch.at("labels");
    return {{"correct", output.argmax(1).eq(labels).sum().item<double>()}, {"samples", static_cast<double>(labels.numel())}};
  }

  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override {
    double correct = 0, samples = 0;
    for (const auto& [name, value] : sums) (name == "correct" ? correct : samples) = value;
    return {{"accuracy", samples > 0 ? correct / samples : 0.0, true}};
  }

 private:
  static Options checked(Options o) {
    const std::size_t n = o.channels.size();
    if (n == 0) throw OptionError("channels", "channels is empty; expected one number for each branch");
    if (o.blocks.size() == 1) o.blocks.resize(n, o.blocks[0]);
    const auto same = [n](const char* name, std::size_t size) {
      if (size != n) throw OptionError(name, std::string(name) + " has " + std::to_string(size) + " numbers for " + std::to_string(n) + " branches; expected one for each");
    };
    same("blocks", o.blocks.size());
    same("head_channels", o.head_channels.size());
    return o;
  }

  /// f for one solve: injection, masks, effective weights and the group norms' scales and shifts are fixed here.
  zstar::FixedPointMap map(const Tensor& u) {
    std::vector<zstar::Captured> captured{{u, 0}};
    if (is_training() && o_.dropout > 0)
      for (const std::size_t branch : cell_->branch_of_blocks()) captured.push_back({mask(u, o_.channels[branch]), 0});
    const std::size_t masks = captured.size() - 1;
    const torch::MemoryFormat last = format(u);
    for (zstar::nn::Freezable* layer : frozen_) {
      const Tensor t = layer->prepare(is_training());
      captured.push_back({t.dim() == 4 ? t.contiguous(last) : t, std::nullopt});
    }
    return {[cell = cell_, layers = frozen_, masks, packed = std::make_shared<zstar::nn::PackedWeights>()](const State& z, const std::vector<Tensor>& c) {
              std::vector<Tensor> tensors(c.begin() + 1 + static_cast<std::ptrdiff_t>(masks), c.end());
              const zstar::nn::Bound bound(layers, tensors);
              const zstar::nn::PackedWeights::Use use(*packed);
              return State(cell->forward(z.tensors(), c[0], masks ? c.data() + 1 : nullptr));
            },
            std::move(captured), /*samples_independent=*/true};
  }

  torch::MemoryFormat format(const Tensor& x) const {
    const bool pays = x.is_cpu() && x.scalar_type() == torch::kFloat32;
    return o_.memory_format == "channels_last" || (o_.memory_format == "auto" && pays) ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous;
  }

  Tensor mask(const Tensor& u, std::int64_t channels) const {
    return torch::empty({u.size(0), channels, 1, 1}, u.options().requires_grad(false)).bernoulli_(1 - o_.dropout).div_(1 - o_.dropout);
  }

  /// Zeros of every branch's shape; each branch has half the height and width of the one before, rounded up.
  State start(const Tensor& u) const {
    std::vector<Tensor> z;
    std::int64_t h = u.size(2), w = u.size(3);
    for (const std::int64_t c : o_.channels) {
      z.push_back(torch::empty({u.size(0), c, h, w}, u.options().requires_grad(false), format(u)).zero_());
      h = (h + 1) / 2, w = (w + 1) / 2;
    }
    return {std::move(z)};
  }

  void initialise() {
    const torch::NoGradGuard no_grad;
    for (const auto& module : modules(/*include_self=*/false))
      if (dynamic_cast<Conv2d*>(module.get()) != nullptr)
        for (const auto& parameter : module->named_parameters(/*recurse=*/false))
          if (parameter.key() == "weight" || parameter.key() == "bias") Tensor(parameter.value()).normal_(0, 0.01);
  }

  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
  zstar::nn::Pretraining pretraining_;
  std::unique_ptr<Stem> stem_;
  std::unique_ptr<Head> head_;
  std::shared_ptr<Cell> cell_;
  std::vector<zstar::nn::Freezable*> frozen_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.mdeq", "0.1.0", "multiscale deep equilibrium models")
ZSTAR_MODEL(Mdeq, "mdeq", "multiscale deep equilibrium model for image classification")
