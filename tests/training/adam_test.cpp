/// \file Adam in one pass over memory against LibTorch's own.
#include "core/training/adam.hpp"

#include <sstream>

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

template <class Ours, class Options>
void expect_the_steps_of_libtorch(const char* what, double decay, torch::Dtype dtype) {
  auto mine = leaves(parameters(dtype)), theirs = leaves(mine);
  const auto options = Options(0.01).betas({0.8, 0.95}).eps(1e-6).weight_decay(decay);
  Ours ours(mine, options);
  std::conditional_t<std::is_same_v<Ours, training::Adam>, torch::optim::Adam, torch::optim::AdamW> plain(theirs, options);
  for (int k = 0; k < 5; ++k) {
    give_gradients(mine, k), give_gradients(theirs, k);
    const auto version = mine[0]._version();
    ours.step(), plain.step();
    EXPECT_GT(mine[0]._version(), version);  // a graph that keeps the old numbers notices
  }
  expect_alike(mine, theirs, what);
}

TEST(Adam, TakesTheStepsOfLibTorch) {
  for (const torch::Dtype dtype : {torch::kFloat32, torch::kFloat64})
    for (const double decay : {0.0, 0.1}) {
      expect_the_steps_of_libtorch<training::Adam, torch::optim::AdamOptions>("Adam", decay, dtype);
      expect_the_steps_of_libtorch<training::AdamW, torch::optim::AdamWOptions>("AdamW", decay, dtype);
    }
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

/// A run that began with one goes on with the other.
TEST(Adam, ItsStatesAreThoseOfLibTorch) {
  const auto bytes = [](const torch::optim::Optimizer& o) {
    torch::serialize::OutputArchive archive;
    o.save(archive);
    std::stringstream stream;
    archive.save_to(stream);
    return stream;
  };
  const auto restore = [](torch::optim::Optimizer& o, std::stringstream stream) {
    torch::serialize::InputArchive archive;
    archive.load_from(stream);
    o.load(archive);
  };
  const torch::optim::AdamOptions options(0.01);
  auto a = leaves(parameters(torch::kFloat64)), b = leaves(a), c = leaves(a);
  training::Adam first(a, options), third(c, options);
  torch::optim::Adam second(b, options);
  for (int k = 0; k < 2; ++k) {
    for (auto* p : {&a, &b, &c}) give_gradients(*p, k);
    first.step(), second.step(), third.step();
  }
  auto saved = bytes(first), plain = bytes(second);
  restore(second, std::move(saved)), restore(third, std::move(plain));
  for (auto* p : {&a, &b, &c}) give_gradients(*p, 2);
  first.step(), second.step(), third.step();
  expect_alike(a, b, "LibTorch goes on");
  expect_alike(a, c, "goes on from LibTorch");
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
