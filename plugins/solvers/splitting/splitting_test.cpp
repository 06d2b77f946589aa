#include <gtest/gtest.h>

#include "tests/support/parts.hpp"
#include "zstar/guard.hpp"
#include "zstar/splitting.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

/// z = relu(W z + c), W = (1 − m) I − AᵀA + S − Sᵀ: one fixed point, on which plain iteration diverges if A and S are large.
struct Monotone {
  Monotone(std::int64_t batch, std::int64_t width, double m, double size) {
    const Tensor a = matrix_of_norm(width, size, 41), s = matrix_of_norm(width, size, 42), eye = torch::eye(width, torch::kFloat64);
    w = (1 - m) * eye - a.t().mm(a) + s - s.t();
    c = randn({batch, width}, 43);
  }
  FixedPointMap map() const {
    return {[](const State& z, const std::vector<Tensor>& t) { return State(torch::relu(z[0].mm(t[0].t()) + t[1])); }, {{w, std::nullopt}, {c, 0}}, true};
  }
  Splitting halves() const {
    return {[*this](const State& z) { return State(z[0].mm(w.t()) + c); },
            [*this](const State& v, double alpha) {
              const Tensor eye = torch::eye(w.size(0), w.options());
              return State(torch::linalg_solve(eye + alpha * (eye - w), (v[0] + alpha * c).t()).t());
            },
            [](const State& v, double) { return State(torch::relu(v[0])); }};
  }
  Tensor w, c;
};

solve::Outcome run(const std::string& name, const Monotone& m, const Splitting* halves, double alpha) {
  const auto solver = make_solver(name, {{"alpha", alpha}});
  return solve::solve(*solver, name, m.map(), State(torch::zeros_like(m.c)), {.tolerance = 1e-10, .max_evaluations = 2000, .stall_window = 0}, {}, halves);
}

TEST(Splitting, SolvesMonotoneMapsOnWhichPlainIterationDiverges) {
  const Monotone m(3, 12, 1.0, 1.2);
  const Splitting halves = m.halves();
  const auto picard = make_solver("fixed_point");
  const auto plain = solve::solve(*picard, "fixed_point", m.map(), State(torch::zeros_like(m.c)), {.tolerance = 1e-10, .max_evaluations = 2000});
  EXPECT_NE(plain.report.reasons[0], Reason::converged);
  for (const auto& [name, alpha] : {std::pair<std::string, double>{"forward_backward", 0.1}, {"peaceman_rachford", 0.5}}) {
    const auto out = run(name, m, &halves, alpha);
    for (const Reason reason : out.report.reasons) EXPECT_EQ(reason, Reason::converged) << name;
    const Tensor image = torch::relu(out.z[0].mm(m.w.t()) + m.c);
    EXPECT_LT((image - out.z[0]).abs().max().item<double>(), 1e-9) << name;
    EXPECT_LT(out.report.calls, name == "peaceman_rachford" ? 60 : 2000);  // rate near (√κ − 1)/(√κ + 1), κ = L/m < 5
  }
}

TEST(Splitting, PeacemanRachfordRefusesAMapWithoutHalves) {
  const Monotone m(1, 4, 1.0, 0.5);
  EXPECT_THROW(run("peaceman_rachford", m, nullptr, 1.0), zstar::PartError);
  EXPECT_NO_THROW(run("forward_backward", m, nullptr, 0.5));
}

TEST(Splitting, TheLayerTakesTheHalvesOfAMap) {
  const Monotone m(2, 8, 1.0, 1.0);
  const solve::Options o{.tolerance = 1e-10, .max_evaluations = 300};
  gradient::Layer by_halves = layer("phantom", o, o, "peaceman_rachford");
  auto* splitting = query<SplittingLayer>(by_halves);
  ASSERT_NE(splitting, nullptr);
  const Equilibrium e = splitting->solve(m.map(), m.halves(), State(torch::zeros_like(m.c)), {.training = false});
  EXPECT_EQ(e.forward.at(0).reasons[1], Reason::converged);
}

}  // namespace
