#include "core/training/optimiser.hpp"

#include <sstream>
#include <stdexcept>

#include <torch/optim.h>
#include <torch/serialize.h>

#include "core/training/adam.hpp"
#include "core/training/schedule.hpp"

namespace zstar::training {
namespace {

template <class C>
C from(const experiment::Section& s) {
  return make_options<C>(C::options(), s.options);
}

std::unique_ptr<torch::optim::Optimizer> make(const experiment::Section& s, const std::vector<Tensor>& parameters, double& lr) {
  if (s.part == "sgd") {
    const auto o = from<SgdOptions>(s);
    lr = o.lr;
    return std::make_unique<torch::optim::SGD>(
        parameters, torch::optim::SGDOptions(o.lr).momentum(o.momentum).weight_decay(o.weight_decay).nesterov(o.nesterov));
  }
  if (s.part == "rmsprop") {
    const auto o = from<RmspropOptions>(s);
    lr = o.lr;
    return std::make_unique<torch::optim::RMSprop>(
        parameters, torch::optim::RMSpropOptions(o.lr).alpha(o.alpha).eps(o.eps).weight_decay(o.weight_decay).momentum(o.momentum));
  }
  const auto o = from<AdamOptions>(s);
  lr = o.lr;
  const auto betas = std::make_tuple(o.beta1, o.beta2);
  if (s.part == "adamw")
    return std::make_unique<AdamW>(
        parameters, torch::optim::AdamWOptions(o.lr).betas(betas).eps(o.eps).weight_decay(o.weight_decay));
  return std::make_unique<Adam>(parameters, torch::optim::AdamOptions(o.lr).betas(betas).eps(o.eps).weight_decay(o.weight_decay));
}

}  // namespace

Optimiser::Optimiser(const experiment::Experiment& experiment, Model& model, std::int64_t total_steps, std::int64_t steps_per_epoch)
    : train_(experiment.at("train").as<TrainOptions>()), schedule_(experiment.at("schedule").part),
      schedule_options_(in_steps(make_options<ScheduleOptions>(
          std::tuple_cat(ScheduleOptions::step(), ScheduleOptions::one_cycle(), std::tuple{ScheduleOptions::overlap()}), experiment.at("schedule").options), steps_per_epoch)),
      total_steps_(total_steps) {
  for (const Tensor& p : model.parameters())
    if (p.requires_grad() && std::none_of(parameters_.begin(), parameters_.end(), [&p](const Tensor& known) { return known.is_same(p); }))
      parameters_.push_back(p);  // a shared one once
  optimizer_ = make(experiment.at("optimizer"), parameters_, lr_);
  if (train_.ema > 0)
    for (const Tensor& p : parameters_) average_.push_back(p.detach().clone());
}

void Optimiser::zero_grad() {
  for (Tensor& p : parameters_) p.mutable_grad() = Tensor();
}

double Optimiser::rate(std::int64_t step) const { return learning_rate(schedule_, schedule_options_, lr_, step, total_steps_); }

double Optimiser::clip() {
  std::vector<Tensor> norms;
  for (const Tensor& p : parameters_)
    if (p.grad().defined()) norms.push_back(p.grad().norm());
  if (norms.empty()) return 0;
  const double total = torch::stack(norms).norm().item<double>();
  if (!train_.clip_norm) return total;
  const double most = *train_.clip_norm;
  for (Tensor& p : parameters_) {
    if (!p.grad().defined()) continue;
    if (train_.clip == "value") {
      p.mutable_grad().clamp_(-most, most);
      continue;
    }
    const double norm = train_.clip == "global" ? total : p.grad().norm().item<double>();
    if (norm > most) p.mutable_grad().mul_(most / (norm + 1e-6));
  }
  return total;
}

double Optimiser::step(std::int64_t step) {
  const torch::NoGradGuard no_grad;
  const double norm = clip();
  if (!std::isfinite(norm)) return norm;  // such a step would destroy the weights
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(rate(step));
  optimizer_->step();
  for (std::size_t i = 0; i < average_.size(); ++i) average_[i].lerp_(parameters_[i], 1 - train_.ema);
  return norm;
}

void Optimiser::swap() {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < average_.size(); ++i) {
    const Tensor now = parameters_[i].detach().clone();
    parameters_[i].copy_(average_[i]);
    average_[i].copy_(now);
  }
}

void Optimiser::save(runs::Checkpoint& checkpoint) const {
  std::ostringstream out;
  torch::serialize::OutputArchive archive;
  optimizer_->save(archive);
  archive.save_to(out);
  const std::string bytes = out.str();
  checkpoint.tensors["optimizer"] = torch::tensor(std::vector<std::uint8_t>(bytes.begin(), bytes.end()), torch::kUInt8);
  for (std::size_t i = 0; i < average_.size(); ++i) checkpoint.tensors["average/" + std::to_string(i)] = average_[i];
}

void Optimiser::load(const runs::Checkpoint& checkpoint) {
  if (!average_.empty() && checkpoint.tensors.count("average/0") == 0)
    throw std::runtime_error("the checkpoint is of a run without averaged weights (train.ema = 0), and this one has them");
  const Tensor bytes = checkpoint.tensors.at("optimizer");
  std::istringstream in(std::string(static_cast<const char*>(bytes.data_ptr()), static_cast<std::size_t>(bytes.numel())));
  torch::serialize::InputArchive archive;
  archive.load_from(in);
  optimizer_->load(archive);
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < average_.size(); ++i) average_[i].copy_(checkpoint.tensors.at("average/" + std::to_string(i)));
}

}  // namespace zstar::training
