#pragma once
/// \file Parts by name and whole solves, for tests of plugins. Links zstar::testing, which brings the framework's own loop.
///
///     const auto solver = make_solver("anderson", "memory = 1\nbeta = 0.5");
///     const Tensor z1 = drive(*solver, contraction(2, 4, 0.9), z0, /*iterations=*/1).z;
///
/// Plugins are looked for in the folders of ZSTAR_TEST_PLUGINS (environment, separated by ':'), then in those that
/// zstar_add_plugin and zstar_add_test compile into the test.

#include <cstdint>
#include <memory>
#include <string>

#include "zstar/abi/gradient.hpp"
#include "zstar/abi/host.hpp"
#include "zstar/abi/model.hpp"
#include "zstar/abi/report.hpp"
#include "zstar/abi/solver.hpp"

#ifndef ZSTAR_PLUGIN_DIR
#define ZSTAR_PLUGIN_DIR ""
#endif
#define ZSTAR_TESTING_API __attribute__((visibility("default")))

namespace zstar::testing {

/// A part of the plugins in `folders`. \param toml  its options, as they stand in an experiment; empty: the defaults
/// \throws std::exception  with the message that an experiment would get: unknown part, wrong option, refused file
ZSTAR_TESTING_API std::unique_ptr<Object> make_object(Kind kind, const std::string& name, const std::string& toml, const std::string& folders);

template <class T>
std::unique_ptr<T> make(Kind kind, const std::string& name, const std::string& toml = {}) {
  return std::unique_ptr<T>(static_cast<T*>(make_object(kind, name, toml, ZSTAR_PLUGIN_DIR).release()));
}
inline std::unique_ptr<Solver> make_solver(const std::string& name, const std::string& toml = {}) {
  return make<Solver>(Kind::solver, name, toml);
}

/// The outcome of a solve: a state of one tensor, its report.
struct Solution {
  Tensor z;
  Report report;
};

/// The state after `iterations` evaluations of f, whatever its residual; no stopping. The report's last residual is that state's.
ZSTAR_TESTING_API Solution drive(Solver& solver, const FixedPointMap& f, const Tensor& z0, std::int64_t iterations);

/// Solves as an experiment does: relative residual, the best iterate returned. \param options  of the framework, as in `[solver]`,
/// for example "tolerance = 1e-9\nmax_evaluations = 200"
ZSTAR_TESTING_API Solution solve(Solver& solver, const FixedPointMap& f, const Tensor& z0, const std::string& options = {});

/// A layer of these solvers and this gradient method. \param forward, adjoint, gradient  tables with a `name`, as in an experiment:
/// "name = 'anderson'\ntolerance = 1e-12"
ZSTAR_TESTING_API std::shared_ptr<EquilibriumLayer> make_layer_of(const std::string& forward, const std::string& gradient,
                                                                   const std::string& adjoint, const std::string& folders);
inline std::shared_ptr<EquilibriumLayer> make_layer(const std::string& forward, const std::string& gradient, const std::string& adjoint) {
  return make_layer_of(forward, gradient, adjoint, ZSTAR_PLUGIN_DIR);
}

/// A model as an experiment makes it, without a norm. \param data  what its data set says of itself
ZSTAR_TESTING_API std::shared_ptr<Model> make_model_of(const std::string& name, const std::string& toml, std::shared_ptr<EquilibriumLayer> layer,
                                                       Description data, const std::string& folders);
inline std::shared_ptr<Model> make_model(const std::string& name, const std::string& toml, std::shared_ptr<EquilibriumLayer> layer, Description data) {
  return make_model_of(name, toml, std::move(layer), std::move(data), ZSTAR_PLUGIN_DIR);
}

/// A host for parts that are made by hand: products, solvers by name; neither layer, norm nor data.
ZSTAR_TESTING_API Host& bare_host(const std::string& folders = ZSTAR_PLUGIN_DIR);

}  // namespace zstar::testing
