#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "tests/support/model_host.hpp"

#include "projection.hpp"
#include "radius.hpp"
#include "sparse.hpp"

namespace {

using namespace zstar;
using torch::Tensor;
using test::randn;

/// A directed graph of n nodes with about 3 n edges, weights in (0, 1).
struct Drawn {
  Tensor indices, values;
  explicit Drawn(std::int64_t n, std::int64_t seed = 5) {
    torch::manual_seed(seed);
    indices = torch::randint(0, n, {2, 3 * n}, torch::kInt64);
    values = torch::rand({3 * n}, torch::kFloat64);
  }
  Tensor dense(std::int64_t n) const { return torch::sparse_coo_tensor(indices, values, {n, n}).to_dense(); }
};

TEST(IgnnProjection, EqualsTheProgramOfThePublishedRowByRowWalk) {
  const Tensor w = randn({12, 40}, 3);
  const double radius = 2.5;
  Tensor want = w.clone();
  for (std::int64_t i = 0; i < w.size(0); ++i) {
    if (w[i].abs().sum().item<double>() <= radius) continue;
    const Tensor sorted = std::get<0>(w[i].abs().sort());
    double s = sorted.sum().item<double>() - radius, left = static_cast<double>(w.size(1));
    for (std::int64_t k = 0; s / left > sorted[k].item<double>(); ++k, --left) s -= sorted[k].item<double>();
    want[i].copy_(w[i].sign() * (w[i].abs() - s / left).clamp_min(0));
  }

  const Tensor got = zstar_ignn::project_rows(w, radius);

  EXPECT_LT((got - want).abs().max().item<double>(), 1e-14);  // a few roundings of numbers near 1
  EXPECT_TRUE(zstar_ignn::project_rows(0.01 * w, radius).equal(0.01 * w));  // rows inside stay
}

TEST(IgnnProjection, Z41KeepsTheBoundOfAWideRowInSinglePrecision) {
  const Tensor w = randn({4, 1024}, 7).to(torch::kFloat32);

  const Tensor got = zstar_ignn::project_rows(w, 0.03);

  EXPECT_LT((got.to(torch::kFloat64).abs().sum(1) - 0.03).abs().max().item<double>(), 1e-6);  // ε of numbers near 3, times those kept
}

TEST(IgnnRadius, Z27IsTheLargestEigenvalueExactForChainsAndTheSameEachTime) {
  const Drawn g(30);
  const double once = zstar_ignn::spectral_radius(g.indices, g.values, 30);
  torch::manual_seed(77);
  EXPECT_EQ(zstar_ignn::spectral_radius(g.indices, g.values, 30), once);
  const double want = torch::linalg_eigvals(g.dense(30)).abs().max().item<double>();
  EXPECT_NEAR(zstar_ignn::spectral_radius(g.indices, g.values, 30), want, 1e-7 * want);  // eigenvalues of a matrix that is not normal

  const Tensor chain = torch::stack({torch::arange(9), torch::arange(1, 10)}), self = torch::arange(10);
  const Tensor indices = torch::cat({chain, torch::stack({self, self})}, 1);
  EXPECT_NEAR(zstar_ignn::spectral_radius(indices, torch::full({19}, 0.5, torch::kFloat64), 10), 0.5, 1e-9);
}

TEST(IgnnCell, AgreesWithItsPlainFormAndWithDenseMatricesInBothPrecisions) {
  for (const std::int64_t m : {1, 7, 16, 32, 80, 200})  // 16 and 32 have a kernel of their own
    for (const auto dtype : {torch::kFloat32, torch::kFloat64}) {
      const Drawn g(25);
      const auto a = std::make_shared<const zstar_ignn::Adjacency>(g.indices, g.values.to(dtype), 25);
      const Tensor z = randn({25, m}, 1).to(dtype), w = randn({m, m}, 2).to(dtype) / m, b = randn({25, m}, 3).to(dtype);

      const Tensor fused = zstar_ignn::cell(a, z, w, b), plain = zstar_ignn::plain_cell(a, z, w, b);

      const Tensor dense = torch::relu(torch::mm(g.dense(25).to(dtype).t(), torch::mm(z, w)) + b);
      const double rounding = dtype == torch::kFloat32 ? 1e-5 : 1e-14;  // some ε of sums of a few numbers near 1
      EXPECT_LT((fused - plain).abs().max().item<double>(), rounding);
      EXPECT_LT((fused - dense).abs().max().item<double>(), rounding);
    }
}

TEST(IgnnCell, AgreesWithItsPlainFormWhereTheStateIsLargerThanTheNearCache) {
  constexpr std::int64_t n = 1100, m = 2 * 64 + 9;  // 1.2 MB in float64: two tiles and a part of one
  const Drawn g(n);
  const auto a = std::make_shared<const zstar_ignn::Adjacency>(g.indices, g.values, n);
  const Tensor z = randn({n, m}, 1), w = randn({m, m}, 2) / m, b = randn({n, m}, 3);
  EXPECT_LT((zstar_ignn::cell(a, z, w, b) - zstar_ignn::plain_cell(a, z, w, b)).abs().max().item<double>(), 1e-14);
  EXPECT_LT((zstar_ignn::product(a, /*transposed=*/false, z) - torch::mm(g.dense(n), z)).abs().max().item<double>(), 1e-13);
}

TEST(IgnnCell, HasTheDerivativesOfItsPlainFormAlsoTheSecond) {
  const Drawn g(12);
  const auto a = std::make_shared<const zstar_ignn::Adjacency>(g.indices, g.values, 12);
  const auto derivatives = [&](std::int64_t m, auto&& f) {
    const std::vector<Tensor> leaves{randn({12, m}, 1).requires_grad_(), randn({m, m}, 2).requires_grad_(), randn({12, m}, 3).requires_grad_()};
    auto first = torch::autograd::grad({(f(a, leaves[0], leaves[1], leaves[2]) * randn({12, m}, 4)).sum()}, leaves, {}, /*retain_graph=*/true, /*create_graph=*/true);
    const auto second = torch::autograd::grad({first[0].pow(2).sum() + first[1].pow(2).sum()}, {leaves[0], leaves[1]});
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  for (const std::int64_t m : {5, 16}) {
    const auto got = derivatives(m, zstar_ignn::cell), want = derivatives(m, zstar_ignn::plain_cell);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_LT(test::relative_error(got[i], want[i]), 1e-13) << m << ' ' << i;
  }
}

TEST(IgnnCell, LetsANotANumberThrough) {
  const Drawn g(4);
  const auto a = std::make_shared<const zstar_ignn::Adjacency>(g.indices, g.values, 4);
  for (const std::int64_t m : {3, 16}) {
    Tensor b = torch::zeros({4, m}, torch::kFloat64);
    b[2][1] = std::nan("");
    EXPECT_TRUE(torch::isnan(zstar_ignn::cell(a, randn({4, m}, 1), randn({m, m}, 2), b)[2][1]).item<bool>()) << m;
  }
}

/// A model on a solve to rounding, in double precision.
struct Built {
  std::shared_ptr<gradient::Layer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
  std::vector<Solved> solves;

  Built(const std::string& name, Settings settings, const Description& data, const std::string& solver = "fixed_point", const std::shared_ptr<Norm>& norm = nullptr, std::int64_t evaluations = 400) {
    torch::manual_seed(1);
    const solve::Options options{.tolerance = 1e-13, .max_evaluations = evaluations, .stall_window = 0};
    layer.reset(new gradient::Layer(test::layer("implicit", options, options, solver, "fixed_point")));
    layer->record_into(&solves);
    host = std::make_unique<test::ModelHost>(layer, norm, data);
    settings.push_back({"dropout", 0.0});
    model = test::catalogue().create<Model>(Kind::model, name, settings, *host);
    model->to(torch::kFloat64);
  }
};

/// Three graphs of 6, 3 and 8 nodes side by side.
Batch three_graphs(const Tensor& labels) {
  std::vector<Tensor> indices, values, graphs;
  std::int64_t first = 0, number = 0;
  for (const std::int64_t n : {6, 3, 8}) {
    const Drawn g(n, n);
    indices.push_back(g.indices + first), values.push_back(g.values), graphs.push_back(torch::full({n}, number++, torch::kInt64));
    first += n;
  }
  return {{{"features", randn({first, 4}, 9)}, {"adjacency_indices", torch::cat(indices, 1)}, {"adjacency_values", torch::cat(values)},
           {"graphs", torch::cat(graphs)}, {"labels", labels}}, {}};
}

const Description graph_data{{{"features", 4}, {"classes", 2}}};
const Tensor graph_labels() { return torch::tensor({0, 1, 1}, torch::kInt64); }

TEST(IgnnGraphs, GraphsSolvedOneByOneAndTogetherHaveTheSameFixedPointAndGradients) {
  const Batch batch = three_graphs(graph_labels());
  std::vector<std::vector<Tensor>> results;
  for (const char* axis : {"graph", "batch"}) {
    Built built("ignn_graphs", {{"hidden", std::int64_t{5}}, {"axis", std::string(axis)}}, graph_data);
    const Tensor output = built.model->forward(batch).back();
    built.model->loss(output, batch).backward();
    results.push_back({output});
    for (const Tensor& p : built.model->parameters())
      if (p.grad().defined()) results.back().push_back(p.grad());
  }

  ASSERT_EQ(results[1].size(), results[0].size());
  for (std::size_t i = 0; i < results[0].size(); ++i) EXPECT_LT((results[1][i] - results[0][i]).abs().max().item<double>(), 1e-11) << i;  // 100 × the tolerance
}

TEST(IgnnGraphs, Z30TheNormOfTheUnusedWeightGoesOn) {
  const std::shared_ptr<Norm> norm = test::make<Norm>(Kind::norm, "spectral_norm", {{"settle", false}, {"target", 0.5}});
  Built built("ignn_graphs", {{"hidden", std::int64_t{5}}}, graph_data, "fixed_point", norm);
  const Tensor u = built.model->named_buffers()["ig2.Omega_2_u"];
  { const torch::NoGradGuard no_grad; u.fill_(1 / std::sqrt(5.0)); }
  const Tensor w = built.model->named_parameters()["ig2.Omega_2_orig"].detach(), v = w.t().mv(u);

  built.model->forward(three_graphs(graph_labels()));

  EXPECT_LT((u - w.mv(v) / w.mv(v).norm()).abs().max().item<double>(), 1e-12);
}

TEST(IgnnGraphs, GraphsStopOneByOneAndAreReportedSo) {
  Built built("ignn_graphs", {{"hidden", std::int64_t{5}}, {"layers", std::int64_t{1}}}, graph_data);

  built.model->forward(three_graphs(graph_labels()));

  ASSERT_EQ(built.solves.size(), 1u);
  EXPECT_EQ(built.solves[0].equilibrium.fixed_point[0].sizes(), (at::IntArrayRef{3, 8, 5}));
}

TEST(IgnnNodes, EvaluationMovesNoParameterAndTrainingProjectsIt) {
  const Drawn g(10);
  const Batch batch{{{"features", randn({10, 4}, 2)}, {"adjacency_indices", g.indices}, {"adjacency_values", g.values}, {"labels", torch::arange(10).remainder(3)}}, {}};
  Built built("ignn", {{"hidden", std::int64_t{6}}, {"kappa", 0.5}}, {{{"features", 4}, {"classes", 3}}});
  const Tensor w = *built.model->named_parameters().find("ig1.W");
  const Tensor before = w.detach().clone();

  built.model->eval();
  built.model->forward(batch);
  const bool kept = w.equal(before);
  built.model->train();
  built.model->forward(batch);

  EXPECT_TRUE(kept);
  const double bound = 0.5 / (zstar_ignn::spectral_radius(g.indices, g.values, 10) + 1e-5);
  EXPECT_NEAR(w.abs().sum(1).max().item<double>(), bound, 1e-12);
}

/// Features 0, 1 and 2 feed one another in this order: feature 2 is zero in the first iterates, and then no longer.
TEST(IgnnNodes, Z19AFeatureThatBeginsAsZeroIsNotTakenForSolved) {
  const torch::NoGradGuard no_grad;
  const Tensor chain = torch::stack({torch::arange(5), torch::arange(1, 6)}), self = torch::arange(6);
  const Tensor indices = torch::cat({chain, torch::stack({self, self})}, 1);
  const Batch batch{{{"features", torch::ones({6, 1}, torch::kFloat64)}, {"adjacency_indices", indices}, {"adjacency_values", torch::full({11}, 0.5, torch::kFloat64)},
                     {"labels", torch::arange(6).remainder(2)}}, {}};
  for (const char* axis : {"graph", "batch", "feature"}) {
    Built built("ignn", {{"hidden", std::int64_t{3}}, {"axis", std::string(axis)}}, {{{"features", 1}, {"classes", 2}}});
    built.model->eval();
    const auto parameters = built.model->named_parameters();
    parameters["ig1.W"].copy_(torch::tensor({{0.1, 0.0, 0.0}, {0.5, 0.1, 0.0}, {0.0, 0.5, 0.1}}, torch::kFloat64));
    parameters["ig1.Omega_1"].copy_(torch::tensor({{1.0}, {0.0}, {0.0}}, torch::kFloat64)), parameters["ig1.Omega_2"].zero_();

    built.model->forward(batch);

    const Solved& s = built.solves.at(0);
    const double worst = (s.map(s.equilibrium.fixed_point)[0] - s.equilibrium.fixed_point[0]).abs().max().item<double>();
    if (std::string(axis) == "feature") EXPECT_GT(worst, 0.01) << "as published: the state of one feature is kept from the first evaluation";
    else EXPECT_LT(worst, 1e-11) << axis;
  }
}

/// Ω₂ belongs to node classification alone, though checkpoints of graph classification hold one, and a bias that nothing uses.
TEST(IgnnNodes, Z20Z21TheSecondTermIsThatOfNodesAndTheBiasIsUsedNowhere) {
  const Drawn g(10);
  const Batch nodes{{{"features", randn({10, 4}, 2)}, {"adjacency_indices", g.indices}, {"adjacency_values", g.values}, {"labels", torch::arange(10).remainder(2)}}, {}};
  for (const char* name : {"ignn", "ignn_graphs"}) {
    const bool second = std::string(name) == "ignn";
    const Batch batch = second ? nodes : three_graphs(graph_labels());
    Built built(name, {{"hidden", std::int64_t{5}}}, graph_data);
    built.model->loss(built.model->forward(batch).back(), batch).backward();
    EXPECT_EQ(built.model->named_parameters()["ig1.Omega_2"].grad().defined(), second) << name;
    EXPECT_TRUE(built.model->named_parameters()["ig1.Omega_1"].grad().defined()) << name;
    EXPECT_FALSE(built.model->named_parameters()["ig1.bias"].grad().defined()) << name;
  }
}

/// Of a chain of ten nodes the first has a feature. Nodes that are further away than there were evaluations are at zero still, converged or not.
TEST(IgnnNodes, Z39EvaluationsCarryInformationOverAsManyEdges) {
  const torch::NoGradGuard no_grad;
  Tensor features = torch::zeros({10, 1}, torch::kFloat64);
  features[0][0] = 1.0;
  const Batch batch{{{"features", features}, {"adjacency_indices", torch::stack({torch::arange(9), torch::arange(1, 10)})}, {"adjacency_values", torch::ones({9}, torch::kFloat64)},
                     {"labels", torch::arange(10).remainder(2)}}, {}};
  std::int64_t before = 0;
  for (const std::int64_t evaluations : {3, 6, 20}) {
    Built built("ignn", {{"hidden", std::int64_t{2}}, {"radius", 1.0}}, {{{"features", 1}, {"classes", 2}}}, "fixed_point", nullptr, evaluations);
    built.model->eval();
    const auto parameters = built.model->named_parameters();
    parameters["ig1.W"].fill_(0.3), parameters["ig1.Omega_1"].fill_(1.0), parameters["ig1.Omega_2"].fill_(1.0);

    built.model->forward(batch);

    const std::int64_t reached = built.solves.at(0).equilibrium.fixed_point[0].flatten(0, -2).gt(0).any(1).sum().item<std::int64_t>();
    EXPECT_LE(reached, evaluations + 1);
    EXPECT_GT(reached, before);
    if (evaluations == 20) { EXPECT_EQ(reached, 10) << "the whole chain"; }
    before = reached;
  }
}

TEST(IgnnNodes, Z23AnAdjacencyEditedInPlaceIsAnotherAdjacency) {
  const Drawn g(10);
  const Batch batch{{{"features", randn({10, 4}, 2)}, {"adjacency_indices", g.indices}, {"adjacency_values", g.values.clone()}, {"labels", torch::arange(10).remainder(3)}}, {}};
  Built built("ignn", {{"hidden", std::int64_t{6}}}, {{{"features", 4}, {"classes", 3}}});
  built.model->eval();
  const Batch copy{{batch.tensors[0], batch.tensors[1], {"adjacency_values", g.values.clone()}, batch.tensors[3]}, {}};
  const Tensor first = built.model->forward(copy).back();

  Tensor(copy.at("adjacency_values")).mul_(0.3);

  EXPECT_GT((built.model->forward(copy).back() - first).abs().max().item<double>(), 1e-6);
}

TEST(IgnnNodes, CountsClassesOfNodesWithSeveralLabels) {
  Built built("ignn", {}, {{{"features", 4}, {"classes", 3}}});
  const Batch batch{{{"labels", torch::tensor({{1.0, 0.0, 1.0}, {0.0, 1.0, 0.0}}, torch::kFloat64)}}, {}};
  const Tensor scores = torch::tensor({{2.0, 1.0, -1.0}, {-3.0, -1.0, -2.0}}, torch::kFloat64);

  const auto positive = built.model->summarise(built.model->measure(scores, batch));

  EXPECT_NEAR(positive[0].value, 2.0 / 5, 1e-15);  // one right, one wrong, two missed
  EXPECT_NEAR(positive[1].value, 1.0 / 3, 1e-15);
  Built as_many("ignn", {{"as_many", true}}, {{{"features", 4}, {"classes", 3}}});
  EXPECT_NEAR(as_many.model->summarise(as_many.model->measure(scores, batch))[0].value, 2.0 * 2 / (2 * 2 + 1 + 1), 1e-15);  // classes 0, 1 | 1
}

TEST(IgnnNodes, SaysWhichNodeTheAdjacencyNamesWithoutHavingIt) {
  Built built("ignn", {}, {{{"features", 4}, {"classes", 3}}});
  const Batch batch{{{"features", randn({3, 4}, 2)}, {"adjacency_indices", torch::tensor({{0}, {7}}, torch::kInt64)}, {"adjacency_values", torch::ones({1}, torch::kFloat64)},
                     {"labels", torch::zeros({3}, torch::kInt64)}}, {}};
  EXPECT_THROW(built.model->forward(batch), std::exception);
}

}  // namespace
