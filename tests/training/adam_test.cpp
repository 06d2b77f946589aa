/// \file Adam in one pass over memory against LibTorch's own.
#include "core/training/adam.hpp"

#include <cmath>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/serialize.h>
#include <torch/torch.h>

namespace {

using namespace zstar;
using torch::Tensor;

/// Of several sizes and layouts; more than one part of a parallel loop among them.
std::vector<Tensor> parameters(torch::Dtype dtype) {
  torch::manual_seed(3);
  return {torch::randn({70001}, dtype),    torch::randn({6, 5, 3, 3}, dtype).contiguous(torch::MemoryFormat::ChannelsLast),
          torch::randn({7, 4}, dtype).t(), torch::randn({1, 3, 1, 1}, dtype),
          torch::randn({}, dtype),         torch::empty({0, 3}, dtype)};
}

std::vector<Tensor> leaves(const std::vector<Tensor>& values) {
  std::vector<Tensor> all;
  for (const Tensor& v : values) all.push_back(v.detach().clone().requires_grad_());
  return all;
}

/// Gradients of step k: contiguous ones for all, so that some lie in memory as their parameters do not; none for one in every other step.
void give_gradients(std::vector<Tensor>& to, int k) {
  torch::manual_seed(10 + k);
  for (std::size_t i = 0; i < to.size(); ++i) to[i].mutable_grad() = i == 3 && k % 2 ? Tensor() : torch::randn(to[i].sizes(), to[i].dtype());
}

void expect_alike(const std::vector<Tensor>& a, const std::vector<Tensor>& b, const char* what) {
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(torch::allclose(a[i], b[i], /*rtol=*/0, a[i].scalar_type() == torch::kFloat64 ? 1e-14 : 2e-6))
        << what << ", parameter " << i << ": " << (a[i] - b[i]).abs().max();
}

/// The parameters in two groups, the second with other options, and a rate that changes from step to step, as a schedule's does.
template <class Optimizer, class Options>
Optimizer in_two_groups(const std::vector<Tensor>& p, double decay) {
  const Options first = Options(0.01).betas({0.8, 0.95}).eps(1e-6).weight_decay(decay), second = Options(0.03).weight_decay(0.2);
  return Optimizer({torch::optim::OptimizerParamGroup({p.begin(), p.begin() + 3}, std::make_unique<Options>(first)),
                    torch::optim::OptimizerParamGroup({p.begin() + 3, p.end()}, std::make_unique<Options>(second))},
                   first);
}

template <class Ours, class State>
bool steps_of_its_own(Ours& optimizer) {
  bool all = !optimizer.state().empty();
  for (const auto& [key, state] : optimizer.state())  // LibTorch changes moments in place, by operations that count
    all = all && static_cast<const State&>(*state).exp_avg()._version() == 0;
  return all;
}

template <class Ours, class Plain, class Options, class State>
void expect_the_steps_of_libtorch(const char* what, double decay, torch::Dtype dtype) {
  auto mine = leaves(parameters(dtype)), theirs = leaves(mine);
  auto ours = in_two_groups<Ours, Options>(mine, decay);
  auto plain = in_two_groups<Plain, Options>(theirs, decay);
  for (int k = 0; k < 5; ++k) {
    give_gradients(mine, k), give_gradients(theirs, k);
    for (torch::optim::Optimizer* o : {static_cast<torch::optim::Optimizer*>(&ours), static_cast<torch::optim::Optimizer*>(&plain)})
      o->param_groups()[0].options().set_lr(0.01 / (1 + k));
    const auto version = mine[0]._version();
    ours.step(), plain.step();
    EXPECT_EQ(mine[0]._version(), version + 1);  // a graph that keeps the old numbers notices
  }
  expect_alike(mine, theirs, what);
  EXPECT_TRUE((steps_of_its_own<Ours, State>(ours))) << what;
}

TEST(Adam, TakesTheStepsOfLibTorch) {
  using namespace torch::optim;
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64})
    for (const double decay : {0.0, 0.1}) {
      expect_the_steps_of_libtorch<training::Adam, Adam, AdamOptions, AdamParamState>("Adam", decay, dtype);
      expect_the_steps_of_libtorch<training::AdamW, AdamW, AdamWOptions, AdamWParamState>("AdamW", decay, dtype);
    }
}

TEST(Adam, AWeightThatIsInfiniteLeavesItsMomentsFinite) {
  auto p = std::vector<Tensor>{torch::full({20}, INFINITY).requires_grad_()};
  training::Adam adam(p, torch::optim::AdamOptions(0.1));
  p[0].mutable_grad() = torch::zeros({20});
  adam.step();
  EXPECT_TRUE(p[0].isposinf().all().item<bool>());
}

TEST(Adam, AGradientThatIsAViewWithOtherSignsIsReadAsSuch) {
  auto p = leaves({torch::randn({9})}), q = leaves(p);
  training::Adam ours(p, torch::optim::AdamOptions(0.1));
  torch::optim::Adam plain(q, torch::optim::AdamOptions(0.1));
  const Tensor g = torch::randn({9});
  p[0].mutable_grad() = torch::_neg_view(g), q[0].mutable_grad() = -g;
  ours.step(), plain.step();
  expect_alike(p, q, "negative view");
}

TEST(Adam, GivesTheSameBitsInAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  std::vector<std::vector<Tensor>> found;
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    auto p = leaves(parameters(torch::kFloat32));
    training::Adam adam(p, torch::optim::AdamOptions(0.01));
    for (int k = 0; k < 3; ++k) give_gradients(p, k), adam.step();
    found.push_back(p);
  }
  at::set_num_threads(before);
  for (std::size_t i = 0; i < found[0].size(); ++i) EXPECT_TRUE(torch::equal(found[0][i], found[1][i])) << i;
}

std::stringstream saved(const torch::optim::Optimizer& o) {
  torch::serialize::OutputArchive archive;
  o.save(archive);
  std::stringstream stream;
  archive.save_to(stream);
  return stream;
}

void restore(torch::optim::Optimizer& o, std::stringstream stream) {
  torch::serialize::InputArchive archive;
  archive.load_from(stream);
  o.load(archive);
}

/// A run that began with one goes on with the other.
TEST(Adam, ItsStatesAreThoseOfLibTorch) {
  const torch::optim::AdamOptions options(0.01);
  auto a = leaves(parameters(torch::kFloat64)), b = leaves(a), c = leaves(a);
  training::Adam first(a, options), third(c, options);
  torch::optim::Adam second(b, options);
  for (int k = 0; k < 2; ++k) {
    for (auto* p : {&a, &b, &c}) give_gradients(*p, k);
    first.step(), second.step(), third.step();
  }
  auto mine = saved(first), plain = saved(second);
  restore(second, std::move(mine)), restore(third, std::move(plain));
  for (auto* p : {&a, &b, &c}) give_gradients(*p, 2);
  first.step(), second.step(), third.step();
  expect_alike(a, b, "LibTorch goes on");
  expect_alike(a, c, "goes on from LibTorch");
}

TEST(Adam, StatesOfOtherParametersAreRefused) {
  auto few = leaves({torch::randn({5}), torch::randn({701})}), swapped = leaves({torch::randn({701}), torch::randn({5})});
  training::Adam first(few, torch::optim::AdamOptions(0.01)), second(swapped, torch::optim::AdamOptions(0.01));
  give_gradients(few, 0), first.step();
  restore(second, saved(first));
  give_gradients(swapped, 0);
  EXPECT_THROW(second.step(), std::runtime_error);
}

TEST(Adam, OtherTensorsAndOptionsAreLibTorchs) {
  auto p = std::vector<Tensor>{torch::randn({9}, torch::kBFloat16).requires_grad_()}, q = leaves(p);
  training::Adam ours(p, torch::optim::AdamOptions(0.1));
  torch::optim::Adam plain(q, torch::optim::AdamOptions(0.1));
  give_gradients(p, 0), give_gradients(q, 0);
  ours.step(), plain.step();
  EXPECT_TRUE(torch::equal(p[0], q[0]));
  auto r = leaves({torch::randn({9})}), s = leaves(r);
  training::Adam highest(r, torch::optim::AdamOptions(0.1).amsgrad(true));
  torch::optim::Adam of_libtorch(s, torch::optim::AdamOptions(0.1).amsgrad(true));
  for (int k = 0; k < 3; ++k) give_gradients(r, k), give_gradients(s, k), highest.step(), of_libtorch.step();
  EXPECT_TRUE(torch::equal(r[0], s[0]));
}

}  // namespace
