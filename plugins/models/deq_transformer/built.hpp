#pragma once
/// \file A small model with its layer, for its tests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/model_host.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/carried.hpp"
#include "zstar/predict.hpp"

namespace {

using namespace zstar;
using torch::Tensor;
using Integers = std::vector<std::int64_t>;

constexpr std::int64_t vocabulary = 20;

/// A model in double precision with its layer, and what the layer solved.
struct Built {
  std::shared_ptr<gradient::Layer> layer;
  std::unique_ptr<test::ModelHost> host;
  std::shared_ptr<Model> model;
  std::vector<Solved> solves;

  Built(const std::string& name, const Settings& more = {}, bool norm = true, std::int64_t evaluations = 6,
        const std::string& solver = "fixed_point") {
    const solve::Options options{.tolerance = 1e-12, .max_evaluations = evaluations, .stall_window = 0};
    layer.reset(new gradient::Layer(test::layer("phantom", options, options, solver)));
    layer->record_into(&solves);
    host = std::make_unique<test::ModelHost>(layer, norm ? std::shared_ptr<Norm>(test::make<Norm>(Kind::norm, "weight_norm")) : nullptr,
                                             Description{{{"tokens", vocabulary}}});
    Settings s{{"width", std::int64_t{8}}, {"heads", std::int64_t{2}}, {"inner", std::int64_t{10}}, {"memory", std::int64_t{4}}, {"initial_std", 0.3}};
    for (const auto& m : more) {
      std::erase_if(s, [&](const Setting& earlier) { return earlier.name == m.name; });
      s.push_back(m);
    }
    torch::manual_seed(3);
    model = test::catalogue().create<Model>(Kind::model, name, s, *host);
    model->to(torch::kFloat64);
  }

  std::map<std::string, Integers> shapes() const {
    std::map<std::string, Integers> all;
    for (const auto& p : model->named_parameters()) all[p.key()] = p.value().sizes().vec();
    for (const auto& b : model->named_buffers()) all[b.key()] = b.value().sizes().vec();
    return all;
  }
  Tensor parameter(const std::string& name) const { return model->named_parameters()[name]; }
  Tensor probabilities(const Tensor& tokens) { return zstar::query<Predicts>(*model)->predict({{{"tokens", tokens}}, {}}); }
};

Tensor text(std::int64_t rows, std::int64_t length, std::int64_t seed = 1) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  return torch::randint(vocabulary, {rows, length}, torch::kInt64);
}
Batch batch(const Tensor& t, std::int64_t first_stream = 0) {
  const std::int64_t n = t.size(1) - 1;
  return {{{"tokens", t.narrow(1, 0, n)}, {"targets", t.narrow(1, 1, n)}, {"streams", torch::arange(first_stream, first_stream + t.size(0))}}, {}};
}
const Settings adaptive{{"cutoffs", Integers{7, 12, 17}}, {"divisor", std::int64_t{2}}, {"embedding", std::int64_t{16}}};

/// Makes the map of deq_seq a contraction: little of z in the attention, much of the injection.
void calm(Built& b) {
  b.parameter("func.dec_attn.qkv_net.weight").mul_(0.1);
  b.parameter("func.pos_ff.ff1_net.weight").mul_(0.3);
  b.parameter("func.dec_attn.o_net.weight").mul_(4);
}

/// The probabilities of every token at every position, from the losses of every target there.
Tensor from_losses(Built& b, const Tensor& tokens) {
  std::vector<Tensor> columns;
  for (std::int64_t v = 0; v < vocabulary; ++v) {
    b.model->begin_pass(Phase::evaluation);
    columns.push_back((-b.model->forward({{{"tokens", tokens}, {"targets", torch::full_like(tokens, v)}}, {}}).back()).exp());
  }
  return torch::stack(columns, 2);
}

}  // namespace
