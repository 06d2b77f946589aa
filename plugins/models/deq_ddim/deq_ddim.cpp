/// \file Diffusion whose sampling is one fixed point over the trajectory. Equations, names and sources: README.md.
#include <ATen/CPUGeneratorImpl.h>

#include <chrono>
#include <filesystem>

#include <zstar/formats/arrays.hpp>
#include <zstar/formats/png.hpp>
#include <zstar/nn/winograd.hpp>
#include <zstar/render.hpp>

#include "inversion.hpp"
#include "record.hpp"
#include "unet.hpp"

namespace {

using namespace zstar_ddim;
using zstar::Batch;
using zstar::OptionError;

/// Images side by side, as square as may be. \param images  [n, C, H, W] in [−1, 1]
Tensor grid(const Tensor& images) {
  const auto columns = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(images.size(0)))));
  const std::int64_t rows = (images.size(0) + columns - 1) / columns, missing = rows * columns - images.size(0);
  const Tensor all = torch::cat({images, torch::full({missing, images.size(1), images.size(2), images.size(3)}, -1.0, images.options())});
  return all.view({rows, columns, images.size(1), images.size(2), images.size(3)}).permute({0, 3, 1, 4, 2}).reshape({rows * images.size(2), columns * images.size(3), images.size(1)});
}

/// Parameters without gradients, for as long as it lives.
class Frozen {
 public:
  explicit Frozen(const std::vector<Tensor>& parameters) {
    for (const Tensor& p : parameters)
      if (p.requires_grad()) frozen_.push_back(p.requires_grad_(false));
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;
  ~Frozen() {
    for (const Tensor& p : frozen_) p.requires_grad_(true);
  }

 private:
  std::vector<Tensor> frozen_;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

class DeqDdim final : public zstar::Model, public zstar::Produces {
 public:
  struct Options {
    std::int64_t width = 128, blocks = 2, norm_groups = 32, times = 1000, steps = 20, samples = 16, chunk = 0, invert_steps = 0, invert_index = 0;
    Integers multipliers = {1, 2, 2, 2}, attention = {16};
    bool resample_conv = true, compare = true, checkpoint = false;
    double dropout = 0.1, beta_first = 1e-4, beta_last = 0.02, eta = 0, invert_lr = 0.005, invert_stop = 0.5;
    std::string schedule = "linear", sequence = "uniform", sampler = "parallel", mixing = "per_step", invert_from = "solved";
  };
  static auto options() {
    using O = Options;
    return std::tuple{
        zstar::opt("width", &O::width, "channels of the finest level, and of the embedding of a time", zstar::at_least(4)),
        zstar::opt("multipliers", &O::multipliers, "channels of every level in multiples of width; each level halves the image", zstar::at_least(1)),
        zstar::opt("blocks", &O::blocks, "residual blocks of a level", zstar::at_least(1)),
        zstar::opt("attention", &O::attention, "sizes of the image at which attention follows the blocks", zstar::at_least(1)),
        zstar::opt("norm_groups", &O::norm_groups, "groups of the group norms", zstar::at_least(1)),
        zstar::opt("resample_conv", &O::resample_conv, "convolutions where levels change; without: means and copies"),
        zstar::opt("dropout", &O::dropout, "inside of residual blocks", zstar::from_below(0.0, 1.0)),
        zstar::opt("checkpoint", &O::checkpoint, "keep no graph of the blocks: backward makes them again"),
        zstar::choice("schedule", &O::schedule, "β of the noise", {"linear", "cosine", "quad", "const", "jsd", "sigmoid", "geometric"}),
        zstar::opt("beta_first", &O::beta_first, "β_0", {.low = 0, .high = 1, .open_low = true}), zstar::opt("beta_last", &O::beta_last, "β_{N−1}", zstar::within(0.0, 1.0)),
        zstar::opt("times", &O::times, "N, times of the noise", zstar::at_least(2)),
        zstar::choice("sampler", &O::sampler, "parallel: the trajectory as one fixed point; sequential: step by step; ddpm: step by step with the posterior's noise",
                      {"parallel", "sequential", "ddpm"}),
        zstar::opt("compare", &O::compare, "sampling in parallel goes step by step as well, and records the difference and both times"),
        zstar::choice("sequence", &O::sequence, "times sampled at", {"uniform", "quad", "custom"}),
        zstar::opt("steps", &O::steps, "S, times of the sequence", zstar::at_least(1)),
        zstar::opt("eta", &O::eta, "η, noise of every step: 0 none, 1 that of DDPM", zstar::within(0.0, 1.0)),
        zstar::choice("mixing", &O::mixing, "what a solver takes for a sample: every state by itself, as published, or all states of an image", {"per_step", "per_image"}),
        zstar::opt("chunk", &O::chunk, "images in one call of the network while sampling in parallel; 0: all", zstar::at_least(0)),
        zstar::opt("samples", &O::samples, "images made", zstar::at_least(1)),
        zstar::opt("invert_steps", &O::invert_steps, "optimiser steps of an inversion of one image of the data; 0: none", zstar::at_least(0)),
        zstar::opt("invert_index", &O::invert_index, "which image of the split that is rendered, in its order", zstar::at_least(0)),
        zstar::choice("invert_from", &O::invert_from, "where each solve of an inversion starts: solved, at the states of the one before; encoded, at the encoded image in the place of every state, as published",
                      {"solved", "encoded"}),
        zstar::opt("invert_stop", &O::invert_stop, "the inversion ends at this squared error, a sum over the numbers of the image; 0: after all its steps", zstar::at_least(0.0)),
        zstar::opt("invert_lr", &O::invert_lr, "learning rate of the inversion", zstar::above(0.0))};
  }

  DeqDdim(const Options& o, zstar::Host& host) : o_(o), layer_(host.layer()) {
    const zstar::Description& data = host.data();
    channels_ = data.at("channels"), size_ = data.at("height");
    if (data.at("width") != size_) throw std::invalid_argument("images of " + std::to_string(size_) + " rows and " + std::to_string(data.at("width")) + " columns; the network needs squares");
    if (size_ % (std::int64_t{1} << (o.multipliers.size() - 1)) != 0)
      throw OptionError("multipliers", std::to_string(o.multipliers.size()) + " levels halve an image of " + std::to_string(size_) + " pixels to a fraction; use fewer");
    if (o.steps > o.times) throw OptionError("steps", "steps = " + std::to_string(o.steps) + " is more than times = " + std::to_string(o.times));
    if (o.sequence == "custom" && o.times < 1000) throw OptionError("sequence", "the custom sequence needs times = 1000");
    const UnetOptions net{.channels = channels_, .size = size_, .width = o.width, .blocks = o.blocks, .groups = o.norm_groups, .multipliers = o.multipliers,
                          .attention = o.attention, .with_conv = o.resample_conv, .checkpoint = o.checkpoint, .dropout = o.dropout};
    expect_attended(net);
    unet_ = std::make_shared<Unet>(net);
    for (const auto& child : unet_->named_children()) register_module(child.key(), child.value());  // published names have no prefix
    bars_ = alpha_bar(betas(o.schedule, o.beta_first, o.beta_last, o.times));
    expect_noise_and_signal(bars_, rising());
  }

  void* query(std::string_view id) override { return id == zstar::Produces::id ? static_cast<zstar::Produces*>(this) : nullptr; }

  /// Σ (e − ε(√ā x + √(1−ā) e, t))² over the pixels of every image, [B]. Evaluation draws the same e and t every time.
  std::vector<Tensor> forward(const Batch& batch) override {
    unet_->train(is_training());
    const Tensor& x = batch.at("images");
    const std::int64_t n = x.size(0);
    Tensor t, e;
    if (is_training()) {
      t = torch::randint(o_.times, {n / 2 + 1}, torch::kInt64);
      t = torch::cat({t, o_.times - 1 - t}).narrow(0, 0, n);  // antithetic
      e = torch::randn_like(x);
    } else {
      t = ((torch::arange(n, torch::kFloat64) + 0.5) * (static_cast<double>(o_.times) / static_cast<double>(n))).to(torch::kInt64);
      e = torch::randn(x.sizes(), at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{1})).to(x.options());
    }
    const Tensor bar = bars_.index_select(0, t + 1).view({-1, 1, 1, 1}).to(x.options());
    return {(e - unet_->forward(bar.sqrt() * x + (1 - bar).sqrt() * e, t.to(x.device()))).square().sum({1, 2, 3})};
  }
  Tensor loss(const Tensor& output, const Batch& /*batch*/) override { return output.mean(); }
  zstar::Sums measure(const Tensor& output, const Batch& batch) override {
    return {{"squares", output.sum().item<double>()}, {"numbers", static_cast<double>(batch.at("images").numel())}};
  }
  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override {
    double squares = 0, numbers = 0;
    for (const auto& [name, value] : sums) (name == "squares" ? squares : numbers) = value;
    return {{"noise_error", squares / std::max(1.0, numbers), false}};
  }

  std::vector<std::int64_t> samples() const override { return o_.invert_steps > 0 ? std::vector<std::int64_t>{o_.invert_index} : std::vector<std::int64_t>{}; }

  std::vector<std::string> produce(const Batch& batch, std::uint64_t seed, const std::string& folder) override {
    if (o_.invert_steps > 0 && (!batch.has("images") || batch.at("images").size(0) == 0)) throw std::runtime_error("the data have no images, so that none is inverted\n  remedy: invert_steps = 0");
    const std::filesystem::path where = folder;
    std::vector<std::string> files{(where / "samples.png").string(), (where / "sampling.json").string()};
    Json record{{"steps", schedule().size()}, {"images", o_.samples}};
    const Tensor images = sample(seed, record);
    write(files[1], record);
    expect_finite(images, record, files[1]);
    zstar::formats::write_png(files[0], grid(images));
    if (o_.invert_steps == 0) return files;
    const auto inverted = produce_inversion(batch, seed, where, record);
    write(files[1], record);
    if (inverted.empty()) throw std::runtime_error("the image of the encoded start is not finite, so that nothing was inverted; " + files[1] + " has the numbers");
    files.insert(files.end(), inverted.begin(), inverted.end());
    return files;
  }

 private:
  static void expect_attended(const UnetOptions& net) {
    std::string sizes;
    for (std::size_t k = 0; k < net.multipliers.size(); ++k) sizes += (k == 0 ? "" : ", ") + std::to_string(net.size >> k);
    for (const std::int64_t a : net.attention)
      if (!net.has_level_of(a)) throw OptionError("attention", "attention at " + std::to_string(a) + " pixels, a size that no level has: " + sizes + "; name some of these, or none: []");
  }
  /// A solver returns the best finite state that it met: that there were others its reasons say.
  static void expect_finite(const Tensor& images, const Json& record, const std::string& file) {
    if (images.isfinite().all().item<bool>() && !record.value("reasons", Json::object()).contains("nonfinite")) return;
    throw std::runtime_error("sampling met numbers that are not finite, so that there are no images; " + file +
                             " says how it went\n  remedy: weights of a run whose loss stayed finite, or dtype = \"float64\" where they are sound");
  }
  Denoiser denoiser() const {
    return [net = unet_](const Tensor& x, const Tensor& t) { return net->forward(x, t); };
  }
  Integers rising() const { return times(o_.sequence, o_.times, o_.steps); }
  std::vector<Step> schedule() const { return steps_down(rising(), bars_); }
  torch::TensorOptions options_of_weights() const { return parameters().front().options().requires_grad(false); }
  Tensor draw(at::Generator& generator, const std::vector<std::int64_t>& sizes) const { return torch::randn(sizes, generator).to(options_of_weights()); }

  /// Images from noise, on the CPU; what the sampling took goes to the record.
  Tensor sample(std::uint64_t seed, Json& record) {
    unet_->eval();
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    const auto steps = schedule();
    const auto s = static_cast<std::int64_t>(steps.size());
    const Tensor x_T = draw(generator, {o_.samples, channels_, size_, size_});
    const bool noisy = o_.eta > 0 || o_.sampler == "ddpm";
    const Tensor noise = noisy ? draw(generator, {o_.samples, s, channels_, size_, size_}) : Tensor();
    const std::vector<Tensor> by_step = noisy ? noise.unbind(1) : std::vector<Tensor>();
    double begin = now();
    Tensor sequential;
    if (o_.sampler != "parallel" || o_.compare) {
      sequential = (o_.sampler == "ddpm" ? sample_ddpm(denoiser(), x_T, steps, by_step) : sample_ddim(denoiser(), x_T, steps, o_.eta, by_step)).states.back();
      record["sequential_seconds"] = now() - begin;
    }
    if (o_.sampler != "parallel") return sequential.cpu();
    begin = now();
    const Trajectory map(denoiser(), steps, o_.eta, x_T, noise, o_.chunk);
    const auto solved = layer_->solve(joint(map, x_T), State(shaped(map.start(x_T), map)), {.training = false});
    const Tensor images = map.last(solved.fixed_point[0].reshape({-1, channels_, size_, size_}));
    record["parallel_seconds"] = now() - begin;
    record.update(outcome(solved.forward.back()));
    if (o_.compare) record["relative_difference"] = ((images - sequential).norm() / sequential.norm()).item<double>();
    return images.cpu();
  }

  /// Rows of a trajectory as the solver shall see them.
  Tensor shaped(const Tensor& rows, const Trajectory& map) const {
    return o_.mixing == "per_step" ? rows : rows.view({-1, map.steps(), rows.size(1), rows.size(2), rows.size(3)});
  }
  zstar::FixedPointMap joint(const Trajectory& map, const Tensor& x_T) const {
    return {[this, map](const State& z, const std::vector<Tensor>& captured) {
              const Tensor rows = z[0].reshape({-1, channels_, size_, size_});
              return State(map(rows, captured[0]).view_as(z[0]));
            },
            {{x_T, std::nullopt}}, /*samples_independent=*/false};
  }

  /// \param target  [1, C, H, W] \param noise  n of every step; undefined for η = 0
  Inversion inverted(const Tensor& target, const Tensor& noise) {
    const Frozen frozen(parameters());
    const Trajectory map(denoiser(), schedule(), o_.eta, target, noise, o_.chunk);
    return invert(map, target, encode(denoiser(), target, rising(), bars_).back(), *layer_,
                  {.steps = o_.invert_steps, .lr = o_.invert_lr, .stop = o_.invert_stop, .go_on = o_.invert_from == "solved"});
  }

  /// inversion.png and latent.npz. \return the files written
  std::vector<std::string> produce_inversion(const Batch& batch, std::uint64_t seed, const std::filesystem::path& folder, Json& record) {
    const Tensor target = batch.at("images").narrow(0, 0, 1);
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    const Tensor noise = o_.eta > 0 ? draw(generator, {1, static_cast<std::int64_t>(schedule().size()), channels_, size_, size_}) : Tensor();
    const Inversion found = inverted(target, noise);
    record["inversion_index"] = o_.invert_index, record["inversion_first"] = found.first, record["inversion_best"] = found.best;
    record["inversion_steps"] = found.steps, record["inversion_ended"] = found.ended;
    if (!found.latent.defined()) return {};
    const std::vector<std::string> files{(folder / "inversion.png").string(), (folder / "latent.npz").string()};
    zstar::formats::write_png(files[0], grid(torch::cat({target, found.image}).cpu()));
    std::vector<std::pair<std::string, std::string>> arrays;
    for (const auto& [name, array] : {std::pair("latent.npy", found.latent), std::pair("image.npy", found.image), std::pair("target.npy", target), std::pair("noise.npy", noise)})
      if (array.defined()) arrays.emplace_back(name, zstar::formats::npy_bytes(array));
    zstar::formats::write_zip(files[1], arrays);
    return files;
  }

  Options o_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
  std::shared_ptr<Unet> unet_;
  std::int64_t channels_ = 0, size_ = 0;
  Tensor bars_;
};

}  // namespace

ZSTAR_PLUGIN("zstar.deq-ddim", "0.1.0", "diffusion sampled as one fixed point over the trajectory")
ZSTAR_MODEL(DeqDdim, "deq_ddim", "denoising diffusion: training, sequential and parallel sampling, inversion")
