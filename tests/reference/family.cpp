#include <torch/nn/functional/conv.h>

#include "tests/reference/case.hpp"

namespace zstar::reference {
namespace {

Tensor times(const Tensor& z, const Tensor& w) { return torch::matmul(z, w.t()); }
Tensor conv(const Tensor& z, const Tensor& k, const Tensor& bias = {}) { return torch::conv2d(z, k, bias, /*stride=*/1, /*padding=*/1); }

using Leaves = std::map<std::string, Tensor>;
using Body = std::vector<Tensor> (*)(const State&, const Leaves&);

const std::map<std::string, Body>& bodies() {
  static const Body affine = [](const State& z, const Leaves& p) -> std::vector<Tensor> { return {times(z[0], p.at("A")) + p.at("b")}; };
  static const std::map<std::string, Body> table{
      {"linear", affine}, {"expansive", affine}, {"rotation", affine}, {"stiff", affine},
      {"tanh", [](const State& z, const Leaves& p) -> std::vector<Tensor> { return {torch::tanh(times(z[0], p.at("W")) + times(p.at("x"), p.at("U")) + p.at("c"))}; }},
      {"conv_tanh", [](const State& z, const Leaves& p) -> std::vector<Tensor> { return {torch::tanh(conv(z[0], p.at("K"), p.at("c")) + p.at("x"))}; }},
      {"cosine", [](const State& z, const Leaves& p) -> std::vector<Tensor> { return {p.at("a") * torch::cos(z[0] + p.at("x"))}; }},
      {"arctan", [](const State& z, const Leaves& p) -> std::vector<Tensor> { return {z[0] - p.at("s") * torch::atan(z[0] - p.at("x"))}; }},
      {"two_state", [](const State& z, const Leaves& p) -> std::vector<Tensor> {
         return {torch::tanh(times(z[0], p.at("Waa")) + times(z[1], p.at("Wab")) + times(p.at("x"), p.at("Ua"))),
                 torch::tanh(times(z[0], p.at("Wba")) + times(z[1], p.at("Wbb")) + p.at("cb"))};
       }},
      {"two_state_image", [](const State& z, const Leaves& p) -> std::vector<Tensor> {
         return {torch::tanh(conv(z[0], p.at("K")) + times(z[1], p.at("P")).unsqueeze(2).unsqueeze(3) + p.at("x")),
                 torch::tanh(times(z[1], p.at("W")) + times(z[0].mean({2, 3}), p.at("Q")))};
       }}};
  return table;
}

}  // namespace

Family make_family(const Case& c) {
  const auto body = bodies().find(c.family);
  if (body == bodies().end()) throw std::runtime_error("no such family of functions here: '" + c.family + "'");
  Family family;
  for (const char* name : {"A", "W", "U", "c", "K", "a", "s", "Waa", "Wab", "Wba", "Wbb", "Ua", "cb", "P", "Q"})
    if (c.has(std::string("param/") + name)) family.leaves[name] = c.leaf(std::string("param/") + name);
  for (const char* name : {"x", "b"})
    if (c.has(std::string("input/") + name)) family.leaves[name] = c.leaf(std::string("input/") + name);
  if (c.family.compare(0, 9, "two_state") == 0) family.states = {".a", ".b"};
  else family.states = {""};
  family.f = FixedPointMap([f = body->second, leaves = family.leaves](const State& z) { return State(f(z, leaves), z.axes()); });
  return family;
}

State state_of(const Case& c, const Family& family, const std::string& prefix) {
  std::vector<Tensor> tensors;
  for (const auto& suffix : family.states) tensors.push_back(c.at(prefix + suffix));
  return {std::move(tensors)};
}

Tensor flat(const State& z) {
  std::vector<Tensor> rows;
  for (const Tensor& t : z) rows.push_back(t.detach().reshape({t.size(0), -1}));
  return torch::cat(rows, 1);
}

FixedPointMap Recorder::wrap(const FixedPointMap& f) {
  return FixedPointMap([this, f](const State& z) {
    State y = f(z);
    if (on) in.push_back(flat(z)), out.push_back(flat(y));
    return y;
  });
}

gradient::SolverChoice compatible_solver(const std::string& name, const nlohmann::json& extras, const solve::Options& options) {
  static const std::map<std::string, std::string> names{{"fixed_point_iter", "torchdeq_fixed_point"}, {"simple_fixed_point_iter", "torchdeq_simple"},
                                                        {"anderson", "torchdeq_anderson"}, {"broyden", "torchdeq_broyden"}};
  const std::string ours = names.at(name);
  Settings settings;
  const auto take = [&](const char* theirs, const char* here, auto type) {
    if (extras.contains(theirs) && !extras[theirs].is_null()) settings.push_back({here, extras[theirs].get<decltype(type)>()});
  };
  if (name != "broyden") take("tau", "tau", 0.0);
  if (name != "simple_fixed_point_iter") take("return_final", "return_final", false);
  if (name == "anderson") take("m", "m", std::int64_t{}), take("lam", "lam", 0.0);
  if (name == "broyden") take("LBFGS_thres", "memory", std::int64_t{}), take("ls", "line_search", false);
  return test::choice(ours, options, settings);
}

}  // namespace zstar::reference
