#include <gtest/gtest.h>

#include "tests/support/model_host.hpp"

namespace {

using namespace zstar;
using torch::Tensor;

struct Built {
  std::shared_ptr<gradient::Layer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
  std::vector<Solved> solves;

  explicit Built(const std::string& solver) {
    torch::manual_seed(1);
    const solve::Options options{.tolerance = 1e-12, .max_evaluations = 400, .stall_window = 0};
    layer.reset(new gradient::Layer(test::layer("implicit", options, options, solver, "anderson")));
    layer->record_into(&solves);
    host = std::make_unique<test::ModelHost>(layer, nullptr, Description{{{"channels", 1}, {"height", 3}, {"width", 4}, {"classes", 3}}});
    model = test::catalogue().create<Model>(Kind::model, "mondeq", {{"width", std::int64_t{9}}, {"rank", std::int64_t{4}}}, *host);
    model->to(torch::kFloat64);
    const torch::NoGradGuard no_grad;
    Tensor(*model->named_parameters().find("mon.core.A")).mul_(1.5);  // W far from zero
  }
};

Batch images() { return {{{"images", test::randn({5, 1, 3, 4}, 2)}, {"labels", torch::arange(5).remainder(3)}}, {}}; }

TEST(MonDeq, MinusWIsMonotoneWhateverTheParametersAre) {
  Built built("peaceman_rachford");
  built.model->forward(images());
  const Tensor w = built.solves.at(0).map.captured()[0], symmetric = (w + w.t()) / 2;
  const double m = std::log(2.0) + 1e-4;  // softplus(0) + 1e-4

  EXPECT_LT(torch::linalg_eigvalsh(symmetric).max().item<double>(), 1 - m + 1e-12);
}

TEST(MonDeq, PeacemanRachfordAndAndersonFindTheSameEquilibriumAndGradients) {
  std::vector<std::vector<Tensor>> results;
  for (const char* solver : {"peaceman_rachford", "anderson"}) {
    Built built(solver);
    const Tensor output = built.model->forward(images()).back();
    for (const Reason reason : built.solves.at(0).equilibrium.forward.at(0).reasons) EXPECT_EQ(reason, Reason::converged) << solver;
    built.model->loss(output, images()).backward();
    results.push_back({output.detach()});
    for (const Tensor& p : built.model->parameters()) results.back().push_back(p.grad());
  }

  for (std::size_t i = 0; i < results[0].size(); ++i) EXPECT_LT((results[0][i] - results[1][i]).abs().max().item<double>(), 1e-9) << i;  // 10³ × the tolerance
}

}  // namespace
