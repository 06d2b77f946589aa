#include <map>

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options o{.tolerance = 1e-8, .max_evaluations = 200};

gradient::Layer layer_with(const gradient::StartOptions& start) {
  return gradient::Layer({choice("fixed_point", o), choice("fixed_point", o), make<GradientMethod>(Kind::gradient, "implicit"), make<GradientMethod>(Kind::gradient, "phantom"), {}, start});
}

double number(gradient::Layer& deq, const std::string& name) {
  for (const auto& [key, value] : deq.statistics())
    if (key == name) return value;
  return NAN;
}

const State z0(torch::zeros({3, 6}, torch::kFloat64));

TEST(Starts, TheStoreIsOffByDefault) {
  const TanhMap f;
  auto deq = layer_with({});
  const auto first = deq.solve(f.map(), z0, {.sample_ids = {1, 2, 3}}), second = deq.solve(f.map(), z0, {.sample_ids = {1, 2, 3}});
  EXPECT_EQ(first.forward[0].calls, second.forward[0].calls);
  EXPECT_TRUE(deq.statistics().empty());
}

TEST(Starts, SolvesInTrainingEndSoonerAtRandomWhereThatIsWanted) {
  const TanhMap f;
  const auto layer = [](std::int64_t shortening) {
    const solve::Options few{.tolerance = 0, .max_evaluations = 5, .random_shortening = shortening};
    return gradient::Layer({choice("fixed_point", few), choice("fixed_point", o), make<GradientMethod>(Kind::gradient, "implicit"), make<GradientMethod>(Kind::gradient, "phantom"), {}, {}});
  };
  auto deq = layer(2);
  std::map<std::int64_t, int> training, evaluation;
  torch::manual_seed(0);
  for (int k = 0; k < 60; ++k) ++training[deq.solve(f.map(), z0, {.training = true}).forward[0].calls], ++evaluation[deq.solve(f.map(), z0, {.training = false}).forward[0].calls];
  EXPECT_EQ(training.size(), 3);
  for (const std::int64_t calls : {3, 4, 5}) EXPECT_GT(training[calls], 8) << calls;
  EXPECT_EQ(evaluation, (std::map<std::int64_t, int>{{5, 60}}));
  EXPECT_THROW(layer(5), OptionError);
}

TEST(Starts, RandomOnesExistInEveryDtype) {  // CPUs draw no float16
  const FixedPointMap half([](const State& z) { return State(z[0] * 0.5); });
  for (const char* from : {"normal", "mixed"})
    for (const auto dtype : {torch::kFloat16, torch::kBFloat16, torch::kFloat32}) {
      auto deq = layer_with({.from = from});
      const Tensor z = deq.solve(half, State(torch::zeros({2, 50}, torch::TensorOptions(dtype))), {.gradient = false, .max_evaluations = 1}).z()[0];
      EXPECT_EQ(z.scalar_type(), dtype) << from;
      EXPECT_GT(z.to(torch::kFloat32).abs().max().item<float>(), 0) << from << dtype;
    }
}

TEST(Starts, SamplesBeginWhereTheyEndedBeforeWhateverTheirPlaceInTheBatch) {
  const TanhMap f;
  auto deq = layer_with({.store = "sample", .probe_every = 0});
  const auto cold = deq.solve(f.map(), z0, {.sample_ids = {7, 8, 9}});
  const Tensor order = torch::tensor({2, 0, 1});
  const auto warm = deq.solve(f.map().at_rows(order), z0, {.sample_ids = {9, 7, 8}});
  EXPECT_EQ(warm.forward[0].calls, 1);
  EXPECT_LT(relative_error(warm.fixed_point[0], cold.fixed_point[0].index_select(0, order)), 1e-7);
}

TEST(Starts, MeasureWhatTheySaveByColdProbes) {
  const TanhMap f;
  auto deq = layer_with({.store = "position", .probe_every = 3});
  for (int k = 0; k < 6; ++k) deq.solve(f.map(), z0);
  std::map<std::string, double> numbers;
  for (const auto& [name, value] : deq.statistics()) numbers[name] = value;
  EXPECT_EQ(numbers["warm_start_entries"], 3);
  EXPECT_EQ(numbers["warm_start_age"], 1);
  EXPECT_EQ(numbers["warm_start_evaluations"], 1);
  EXPECT_GT(numbers["warm_start_gain"], 10);  // ‖J‖ ≤ 0.8 from zero to 1e-8
}

TEST(Starts, EvaluationNeitherReadsNorWritesTheStore) {
  const TanhMap f;
  auto deq = layer_with({.store = "position", .probe_every = 0});
  deq.solve(f.map(), z0, {.training = false});
  EXPECT_EQ(number(deq, "warm_start_entries"), 0);
}

TEST(Starts, SurviveACheckpoint) {
  const TanhMap f;
  auto deq = layer_with({.store = "sample", .probe_every = 0, .adjoint = true});
  deq.solve(f.map(), z0, {.sample_ids = {1, 2, 3}}).z()[0].sum().backward();
  std::map<std::string, Tensor> saved;
  deq.starts().save(saved);
  auto other = layer_with({.store = "sample", .probe_every = 0, .adjoint = true});
  other.starts().load(saved);
  other.solve(f.map(), z0, {.sample_ids = {3, 1, 5}});
  EXPECT_EQ(number(other, "warm_start_found"), 2.0 / 3);
  std::map<std::string, Tensor> again;
  auto third = layer_with({.store = "sample", .probe_every = 0, .adjoint = true});
  third.starts().load(saved);
  third.starts().save(again);
  ASSERT_EQ(saved.size(), again.size());
  for (const auto& [name, tensor] : saved) EXPECT_TRUE(tensor.equal(again.at(name))) << name;
}

TEST(Starts, AdjointsBeginWhereTheyEndedBefore) {
  const TanhMap f;
  auto deq = layer_with({.store = "position", .probe_every = 0, .adjoint = true});
  std::vector<std::int64_t> calls;
  for (int k = 0; k < 2; ++k) {
    const auto e = deq.solve(f.map(), z0);
    e.z()[0].sum().backward();
    calls.push_back(e.backward->front().calls);
  }
  EXPECT_LE(calls[1], 2);
  EXPECT_GT(calls[0], 10);
}

TEST(Starts, TheOldestLeaveAFullStoreAndOldStatesAreNotUsed) {
  gradient::StateStore store({.capacity = 2, .max_age = 5});
  const Tensor z = randn({3, 4}, 1);
  store.put({{1}, {2}}, z.narrow(0, 0, 2), {1, 1}, 1);
  store.put({{2}, {3}}, z.narrow(0, 1, 2), {1, 1}, 4);
  EXPECT_EQ(store.size(), 2);
  Tensor rows = torch::zeros({3, 4}, torch::kFloat64);
  const auto [found, age] = store.fetch({{1}, {2}, {3}}, rows, 6);
  EXPECT_EQ(found, 2);
  EXPECT_EQ(age, 4);
  EXPECT_EQ(rows[0].abs().max().item<double>(), 0);
  EXPECT_TRUE(rows[1].equal(z[1]));
  EXPECT_EQ(store.fetch({{1}, {2}, {3}}, rows, 10).first, 0);
}

TEST(Starts, SolvesOfOnePassAreToldApart) {
  const TanhMap f, g(3, 6, 0.5);
  auto deq = layer_with({.store = "sample", .probe_every = 0, .adjoint = true});
  const auto pass = [&](const std::vector<std::int64_t>& ids) {
    deq.starts().pass();
    const auto first = deq.solve(f.map(), z0, {.sample_ids = ids}), second = deq.solve(g.map(), z0, {.sample_ids = ids});
    (first.z()[0].sum() + second.z()[0].sum()).backward();
    return std::vector<std::int64_t>{first.forward[0].calls, second.forward[0].calls, first.backward->front().calls, second.backward->front().calls};
  };
  pass({1, 2, 3});
  for (const std::int64_t calls : pass({1, 2, 3})) EXPECT_LE(calls, 2);  // each at its own equilibrium
  EXPECT_EQ(number(deq, "warm_start_entries"), 6);
  std::map<std::string, Tensor> saved;
  deq.starts().save(saved);
  auto other = layer_with({.store = "sample", .probe_every = 0, .adjoint = true});
  other.starts().load(saved);
  other.starts().pass();
  other.solve(f.map(), z0, {.gradient = false, .sample_ids = {1, 2, 3}});
  EXPECT_EQ(other.solve(g.map(), z0, {.gradient = false, .sample_ids = {1, 2, 3}}).forward[0].calls, 1);
}

TEST(Starts, NoiseIsDrawnFromTheExperimentsGenerator) {
  const TanhMap f;
  for (const char* from : {"normal", "mixed"}) {
    auto deq = layer_with({.from = from});
    torch::manual_seed(3);
    const auto first = deq.solve(f.map(), z0, {.max_evaluations = 1});
    torch::manual_seed(3);
    const auto again = deq.solve(f.map(), z0, {.max_evaluations = 1}), other = deq.solve(f.map(), z0, {.max_evaluations = 1});
    EXPECT_TRUE(first.fixed_point[0].equal(again.fixed_point[0])) << from;
    EXPECT_FALSE(first.fixed_point[0].equal(other.fixed_point[0])) << from;
    const double zeros = first.fixed_point[0].eq(0).sum().item<double>();
    EXPECT_EQ(zeros > 0, std::string(from) == "mixed");
  }
}

}  // namespace
