/// \file Failures that fixed-point engines have shown, one test each: the layer and its options. Others stand beside the gradient methods.
#include <filesystem>

#include <gtest/gtest.h>

#include <torch/csrc/autograd/autograd.h>

#include "core/runs/checkpoint.hpp"
#include "core/training/solver_choice.hpp"
#include "tests/support/held_to.hpp"
#include "tests/support/parts.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/testing/parts.hpp"

namespace {

using namespace zstar;
using namespace zstar::test;

const solve::Options tight{.tolerance = 1e-12, .max_evaluations = 400};

TEST(EngineLayer, E21TheConvergedStateIsTheLastOutputInBothModes) {
  const FixedPointMap f([](const State& z) { return State(0.9 * z[0] + 1); });
  const State z0(torch::zeros({1, 1}, torch::kFloat64));
  auto deq = layer("phantom", {.tolerance = 1e-10, .max_evaluations = 400}, tight, "fixed_point", "fixed_point", {}, {.sample_at = {3}});

  const auto training = deq.solve(f, z0).states, evaluation = deq.solve(f, z0, {.training = false}).states;

  ASSERT_EQ(training.size(), 2u);
  EXPECT_NEAR(training[0][0].item<double>(), 3.439, 1e-12);  // z_3 = 2.71 and one step of the phantom gradient
  EXPECT_NEAR(training[1][0].item<double>(), 10, 1e-7);      // ‖z − z⋆‖ ≤ 10 · 1e-10 · ‖z⋆‖
  EXPECT_NEAR(evaluation.back()[0].item<double>(), 10, 1e-7);
}

TEST(EngineLayer, E16DampedStepsOfEveryGradientMethodWorkInLowPrecision) {
  AffineMap f = zstar::testing::contraction(3, 6, 0.5);
  f.b.requires_grad_();
  const Tensor v = randn({3, 6}, 5);
  int tried = 0;
  for (const std::string& name : catalogue().names(Kind::gradient)) {
    bool damped = false;
    for (const OptSpec& o : catalogue().options(Kind::gradient, name)) damped = damped || o.name == "beta";
    if (!damped) continue;
    ++tried;
    const auto slope = [&](const FixedPointMap& map, torch::ScalarType dtype) {
      auto deq = layer(name, tight, tight, "anderson", "anderson", {{"beta", 0.7}});
      const auto e = deq.solve(map, State(f.zeros().detach().to(dtype)));
      EXPECT_EQ(e.z()[0].scalar_type(), dtype) << name;
      return torch::autograd::grad({(v.to(dtype) * e.z()[0]).to(torch::kFloat32).sum()}, {f.b})[0];
    };
    const Tensor want = slope(f.map(), torch::kFloat64);
    for (const auto& [dtype, epsilon] : {std::pair(torch::kFloat16, 9.8e-4), std::pair(torch::kBFloat16, 7.8e-3)})
      EXPECT_LT(relative_error(slope(zstar::testing::rounded(f, dtype), dtype), want), 8 * epsilon) << name << ' ' << dtype;
  }
  EXPECT_GE(tried, 5);  // neumann, phantom, reversible, truncated, unrolled
}

TEST(EngineLayer, E19SegmentsHaveReportsOfTheirOwnAndE22KeepTheRemainder) {
  const FixedPointMap f([](const State& z) { return State(0.99 * z[0] + 1); });
  auto deq = layer("phantom", {.tolerance = 0, .max_evaluations = 40, .stall_window = 0}, tight, "fixed_point", "fixed_point", {}, {.states = 3, .form = "sliced"});
  const auto e = deq.solve(f, State(torch::zeros({1, 1}, torch::kFloat64)));
  ASSERT_EQ(e.forward.size(), 3u);
  std::vector<std::int64_t> calls;
  for (const Report& r : e.forward) calls.push_back(r.calls);
  EXPECT_EQ(calls, (std::vector<std::int64_t>{14, 13, 13}));  // 40 in all
  EXPECT_EQ(e.gradient_evaluations, 3);
}

TEST(EngineLayer, E22TheListsOfStatesAndOfGradientsMayNotDisagree) {
  const auto made = [](const std::string& gradient) { return zstar::testing::make_layer("name = 'fixed_point'", gradient, "name = 'fixed_point'"); };
  for (const char* impossible : {"name = 'phantom'\nsteps = [3]\nat = [7]", "name = 'phantom'\nsteps = []"})
    EXPECT_ANY_THROW(made(impossible)) << impossible;
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  const auto states = [&z0](std::int64_t sampled, std::vector<std::int64_t> steps) {
    auto deq = layer("phantom", tight, tight, "fixed_point", "fixed_point", {{"steps", std::move(steps)}}, {.states = sampled});
    return deq.solve(TanhMap(3, 6, 0.5).map(), z0).states.size();
  };
  for (const auto& [sampled, steps] : std::vector<std::pair<std::int64_t, std::vector<std::int64_t>>>{{1, {1, 2}}, {3, {1, 2}}, {2, {1, 2, 3}}})
    EXPECT_THROW(states(sampled, steps), OptionError) << sampled;
  EXPECT_EQ(states(3, {1, 2, 3}), 3u);
  const auto twice = made("name = 'phantom'\nsteps = [5]\nat = [2, 5]");
  EXPECT_EQ(twice->solve(TanhMap(3, 6, 0.5).map(), State(torch::zeros({3, 6}, torch::kFloat64))).states.size(), 2u);  // the last step once
}

TEST(EngineLayer, E23EverySolverSolvesTheAdjointToo) {
  const TanhMap f(3, 6, 0.5);
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64), v = randn({3, 6}, 5), want = unrolled_gradients(f.map(), z0, v, {f.w}, 200)[0];
  int tried = 0;
  for (const std::string& name : solvers_held_to()) {
    ++tried;
    auto deq = layer("implicit", tight, {.tolerance = 1e-8, .max_evaluations = 200}, "anderson", name);
    const Tensor got = torch::autograd::grad({(v * deq.solve(f.map(), State(z0)).z()[0]).sum()}, {f.w})[0];
    EXPECT_LT(relative_error(got, want), 1e-6) << name;  // 1e-8 and a condition of at most 4
  }
  EXPECT_GT(tried, 20);  // those made of others included
}

TEST(EngineLayer, E30TheScaleOfTheLossIsNothingToAnySolver) {
  const TanhMap f(3, 6, 0.5);
  const Tensor z0 = torch::zeros({3, 6}, torch::kFloat64), v = randn({3, 6}, 5), want = unrolled_gradients(f.map(), z0, v, {f.w}, 200)[0];
  for (const std::string& name : solvers_held_to()) {
    auto deq = layer("implicit", tight, {.tolerance = 1e-6, .max_evaluations = 200}, "anderson", name);
    const auto error_at = [&](double scale) {
      return relative_error(torch::autograd::grad({(v * deq.solve(f.map(), State(z0)).z()[0]).sum() * scale}, {f.w})[0] / scale, want);
    };
    const double error = error_at(1);
    EXPECT_LT(error, 1e-4) << name;
    for (const double scale : {1e-3, 1e-6, 1e-9, 1e-12}) EXPECT_NEAR(error_at(scale), error, 0.1 * error + 1e-12) << name << ' ' << scale;
  }
}

TEST(EngineLayer, E24TheBudgetAndToleranceOfOneCallMayBeOthers) {
  const FixedPointMap f([](const State& z) { return State(0.9 * z[0] + 1); });
  const State z0(torch::zeros({1, 1}, torch::kFloat64));
  auto deq = layer("implicit", {.tolerance = 1e-3, .max_evaluations = 200}, tight, "fixed_point");

  EXPECT_EQ(deq.solve(f, z0, {.max_evaluations = 5}).forward.back().calls, 5);
  const auto coarse = deq.solve(f, z0).forward.back(), fine = deq.solve(f, z0, {.tolerance = 1e-6}).forward.back();
  EXPECT_EQ(fine.tolerance, 1e-6);
  EXPECT_GT(fine.calls, coarse.calls);
  EXPECT_EQ(deq.solve(f, z0).forward.back().calls, coarse.calls);  // nothing stays
}

/// A value that a row of an option table allows and that is not its default; nothing: there is none to be had without knowing the option.
std::optional<OptValue> another(const OptSpec& o) {
  const auto is_default = [&](auto v) {
    const auto* def = std::get_if<decltype(v)>(&o.def);
    return def && *def == v;
  };
  if (!o.choices.empty()) return OptValue(*std::find_if(o.choices.begin(), o.choices.end(), [&](const std::string& c) { return !is_default(c); }));
  const auto allowed = [&](double v) { return v >= o.low && v <= o.high && !(o.open_low && v == o.low) && !(o.open_high && v == o.high); };
  if (o.type == OptType::boolean) return OptValue(!std::get<bool>(o.def));
  if (o.type == OptType::integer)
    for (const std::int64_t n : {3, 2, 1, 0})
      if (allowed(static_cast<double>(n)) && !is_default(n)) return OptValue(n);
  if (o.type == OptType::real)
    for (const double v : {0.5, 0.25, 2.0, 1e-4})
      if (allowed(v) && !is_default(v)) return OptValue(v);
  return std::nullopt;
}

gradient::Layer settable(const std::string& forward, const std::string& adjoint) {
  const solve::Options o{.tolerance = 1e-6, .max_evaluations = 100};
  return gradient::Layer({training::solver_choice(catalogue(), host(), forward, {}, o), training::solver_choice(catalogue(), host(), adjoint, {}, o),
                          make<GradientMethod>(Kind::gradient, "implicit"), make<GradientMethod>(Kind::gradient, "phantom"), {}});
}

TEST(EngineLayer, E24EveryOptionOfBothSolversMayBeAnotherInOneCall) {
  const TanhMap f(3, 6, 0.5);
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  int tried = 0;
  for (const char* name : {"fixed_point", "anderson", "broyden"}) {
    auto deq = settable(name, name);
    auto* layer = query<SettableLayer>(deq);
    ASSERT_NE(layer, nullptr);
    std::vector<OptSpec> table = describe(solve::Options::options());
    for (const OptSpec& o : catalogue().options(Kind::solver, name)) table.push_back(o);
    for (const OptSpec& o : table)
      if (const auto value = another(o)) {
        const Settings change{{o.name, *value}};
        try {
          const auto e = layer->solve(f.map(), z0, {}, {change, change});
          torch::autograd::grad({e.z()[0].sum()}, {f.w});
          ++tried;
        } catch (const OptionError& error) {
          ADD_FAILURE() << name << ' ' << o.name << ": " << error.what();
        }
      }
  }
  EXPECT_GT(tried, 50);
}

TEST(EngineLayer, E24SettingsOfOneCallActAndDoNotStay) {
  const TanhMap f;
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  auto deq = settable("fixed_point", "fixed_point");
  auto* layer = query<SettableLayer>(deq);
  const auto calls = [&](const Equilibrium& e) {
    torch::autograd::grad({e.z()[0].sum()}, {f.w});
    return std::pair(e.forward[0].calls, e.backward->front().calls);
  };
  const auto own = calls(deq.solve(f.map(), z0));
  EXPECT_LT(calls(layer->solve(f.map(), z0, {}, {{{"tolerance", 1e-2}}, {}})).first, own.first);
  EXPECT_EQ(calls(layer->solve(f.map(), z0, {}, {{{"tolerance", 1e-2}}, {}})).second > 5, true);  // the adjoint's stays
  EXPECT_EQ(calls(layer->solve(f.map(), z0, {}, {{}, {{"max_evaluations", std::int64_t{4}}}})), std::pair(own.first, std::int64_t{4}));
  EXPECT_GT(calls(layer->solve(f.map(), z0, {}, {{{"beta", 0.5}}, {}})).first, own.first);
  EXPECT_EQ(layer->solve(f.map(), z0, {.max_evaluations = 3}, {{{"stop", std::string("absolute")}}, {}}).forward[0].calls, 3);
  EXPECT_EQ(calls(deq.solve(f.map(), z0)), own);
}

TEST(EngineLayer, E24SettingsOfOneCallAreNotTakenOnTrust) {
  const TanhMap f;
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  auto deq = settable("anderson", "fixed_point");
  const auto refusal = [&](const Setting& change) {
    try {
      query<SettableLayer>(deq)->solve(f.map(), z0, {}, {{change}, {}});
    } catch (const OptionError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(refusal({"memroy", std::int64_t{3}}).find("did you mean: 'memory'"), std::string::npos);
  EXPECT_NE(refusal({"memory", std::int64_t{0}}).find("out of range"), std::string::npos);
  EXPECT_NE(refusal({"memory", std::string("many")}).find("another type"), std::string::npos);
  EXPECT_NE(refusal({"stop", std::string("foo")}).find("none of the choices"), std::string::npos);
  EXPECT_EQ(refusal({"memory", std::int64_t{3}}), "");
}

TEST(EngineLayer, E17SamplesOfOneNumberThatMayInteractAreWarnedOf) {
  const Tensor m = matrix_of_norm(4, 0.5, 3), v = randn({4}, 4);
  const FixedPointMap whole([&](const State& z) { return State(m.mv(z[0]) + v); });
  const FixedPointMap apart([&](const State& z, const std::vector<Tensor>& t) { return State(0.5 * z[0] + t[0]); }, {{v, 0}}, /*samples_independent=*/true);
  std::vector<std::string> said;
  gradient::LayerParts parts{choice("anderson", tight), choice("fixed_point", tight), make<GradientMethod>(Kind::gradient, "implicit"), make<GradientMethod>(Kind::gradient, "phantom"), {}};
  parts.warn = [&said](const std::string& sentence) { said.push_back(sentence); };
  gradient::Layer deq(std::move(parts));
  const Tensor z0 = torch::zeros({4}, torch::kFloat64);

  deq.solve(apart, State(z0), {.gradient = false});
  deq.solve(whole, State::one_sample({z0}), {.gradient = false});
  deq.solve(whole, State(torch::zeros({1}, torch::kFloat64)), {.gradient = false, .max_evaluations = 0});
  EXPECT_TRUE(said.empty());
  deq.solve(whole, State(z0), {.gradient = false});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("[1, 4]"), std::string::npos);
}

/// The gradients of the sum of all tensors of the equilibrium.
std::vector<Tensor> slopes(const Equilibrium& e, const std::vector<Tensor>& tensors) {
  Tensor loss = torch::zeros({}, torch::kFloat64);
  for (const Tensor& t : e.z()) loss = loss + t.sum();
  return torch::autograd::grad({loss}, tensors);
}

bool leaves_an_estimate(const std::string& solver) { return query<InverseJacobian>(*make_solver(solver)) != nullptr; }

TEST(EngineLayer, E25EverySolverStateModeAndGradientGoTogether) {
  const zstar::testing::TwoStates pair{zstar::testing::contraction(2, 4, 0.5)};
  pair.p.b.requires_grad_();
  const TanhMap single(2, 4, 0.5);
  const State one(torch::zeros({2, 4}, torch::kFloat64)), two = pair.zeros();
  for (const std::string& gradient : catalogue().names(Kind::gradient)) {
    auto reference = layer(gradient, tight, tight, "broyden", "anderson");  // whatever the method approximates, it does so with any solver
    const Tensor want_one = slopes(reference.solve(single.map(), one), {single.w})[0], want_two = slopes(reference.solve(pair.map(), two), {pair.p.b})[0];
    for (const std::string& solver : solvers_held_to()) {
      const std::string where = solver + ' ' + gradient;
      auto deq = layer(gradient, {.tolerance = 1e-8, .max_evaluations = 200}, tight, solver, "anderson");
      for (const bool training : {true, false}) {
        const auto e = deq.solve(single.map(), one, {.training = training}), p = deq.solve(pair.map(), two, {.training = training});
        EXPECT_EQ(e.z().size(), 1u) << where;
        ASSERT_EQ(p.z().size(), 2u) << where;
        EXPECT_EQ(p.z()[1].sizes().vec(), (std::vector<std::int64_t>{2, 2})) << where;
        EXPECT_EQ(e.z()[0].requires_grad(), training) << where;
        if (!training) continue;
        if (gradient == "shine" && !leaves_an_estimate(solver)) {
          EXPECT_THROW(slopes(e, {single.w}), std::exception) << where;
          continue;
        }
        // SHINE's refinement ends at 1e-6 of its own, from the estimate of this solver
        EXPECT_LT(relative_error(slopes(e, {single.w})[0], want_one), gradient == "shine" ? 1e-3 : 1e-5) << where;
        EXPECT_LT(relative_error(slopes(p, {pair.p.b})[0], want_two), gradient == "shine" ? 1e-3 : 1e-5) << where;
      }
    }
  }
}

TEST(EngineLayer, E26OptionsAreNotTakenOnTrust) {
  const auto refusal = [](Kind kind, const std::string& name, const std::string& options) {
    try {
      zstar::testing::make_object(kind, name, options, ZSTAR_PLUGIN_DIR);
    } catch (const std::exception& refused) {
      return std::string(refused.what());
    }
    return std::string();
  };
  struct Case {
    Kind kind;
    const char *name, *options, *said;
  };
  for (const Case& c : {Case{Kind::solver, "anderson", "memroy = 3", "memory"}, Case{Kind::solver, "anderson", "memory = 0", "memory"},
                        Case{Kind::solver, "anderson", "memory = 'many'", "memory"}, Case{Kind::solver, "anderson", "memory = 3", ""},
                        Case{Kind::solver, "andersen", "", "anderson"}, Case{Kind::gradient, "phantom", "stesp = [3]", "steps"},
                        Case{Kind::gradient, "phantom", "beta = 2.5", "beta"}, Case{Kind::gradient, "phantom", "steps = 'many'", "steps"},
                        Case{Kind::gradient, "phantom", "beta = 0.5", ""}, Case{Kind::gradient, "implicit", "jacobian_at = 'start'", "image"},
                        Case{Kind::gradient, "impicit", "", "implicit"}}) {
    const std::string text = refusal(c.kind, c.name, c.options), wanted = c.said;
    if (wanted.empty()) EXPECT_EQ(text, "") << c.name << ' ' << c.options;
    else EXPECT_NE(text.find(wanted), std::string::npos) << c.name << ' ' << c.options << ": " << text;
  }
}

TEST(EngineLayer, E26WhatIsPassedInIsLeftAsItIs) {
  const Settings solver{{"memory", std::int64_t{3}}}, gradient{{"beta", 0.5}};
  const auto unchanged = [&] {
    return solver.size() == 1 && std::get<std::int64_t>(solver[0].value) == 3 && gradient.size() == 1 && std::get<double>(gradient[0].value) == 0.5;
  };
  const solve::Options forward{.tolerance = 1e-4, .max_evaluations = 30};
  const TanhMap f;
  const Tensor z0 = randn({3, 6}, 3), start = z0.clone(), weight = f.w.detach().clone();
  gradient::Layer deq({choice("anderson", forward, solver), choice("anderson", forward, solver), make<GradientMethod>(Kind::gradient, "phantom", gradient),
                       make<GradientMethod>(Kind::gradient, "phantom"), {.states = 3}});
  const SolveOptions call{.max_evaluations = 9};
  const auto e = deq.solve(f.map(), State(z0), call);
  torch::autograd::grad({e.z()[0].sum()}, {f.w});
  EXPECT_TRUE(unchanged());
  EXPECT_EQ(forward.max_evaluations, 30);
  EXPECT_EQ(deq.parts().forward.options.max_evaluations, 30);  // that of one call stays with it
  EXPECT_TRUE(z0.equal(start) && f.w.equal(weight) && !z0.requires_grad());
}

TEST(EngineLayer, E28TheStartIsTheCallersAndTheResultHasNoSideEffects) {
  const TanhMap f;
  auto deq = layer("implicit", tight, tight);
  const Tensor z0 = randn({3, 6}, 3), before = z0.clone();
  for (const std::int64_t budget : {0, 1, 40}) {
    const auto e = deq.solve(f.map(), State(z0), {.training = false, .max_evaluations = budget});
    EXPECT_FALSE(e.z()[0].requires_grad());
    EXPECT_FALSE(e.z()[0].is_alias_of(z0)) << budget;
    EXPECT_TRUE(z0.equal(before) && !z0.requires_grad());
  }
}

TEST(EngineLayer, E29ALayerMadeAgainFromItsOptionsGivesTheSameBits) {
  const TanhMap f;
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  const auto made = [&] {
    return zstar::testing::make_layer("name = 'anderson'\nmemory = 3\ntolerance = 1e-7", "name = 'implicit'", "name = 'broyden'\ntolerance = 1e-7");
  };
  const auto slope = [&](EquilibriumLayer& deq) { return torch::autograd::grad({deq.solve(f.map(), z0).z()[0].square().sum()}, {f.w})[0]; };
  const auto first = made(), second = made();
  EXPECT_TRUE(first->solve(f.map(), z0).z()[0].equal(second->solve(f.map(), z0).z()[0]));
  EXPECT_TRUE(slope(*first).equal(slope(*second)));
}

/// A layer that begins where it ended before.
gradient::Layer remembering() {
  return gradient::Layer({choice("anderson", {.tolerance = 1e-7, .max_evaluations = 60}, {{"memory", std::int64_t{3}}}), choice("broyden", {.tolerance = 1e-7, .max_evaluations = 60}),
                          make<GradientMethod>(Kind::gradient, "implicit"), make<GradientMethod>(Kind::gradient, "phantom"), {}, {.store = "sample", .probe_every = 0}});
}

TEST(EngineLayer, E29ATrainedLayerIsSavedAndReloadedToTheBit) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "zstar_e29";
  std::filesystem::create_directories(folder);
  const State z0(torch::zeros({3, 6}, torch::kFloat64));
  const SolveOptions ids{.sample_ids = {4, 5, 6}};
  const auto trained = TanhMap(3, 6, 0.8, 7), other = TanhMap(3, 6, 0.8, 90);
  auto deq = remembering();
  deq.solve(trained.map(), z0, ids);  // fills the store
  runs::Checkpoint saved;
  deq.starts().save(saved.tensors);
  for (std::size_t i = 0; i < 4; ++i) saved.tensors["model/" + std::to_string(i)] = trained.captured()[i].detach();
  runs::save(saved, folder / "layer.zst");

  const auto continued = [&](gradient::Layer& layer, const TanhMap& f) {
    const Equilibrium e = layer.solve(f.map(), z0, ids);
    return std::tuple(e.z()[0].detach(), torch::autograd::grad({e.z()[0].square().sum()}, {f.w})[0], e.forward[0].calls);
  };
  const auto want = continued(deq, trained);
  const runs::Checkpoint found = runs::load(folder / "layer.zst");
  auto again = remembering(), cold = remembering();
  again.starts().load(found.tensors);
  for (std::size_t i = 0; i < 4; ++i) {
    const torch::NoGradGuard no_grad;
    other.captured()[i].copy_(found.tensors.at("model/" + std::to_string(i)));
  }
  const auto got = continued(again, other), unloaded = continued(cold, other);
  EXPECT_TRUE(std::get<0>(got).equal(std::get<0>(want)));
  EXPECT_TRUE(std::get<1>(got).equal(std::get<1>(want)));
  EXPECT_EQ(std::get<2>(got), std::get<2>(want));
  EXPECT_GT(std::get<2>(unloaded), std::get<2>(want));  // what was saved matters
  std::filesystem::remove_all(folder);
}

TEST(EngineLayer, E36TheJacobianPenaltyTakesItsProbesOrAGenerator) {
  const TanhMap f(1, 6);
  Equilibrium e;
  e.states = {State(randn({1, 6}, 20))};
  const auto with = [&](const Settings& settings, std::uint64_t seed) {
    return make<Regularizer>(Kind::regularizer, "jacobian", settings)->penalty({f.map(), e}, at::detail::createCPUGenerator(seed)).item<double>();
  };
  EXPECT_EQ(with({}, 1), with({}, 1));
  EXPECT_NE(with({}, 1), with({}, 2));
  const Tensor slope = 1 - f(e.z()[0]).square();
  const double exact = (slope.t() * f.w).square().sum().item<double>() / 6;
  // 4000 probes of random signs: the standard deviation of one is below the value itself
  EXPECT_NEAR(with({{"probes", std::int64_t{4000}}, {"distribution", std::string("rademacher")}}, 3), exact, 5 * exact / std::sqrt(4000.0));
  EXPECT_ANY_THROW(zstar::testing::make_object(Kind::regularizer, "jacobian", "probes = 0", ZSTAR_PLUGIN_DIR));
}

}  // namespace
