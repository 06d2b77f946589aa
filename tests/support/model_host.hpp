#pragma once
/// \file What a model may ask for, handed over one by one: for tests that build models.

#include "tests/support/parts.hpp"
#include "zstar/abi/model.hpp"

namespace zstar::test {

class ModelHost final : public Host {
 public:
  ModelHost(std::shared_ptr<EquilibriumLayer> layer, std::shared_ptr<Norm> norm, Description data)
      : layer_(std::move(layer)), norm_(std::move(norm)), data_(std::move(data)) {}
  Products& products() override { return solve::local_products(); }
  std::unique_ptr<Solver> solver(const Part& p) override { return catalogue().create<Solver>(Kind::solver, p.name, p.settings, *this); }
  std::shared_ptr<EquilibriumLayer> layer() override { return layer_; }
  std::shared_ptr<Norm> norm() override { return norm_; }
  const Description& data() override { return data_; }
  void warn(std::string_view message) override { warnings.emplace_back(message); }

  std::vector<std::string> warnings;

 private:
  std::shared_ptr<EquilibriumLayer> layer_;
  std::shared_ptr<Norm> norm_;
  Description data_;
};

}  // namespace zstar::test
