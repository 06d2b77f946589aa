/// \file The library zstar::testing: parts by name and solves, for tests of plugins in and out of the tree.
#include "zstar/testing/parts.hpp"

#include <cstdlib>
#include <map>
#include <sstream>

#include "core/experiment/experiment.hpp"
#include "core/gradient/layer.hpp"
#include "core/plugins/catalogue.hpp"
#include "core/solve/solve.hpp"

namespace zstar::testing {
namespace {

class BareHost final : public Host {
 public:
  explicit BareHost(const std::string& folders) : catalogue(discovery(folders)) {}

  Products& products() override { return solve::local_products(); }
  std::unique_ptr<Solver> solver(const Part& p) override { return catalogue.create<Solver>(Kind::solver, p.name, p.settings, *this); }
  std::shared_ptr<EquilibriumLayer> layer() override { throw std::logic_error("a part made by a test has no layer"); }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return description_; }
  void warn(std::string_view) override {}

  plugins::Catalogue catalogue;

 private:
  static plugins::Discovery discovery(const std::string& folders) {
    plugins::Discovery d;
    d.user_folders = false;
    const char* first = std::getenv("ZSTAR_TEST_PLUGINS");
    std::istringstream in(std::string(first ? first : "") + ':' + folders);
    for (std::string folder; std::getline(in, folder, ':');)
      if (!folder.empty()) d.folders.emplace_back(folder);
    return d;
  }
  Description description_;
};

/// A bare host with a layer and a description of data; lives as long as the model that was made with it.
class ModelHost final : public Host {
 public:
  ModelHost(BareHost& bare, std::shared_ptr<EquilibriumLayer> layer, Description data) : bare_(bare), layer_(std::move(layer)), data_(std::move(data)) {}

  Products& products() override { return bare_.products(); }
  std::unique_ptr<Solver> solver(const Part& p) override { return bare_.solver(p); }
  std::shared_ptr<EquilibriumLayer> layer() override { return layer_; }
  std::shared_ptr<Norm> norm() override { return nullptr; }
  const Description& data() override { return data_; }
  void warn(std::string_view sentence) override { bare_.warn(sentence); }

 private:
  BareHost& bare_;
  std::shared_ptr<EquilibriumLayer> layer_;
  Description data_;
};

BareHost& host_of(const std::string& folders) {
  static std::map<std::string, std::unique_ptr<BareHost>> hosts;  // one catalogue a set of folders, for the life of the test
  auto& host = hosts[folders];
  if (!host) host = std::make_unique<BareHost>(folders);
  return *host;
}

class Tables final : public experiment::PartTables {
 public:
  explicit Tables(plugins::Catalogue& catalogue) : catalogue_(catalogue) {}
  std::vector<std::string> names(Kind kind) const override { return catalogue_.names(kind); }
  std::vector<OptSpec> options(Kind kind, std::string_view name) const override { return catalogue_.options(kind, name); }

 private:
  plugins::Catalogue& catalogue_;
};

/// A checked table of a test, by the rules of experiments. \param framework  keys of the framework in it
experiment::Section read(BareHost& host, Kind kind, const std::string& toml, std::vector<OptSpec> framework) {
  experiment::SectionSpec spec{"part", "a part of a test", kind};
  spec.required = true;
  spec.framework = std::move(framework);
  return experiment::Experiment::parse("[part]\n" + toml + "\n", "test", {}, {spec}, Tables(host.catalogue)).at("part");
}

solve::Options framework_options(const std::string& toml) {
  if (toml.empty()) return {};
  experiment::SectionSpec spec{"solver", "of a test"};
  spec.framework = describe(solve::Options::options());
  BareHost none("");
  return experiment::Experiment::parse("[solver]\n" + toml + "\n", "test", {}, {spec}, Tables(none.catalogue)).at("solver").as<solve::Options>();
}

gradient::SolverChoice choice(BareHost& host, const std::string& toml) {
  const auto section = read(host, Kind::solver, toml, describe(solve::Options::options()));
  return {section.part, [&host, section] { return host.solver({section.part, section.options}); }, section.as<solve::Options>()};
}

}  // namespace

std::unique_ptr<Object> make_object(Kind kind, const std::string& name, const std::string& toml, const std::string& folders) {
  BareHost& host = host_of(folders);
  const auto section = read(host, kind, "name = '" + name + "'\n" + toml, {});
  return host.catalogue.create<Object>(kind, section.part, section.options, host);
}

Solution drive(Solver& solver, const FixedPointMap& f, const Tensor& z0, std::int64_t iterations) {
  const solve::Options unstopped{.tolerance = 0, .max_evaluations = iterations + 1, .select = "last", .stall_window = 0, .divergence = 1e300, .floor = false};
  auto out = solve::solve(solver, "driven by a test", f, State(z0), unstopped, {iterations});
  return {out.samples.front()[0], std::move(out.report)};
}

Solution solve(Solver& solver, const FixedPointMap& f, const Tensor& z0, const std::string& options) {
  auto out = solve::solve(solver, "solver of a test", f, State(z0), framework_options(options));
  return {out.z[0], std::move(out.report)};
}

std::shared_ptr<EquilibriumLayer> make_layer_of(const std::string& forward, const std::string& gradient, const std::string& adjoint,
                                                const std::string& folders) {
  BareHost& host = host_of(folders);
  const auto section = read(host, Kind::gradient, gradient, describe(gradient::Options::options()));
  const auto method = [&] { return host.catalogue.create<GradientMethod>(Kind::gradient, section.part, section.options, host); };
  return std::make_shared<gradient::Layer>(gradient::LayerParts{choice(host, forward), choice(host, adjoint), method(), method(), section.as<gradient::Options>()});
}

std::shared_ptr<Model> make_model_of(const std::string& name, const std::string& toml, std::shared_ptr<EquilibriumLayer> layer, Description data,
                                     const std::string& folders) {
  BareHost& bare = host_of(folders);
  const auto section = read(bare, Kind::model, "name = '" + name + "'\n" + toml, {});
  const auto host = std::make_shared<ModelHost>(bare, std::move(layer), std::move(data));
  std::shared_ptr<Model> model = bare.catalogue.create<Model>(Kind::model, section.part, section.options, *host);
  return {model.get(), [host, model](Model*) mutable { model.reset(); }};  // the host outlives the model
}

Host& bare_host(const std::string& folders) { return host_of(folders); }

}  // namespace zstar::testing
