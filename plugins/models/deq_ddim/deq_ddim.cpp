/// \file Diffusion whose sampling is one fixed point over the trajectory. Equations, names and sources: README.md.
#include <ATen/CPUGeneratorImpl.h>
#include <torch/optim/adam.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include <zstar/formats/png.hpp>
#include <zstar/render.hpp>

#include "trajectory.hpp"
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

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

class DeqDdim final : public zstar::Model, public zstar::Produces {
 public:
  struct Options {
    std::int64_t width = 128, blocks = 2, norm_groups = 32, times = 1000, steps = 20, samples = 16, chunk = 0, invert_steps = 0;
    Integers multipliers = {1, 2, 2, 2}, attention = {16};
    bool resample_conv = true, compare = true;
    double dropout = 0.1, beta_first = 1e-4, beta_last = 0.02, eta = 0, invert_lr = 0.005;
    std::string schedule = "linear", sequence = "uniform", sampler = "parallel", mixing = "per_step";
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
        zstar::choice("schedule", &O::schedule, "β of the noise", {"linear", "cosine", "quad", "const", "jsd", "sigmoid", "geometric"}),
        zstar::opt("beta_first", &O::beta_first, "β_0", zstar::above(0.0)), zstar::opt("beta_last", &O::beta_last, "β_{N−1}", zstar::within(0.0, 1.0)),
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
        zstar::opt("invert_steps", &O::invert_steps, "optimiser steps of an inversion of the first image of the data; 0: none", zstar::at_least(0)),
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
                          .attention = o.attention, .with_conv = o.resample_conv, .dropout = o.dropout};
    unet_ = std::make_shared<Unet>(net);
    for (const auto& child : unet_->named_children()) register_module(child.key(), child.value());  // published names have no prefix
    bars_ = alpha_bar(betas(o.schedule, o.beta_first, o.beta_last, o.times));
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

  std::vector<std::string> produce(const Batch& batch, std::uint64_t seed, const std::string& folder) override {
    const std::filesystem::path where = folder;
    std::vector<std::string> files{(where / "samples.png").string(), (where / "sampling.json").string()};
    std::ofstream record(files[1]);
    record << "{\n  \"steps\": " << schedule().size() << ",\n  \"images\": " << o_.samples;
    zstar::formats::write_png(files[0], grid(sample(seed, record)));
    if (o_.invert_steps > 0 && batch.has("images")) {
      const Tensor target = batch.at("images").narrow(0, 0, 1);
      files.push_back((where / "inversion.png").string());
      zstar::formats::write_png(files.back(), grid(torch::cat({target, invert(target, seed, record)}).cpu()));
    }
    record << "\n}\n";
    if (!record.flush()) throw std::runtime_error(files[1] + " cannot be written");
    return files;
  }

 private:
  Denoiser denoiser() const {
    return [net = unet_](const Tensor& x, const Tensor& t) { return net->forward(x, t); };
  }
  Integers rising() const { return times(o_.sequence, o_.times, o_.steps); }
  std::vector<Step> schedule() const { return steps_down(rising(), bars_); }
  torch::TensorOptions options_of_weights() const { return parameters().front().options().requires_grad(false); }
  Tensor draw(at::Generator& generator, const std::vector<std::int64_t>& sizes) const { return torch::randn(sizes, generator).to(options_of_weights()); }

  /// Images from noise, on the CPU; what the sampling took goes to the record.
  Tensor sample(std::uint64_t seed, std::ostream& record) {
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
      record << ",\n  \"sequential_seconds\": " << now() - begin;
    }
    if (o_.sampler != "parallel") return sequential.cpu();
    begin = now();
    const Trajectory map(denoiser(), steps, o_.eta, x_T, noise, o_.chunk);
    const auto solved = layer_->solve(joint(map, x_T), State(shaped(map.start(x_T), map)), {.training = false});
    const Tensor images = map.last(solved.fixed_point[0].reshape({-1, channels_, size_, size_}));
    record << ",\n  \"parallel_seconds\": " << now() - begin << ",\n  \"sweeps\": " << solved.forward.back().calls;
    if (o_.compare) record << ",\n  \"relative_difference\": " << ((images - sequential).norm() / sequential.norm()).item<double>();
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

  /// The image that the best latent found gives. \param target  [1, C, H, W]
  Tensor invert(const Tensor& target, std::uint64_t seed, std::ostream& record) {
    const torch::AutoGradMode grad(true);
    std::vector<Tensor> frozen;
    for (const Tensor& p : parameters())
      if (p.requires_grad()) frozen.push_back(p.requires_grad_(false));
    const auto steps = schedule();
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    const Tensor noise = o_.eta > 0 ? draw(generator, {1, static_cast<std::int64_t>(steps.size()), channels_, size_, size_}) : Tensor();
    const Trajectory map(denoiser(), steps, o_.eta, target, noise, o_.chunk);
    Tensor latent;
    {
      const torch::NoGradGuard no_grad;
      latent = encode(denoiser(), target, rising(), bars_).back().clone();
    }
    latent.requires_grad_();
    torch::optim::Adam adam({latent}, torch::optim::AdamOptions(o_.invert_lr));
    Tensor rows = latent.detach().repeat({map.steps() + 1, 1, 1, 1}), best_image;
    double first = 0, best = INFINITY;
    for (std::int64_t k = 0; k < o_.invert_steps; ++k) {
      adam.zero_grad();
      const zstar::FixedPointMap f([&](const State& z) { return State(with_latent(map, z[0], latent)); });
      const auto solved = layer_->solve(f, State(rows), {.training = true, .gradient = true});
      const Tensor image = solved.z()[0].slice(0, map.steps()), loss = (image - target).square().sum();
      const double value = loss.item<double>();
      if (k == 0) first = value;
      if (value < best) best = value, best_image = image.detach().clone();
      loss.backward();
      adam.step();
      rows = solved.fixed_point[0].detach().clone();  // the next solve starts where this one ended
      rows.narrow(0, 0, 1).copy_(latent.detach());
    }
    for (const Tensor& p : frozen) p.requires_grad_(true);
    record << ",\n  \"inversion_first\": " << first << ",\n  \"inversion_best\": " << best;
    return best_image;
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
