#include <unistd.h>

#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"
#include "zstar/nn/checkpoint.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

std::int64_t resident() {
  std::ifstream in("/proc/self/statm");
  std::int64_t total = 0, pages = 0;
  in >> total >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

TEST(Checkpoint, E50DrawsTheSameRandomNumbersAgainAndLeavesTheGeneratorAlone) {
  const Tensor x = randn({8, 8}, 1).requires_grad_();
  torch::manual_seed(5);
  const Tensor y = nn::checkpoint([x] { return std::vector<Tensor>{torch::dropout(x, 0.5, /*train=*/true)}; }, torch::kCPU)[0];
  const Tensor later = torch::rand({4});
  const Tensor slope = torch::autograd::grad({y.sum()}, {x})[0];
  EXPECT_TRUE((slope * x).detach().allclose(y.detach()));  // the mask of forward, 1/(1 − p) where it kept
  const Tensor after = torch::rand({4});
  torch::manual_seed(5);
  torch::dropout(x, 0.5, true);
  EXPECT_TRUE(torch::rand({4}).equal(later));
  EXPECT_TRUE(torch::rand({4}).equal(after));
}

TEST(Checkpoint, CapturedTensorsLeavesOrNotGetTheirGradients) {
  const TanhMap f;
  const Tensor z = randn({3, 6}, 4).requires_grad_();
  const auto gradients = [&](bool checkpointed) {
    const Tensor inner = (2 * z).sin();  // part of a graph that is there before
    const auto body = [&f, inner] { return std::vector<Tensor>{f(f(inner)), f(inner).square()}; };
    const auto y = checkpointed ? nn::checkpoint(body, torch::kCPU) : body();
    return torch::autograd::grad({(y[0] * y[1]).sum()}, {z, f.w, f.u, f.c, f.x});
  };
  const auto got = gradients(true), want = gradients(false);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-14) << i;
}

/// Three in a row, of which two are made again; a second pass makes the last again, too.
TEST(Checkpoint, TheNewestOfAChainKeepsItsGraph) {
  const TanhMap f;
  const Tensor z = randn({3, 6}, 4).requires_grad_();
  int evaluations = 0;
  const auto chain = [&](nn::NewestGraph* newest, bool checkpointed) {
    Tensor y = z;
    for (int k = 0; k < 3; ++k) {
      const auto body = [&, y] { return ++evaluations, std::vector<Tensor>{f(y)}; };
      y = checkpointed ? nn::checkpoint(body, torch::kCPU, newest)[0] : body()[0];
    }
    return y.square().sum();
  };
  const std::vector<Tensor> inputs{z, f.w, f.u};
  const auto want = torch::autograd::grad({chain(nullptr, false)}, inputs);
  nn::NewestGraph newest;
  const Tensor loss = chain(&newest, true);
  for (const int more : {2, 3}) {
    evaluations = 0;
    const auto got = torch::autograd::grad({loss}, inputs, {}, /*retain_graph=*/true);
    EXPECT_EQ(evaluations, more);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(relative_error(got[i], want[i]), 1e-14) << more << i;
  }
  const auto second = [&](const Tensor& y) {
    const Tensor first = torch::autograd::grad({y}, {z}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.square().sum()}, {f.w})[0];
  };
  EXPECT_LT(relative_error(second(chain(&newest, true)), second(chain(nullptr, false))), 1e-13);
}

/// A thread numbers the nodes that it makes by itself: in a new one the numbers of old nodes are high.
TEST(Checkpoint, GoesBackwardInAnyThread) {
  const Tensor x = randn({3, 6}, 4).requires_grad_();
  Tensor inner = x;
  for (int k = 0; k < 50; ++k) inner = inner.sin();
  const Tensor y = nn::checkpoint([inner] { return std::vector<Tensor>{inner.cos()}; }, torch::kCPU)[0];
  Tensor got;
  std::thread([&] { got = torch::autograd::grad({y.sum()}, {x})[0]; }).join();
  Tensor plain = x;
  for (int k = 0; k < 50; ++k) plain = plain.sin();
  EXPECT_LT(relative_error(got, torch::autograd::grad({plain.cos().sum()}, {x})[0]), 1e-13);
}

TEST(Checkpoint, HasSecondDerivatives) {
  const TanhMap f;
  const Tensor z = randn({3, 6}, 4).requires_grad_();
  const auto second = [&](bool checkpointed) {
    const auto body = [&] { return std::vector<Tensor>{f(f(z))}; };
    const Tensor y = checkpointed ? nn::checkpoint(body, torch::kCPU)[0] : body()[0];
    const Tensor first = torch::autograd::grad({y.square().sum()}, {z}, {}, true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.square().sum()}, {f.w})[0];
  };
  EXPECT_LT(relative_error(second(true), second(false)), 1e-13);
}

TEST(Checkpoint, KeepsNothingOfTheGraph) {
  const Tensor x = torch::rand({64, 4000}, torch::kFloat64).requires_grad_();  // 2 MB
  const auto deep = [x] {
    Tensor y = x;
    for (int k = 0; k < 30; ++k) y = y.sin();  // 60 MB of graph
    return std::vector<Tensor>{y};
  };
  { const auto warm_up = nn::checkpoint(deep, torch::kCPU); }
  const std::int64_t before = resident();
  std::vector<Tensor> kept;
  for (int k = 0; k < 20; ++k) kept.push_back(nn::checkpoint(deep, torch::kCPU)[0]);
  EXPECT_LT(resident() - before, 400 << 20);  // twenty graphs would be 1200 MB; what is freed stays for a while with the allocator of a sanitizer
}

TEST(Checkpoint, NothingLeaksOver300Steps) {
  const Tensor x = torch::rand({8, 5000}, torch::kFloat64).requires_grad_();  // 0.32 MB
  std::int64_t before = 0;
  for (int step = 0; step < 300; ++step) {
    const Tensor y = nn::checkpoint([x] { return std::vector<Tensor>{x.cos().sin()}; }, torch::kCPU)[0];
    if (step % 2) torch::autograd::grad({y.sum()}, {x});
    if (step == 50) before = resident();
  }
  EXPECT_LT(resident() - before, 20 << 20);  // one state kept a step would be 80 MB
}

TEST(Checkpoint, OfTheLayerChangesNoGradient) {
  const TanhMap f;
  const FixedPointMap hidden([&f](const State& z) { return State(f(z[0])); });
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  const solve::Options o{.tolerance = 1e-12, .max_evaluations = 200};
  for (const char* method : {"phantom", "implicit"})
    for (const FixedPointMap& map : {f.map(), hidden}) {
      std::vector<Tensor> gradients;
      for (const bool checkpoint : {false, true})
        gradients.push_back(torch::autograd::grad({layer(method, o, o, "anderson", "fixed_point", {}, {.checkpoint = checkpoint}).solve(map, z0).z()[0].square().sum()}, {f.w})[0]);
      EXPECT_LT(relative_error(gradients[1], gradients[0]), 1e-14) << method;
    }
}

}  // namespace
