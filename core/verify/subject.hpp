#pragma once
/// \file Subjects: a part under test, made as often as a check wants it, and a host that hands out parts of known behaviour.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/gradient/layer.hpp"
#include "core/plugins/catalogue.hpp"
#include "core/verify/check.hpp"
#include "zstar/abi/host.hpp"
#include "zstar/claims.hpp"

namespace zstar::verify {

/// Name under which the host answers with its own solver, for parts made of other solvers.
inline constexpr const char* secant_name = "verify.secant";

/// Picard iteration.
std::unique_ptr<Solver> plain_solver();
/// Good Broyden with a dense estimate that it exports: right for every small smooth map. States of a few hundred numbers.
std::unique_ptr<Solver> secant_solver();

/// A layer that solves tightly and differentiates through one evaluation.
std::shared_ptr<gradient::Layer> plain_layer();

/// A layer whose forward and adjoint solves are exact to rounding.
/// \param method, intermediate  of the last state, of the states before it
std::shared_ptr<gradient::Layer> exact_layer(std::shared_ptr<GradientMethod> method, std::shared_ptr<GradientMethod> intermediate,
                                             const gradient::Options& options = {}, const solve::Options& adjoint = {.tolerance = 1e-12, .max_evaluations = 200});

/// Services of the parts under test.
class TestHost final : public Host {
 public:
  explicit TestHost(plugins::Catalogue& catalogue) : catalogue_(catalogue) {}
  Products& products() override;
  std::unique_ptr<Solver> solver(const Part& part) override;
  std::shared_ptr<EquilibriumLayer> layer() override;
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override;
  void warn(std::string_view) override {}

  void set(std::shared_ptr<EquilibriumLayer> layer) { layer_ = std::move(layer); }
  void set(const Description& data) { data_ = data; }

 private:
  plugins::Catalogue& catalogue_;
  std::shared_ptr<EquilibriumLayer> layer_;
  std::optional<Description> data_;
};

/// A part under test.
class Subject {
 public:
  Subject(plugins::Catalogue& catalogue, TestHost& host, const plugins::PartEntry& part, std::uint64_t seed);

  const std::string& name() const { return part_.name; }
  Kind kind() const { return part_.kind; }
  std::uint64_t seed() const { return seed_; }
  plugins::Catalogue& catalogue() const { return catalogue_; }
  TestHost& host() const { return host_; }
  const std::vector<OptSpec>& options() const { return catalogue_.options(part_.kind, full_name_); }
  /// The name that no other file's part has: "id:name".
  const std::string& full_name() const { return full_name_; }

  /// A fresh one with the defaults but for `settings`. Inner solvers that are not set are the host's own.
  template <class T>
  std::unique_ptr<T> make(const Settings& settings = {}) const {
    return catalogue_.create<T>(part_.kind, full_name_, completed(settings), host_);
  }
  Settings completed(Settings settings) const;
  /// Makes one with the defaults and throws it away.
  void construct(Scope&) const { make<Object>(); }

  /// What the part says of itself, by query; a default-made C if it says nothing.
  template <class C>
  C claims() const {
    const auto object = make<Object>();
    const C* said = query<C>(*object);
    return said ? *said : C{};
  }

 private:
  plugins::Catalogue& catalogue_;
  TestHost& host_;
  plugins::PartEntry part_;
  std::string full_name_;
  std::uint64_t seed_;
};

}  // namespace zstar::verify
