/// \file DEQ-DDIM: runners ddim_schedules, ddim_block, ddim_unet, ddim_sequential, ddim_parallel, ddim_inversion.
#include <torch/csrc/autograd/autograd.h>

#include "plugins/models/deq_ddim/inversion.hpp"
#include "plugins/models/deq_ddim/unet.hpp"
#include "tests/reference/zoo/fill.hpp"
#include "tests/reference/zoo/zoo.hpp"

namespace zstar::reference::zoo {
namespace {

using namespace zstar_ddim;

void run_schedules(Case& c) {
  const std::int64_t n = c.settings.at("N");
  for (const std::string kind : {"linear", "quad", "const", "jsd", "sigmoid", "geometric"}) {
    const Tensor beta = betas(kind, c.settings.at("beta_start"), c.settings.at("beta_end"), n);
    c.compare("output/betas_" + kind, beta);
    c.compare("output/alpha_bar_" + kind, alpha_bar(beta));
  }
  for (const auto& s : c.settings.at("timesteps"))
    for (const std::string kind : {"uniform", "quad", "custom"})
      c.compare("output/seq_" + kind + "_" + std::to_string(s.get<std::int64_t>()), torch::tensor(zstar_ddim::times(kind, c.get("T", std::int64_t{1000}), s), torch::kInt64));
  for (const auto& d : c.settings.at("embedding_dims")) {
    const std::string name = std::to_string(d.get<std::int64_t>());
    c.compare("output/embedding_double_" + name, embedding(c.at("input/t"), d, torch::kFloat64));
    c.compare("output/embedding_reference_" + name, embedding(c.at("input/t"), d, torch::kFloat32));
  }
}

/// The weighted sum of the output, its gradients with respect to the module's parameters and to inputs.
void compare_gradients(Case& c, const Tensor& loss, torch::nn::Module& module, const std::map<std::string, Tensor>& inputs) {
  c.compare("output/loss", loss);
  loss.backward();
  for (const auto& p : module.named_parameters()) c.compare("grad/" + p.key(), p.value().grad());
  for (const auto& [name, tensor] : inputs) c.compare("grad/input/" + name, tensor.grad());
}

void run_block(Case& c) {
  const std::string block = c.settings.at("block");
  const std::int64_t in = c.settings.at("in"), groups = c.get("norm_groups", std::int64_t{32});
  const Tensor x = c.leaf("input/x");
  std::map<std::string, Tensor> inputs{{"x", x}};
  const auto finish = [&](const auto& module, const auto& apply) {
    module->to(torch::kFloat64);
    load(c, *module);
    const Tensor y = apply();
    c.compare("output/y", y);
    compare_gradients(c, (y * c.at("input/w_y")).sum(), *module, inputs);
  };
  const bool with_conv = c.get("with_conv", true);
  if (block == "resnet") {
    const Tensor e = inputs["temb"] = c.leaf("input/temb");
    const auto module = std::make_shared<ResnetBlock>(ResnetOptions{.in = in, .out = c.get("out", in), .embedding = e.size(1), .groups = groups, .conv_shortcut = c.get("conv_shortcut", false)});
    finish(module, [&] { return module->forward(x, e); });
  } else if (block == "attention") {
    const auto module = std::make_shared<AttentionBlock>(groups, in);
    finish(module, [&] { return module->forward(x); });
  } else if (block == "down") {
    const auto module = std::make_shared<Downsample>(in, with_conv);
    finish(module, [&] { return module->forward(x); });
  } else {
    const auto module = std::make_shared<Upsample>(in, with_conv);
    finish(module, [&] { return module->forward(x); });
  }
}

std::shared_ptr<Unet> make_unet(Case& c) {
  UnetOptions o{.channels = c.get("channels", std::int64_t{3}), .size = c.settings.at("image_size"), .width = c.settings.at("ch"),
                .blocks = c.settings.at("num_res_blocks"), .groups = c.get("norm_groups", std::int64_t{32})};
  o.multipliers = c.settings.at("ch_mult").get<Integers>(), o.attention = c.settings.at("attn_resolutions").get<Integers>();
  o.with_conv = c.get("resamp_with_conv", true);
  const auto unet = std::make_shared<Unet>(o);
  unet->to(torch::kFloat64);
  unet->eval();
  if (c.kind == "model_formula") fill(*unet, c.settings.at("fill_seed").get<std::uint64_t>());
  else load(c, *unet);
  return unet;
}

Denoiser denoiser(const std::shared_ptr<Unet>& unet) {
  return [unet](const Tensor& x, const Tensor& t) { return unet->forward(x, t); };
}
Tensor bars(const Case& c) { return alpha_bar(c.at("input/betas")); }
std::vector<Step> steps(const Case& c) { return steps_down(c.settings.at("seq").get<Integers>(), bars(c)); }

void run_unet(Case& c) {
  const auto unet = make_unet(c);
  const Tensor x = c.leaf("input/x"), t = c.at("input/t");
  {
    const torch::NoGradGuard no_grad;
    c.compare("output/eps", unet->forward(x, t));
  }
  const Tensor bar = bars(c).index_select(0, t + 1).view({-1, 1, 1, 1}), noise = c.at("input/noise");
  const Tensor per_image = (noise - unet->forward(bar.sqrt() * x + (1 - bar).sqrt() * noise, t)).square().sum({1, 2, 3});
  c.compare("output/loss_per_image", per_image);
  compare_gradients(c, per_image.mean(), *unet, {{"x", x}});
  if (!c.settings.contains("grad_summary_names")) return;
  std::map<std::string, Tensor> gradients;
  for (const auto& p : unet->named_parameters()) gradients[p.key()] = p.value().grad();
  compare_grad_summary(c, gradients);
}

void run_sequential(Case& c) {
  const torch::NoGradGuard no_grad;
  const Denoiser f = denoiser(make_unet(c));
  const auto noise = c.at("input/noise").unbind(0);
  for (const auto& value : c.settings.at("etas")) {
    const double eta = value;
    std::string name = value.dump();
    if (eta == std::floor(eta)) name = std::to_string(static_cast<std::int64_t>(eta));
    const Path path = sample_ddim(f, c.at("input/x_T"), steps(c), eta, noise);
    c.compare("output/trajectory_eta" + name, torch::stack(path.states));
    c.compare("output/x0_eta" + name, torch::stack(path.clean));
  }
  c.compare("output/trajectory_ddpm", torch::stack(sample_ddpm(f, c.at("input/x_T"), steps(c), noise).states));
  c.compare("output/trajectory_encode", torch::stack(encode(f, c.at("input/x_0"), c.settings.at("seq").get<Integers>(), bars(c))));
}

/// The joint map of a case. \param noise  rows [B S, …] as the case stores them
Trajectory trajectory(const Case& c, const Tensor& x_T, Tensor noise) {
  const auto all = steps(c);
  if (noise.defined()) noise = noise.view({x_T.size(0), static_cast<std::int64_t>(all.size()), x_T.size(1), x_T.size(2), x_T.size(3)});
  return {denoiser(make_unet(const_cast<Case&>(c))), all, c.get("eta", 0.0), x_T, noise};
}

void run_parallel(Case& c) {
  const torch::NoGradGuard no_grad;
  const Tensor x_T = c.at("input/x_T"), rows = c.has("input/noise") ? c.at("input/noise") : Tensor();
  const Trajectory map = trajectory(c, x_T, rows);
  const std::int64_t b = x_T.size(0), s = map.steps();
  const auto per_row = [&](const Tensor& t) { return t.expand({b, s, 1, 1, 1}).reshape({b * s, 1, 1, 1}); };
  c.compare("output/coef_all_xT", (map.from() * x_T.unsqueeze(1)).flatten(0, 1));
  c.compare("output/coef_et_coeff", per_row(map.weight()));
  c.compare("output/coef_et_prevsum_coeff", per_row(map.sum()));
  if (map.noise().defined()) c.compare("output/coef_noise_t", map.noise().flatten(0, 1));
  Tensor z = map.start(x_T);
  c.compare("output/one_application", map(z, x_T));
  std::vector<Tensor> residuals;
  for (std::int64_t k = 0; k < c.settings.at("picard_steps"); ++k) {
    const Tensor next = map(z, x_T);
    residuals.push_back((next - z).norm() / (1e-5 + next.norm()));
    z = next;
  }
  c.compare("output/picard_states", z);
  c.compare("output/picard_residual", torch::stack(residuals));

  Recorder recorder;
  const solve::Options options{.tolerance = c.get("tol", 1e-3), .max_evaluations = c.get("max_iter", std::int64_t{15})};
  const auto solver = compatible_solver("anderson", {{"m", c.get("m", std::int64_t{5})}, {"lam", c.get("lam", 1e-3)}, {"tau", c.get("beta", 1.0)}}, options).make();
  solve::solve(*solver, "anderson", recorder.wrap(FixedPointMap([&](const State& y) { return State(map(y[0], x_T)); })), State(map.start(x_T)), options);
  c.compare("output/anderson_images", map.last(recorder.in.back().view(z.sizes())));
  std::vector<Tensor> noise;
  if (rows.defined()) noise = rows.view({b, s, x_T.size(1), x_T.size(2), x_T.size(3)}).unbind(1);
  c.compare("output/sequential_images", sample_ddim(denoiser(make_unet(c)), x_T, steps(c), c.get("eta", 0.0), noise).states.back());
}

void run_inversion(Case& c) {
  flatten(c);
  c.settings["forward"]["solver_kwargs"] = {{"m", c.get("m", std::int64_t{5})}, {"lam", c.get("lam", 1e-3)}};
  AdjointRecord record;
  Setup setup = set_up(c, record);
  setup.parts.forward.options.max_evaluations = setup.budget;
  gradient::Layer layer(setup.parts);
  const Tensor start = c.at("input/x_start"), target = c.at("input/target");
  const Trajectory map = trajectory(c, start, c.has("input/noise") ? c.at("input/noise") : Tensor());
  const Tensor rows = start.repeat({map.steps() + 1, 1, 1, 1});
  c.compare("output/one_application", with_latent(map, rows, start));
  std::vector<Tensor> losses;
  const Inversion found = invert(map, target, start, layer, {.steps = c.settings.at("steps"), .lr = c.settings.at("lr"), .go_on = false}, [&](const InversionStep& step) {
    losses.push_back(torch::tensor(step.error, torch::kFloat64));
    if (losses.size() > 1) return;
    c.compare("output/first_prediction", step.rows);
    c.compare("grad/input/all_xt", torch::cat({step.gradient, torch::zeros_like(rows.slice(0, 1))}));  // the published one has the other rows as parameters, too
  });
  c.compare("output/losses", torch::stack(losses));
  c.compare("output/states_after", torch::cat({found.last, rows.slice(0, 1)}));
}

ZSTAR_ZOO_RUNNER(run_schedules, "ddim_schedules")
ZSTAR_ZOO_RUNNER(run_block, "ddim_block")
ZSTAR_ZOO_RUNNER(run_unet, "ddim_unet")
ZSTAR_ZOO_RUNNER(run_sequential, "ddim_sequential")
ZSTAR_ZOO_RUNNER(run_parallel, "ddim_parallel")
ZSTAR_ZOO_RUNNER(run_inversion, "ddim_inversion")

}  // namespace
}  // namespace zstar::reference::zoo
