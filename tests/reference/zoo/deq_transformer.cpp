/// \file DEQ Transformers: deq_lm, a fixed number of evaluations; deq_seq, solved to a fixed point.
#include "tests/reference/zoo/zoo.hpp"
#include "zstar/abi/regularizer.hpp"
#include "zstar/carried.hpp"

namespace zstar::reference::zoo {
namespace {

/// Sequences are [B, length, features] here; deq_seq's cases have [B, features, length].
class DeqLm : public Family {
 public:
  std::string model() const override { return "deq_lm"; }
  Settings options(const Case& c) const override {
    const auto& m = c.settings.at("model");
    const auto number = [&](const char* name) { return m.at(name).get<std::int64_t>(); };
    if (number("n_head") * number("d_head") != number("d_model")) throw std::runtime_error("all heads together are not as wide as the state");
    std::vector<std::int64_t> tied;
    const auto clusters = m.at("cutoffs").size() + 1;
    for (std::size_t i = 0; i < m.at("tie_projs").size() && i < clusters; ++i)
      if (m["tie_projs"][i]) tied.push_back(static_cast<std::int64_t>(i));
    Settings s{{"width", number("d_model")}, {"heads", number("n_head")}, {"inner", number("d_inner")}, {"embedding", number("d_embed")},
               {"cutoffs", m.at("cutoffs").get<std::vector<std::int64_t>>()}, {"divisor", number("div_val")}, {"tied", m.at("tie_weights").get<bool>()},
               {"tied_projections", tied}, {"projections", std::string("one_storage")}, {"memory", number("mem_len")},
               {"window", m.at("local_size").get<std::int64_t>() > 0 ? m["local_size"].get<std::int64_t>() : 1000},
               {"dropout", m.at("dropout").get<double>()}, {"attention_dropout", m.at("dropatt").get<double>()}};
    s.push_back(own(c));
    return s;
  }
  Description data(const Case& c) const override { return {{{"tokens", c.settings.at("model").at("n_token").get<std::int64_t>()}}}; }
  std::int64_t segments(const Case& c) const override { return c.at("input/data").size(0); }
  std::string pass_prefix(const Case&, std::int64_t pass) const override { return "seg" + std::to_string(pass) + "."; }
  Batch batch(const Case& c, std::int64_t segment) const override {
    Batch b{{{"tokens", c.at("input/data")[segment].to(torch::kInt64)}, {"targets", c.at("input/target")[segment].to(torch::kInt64)}}, {}};
    for (const std::string& name : c.names("input/mask.")) b.tensors.emplace_back(name.substr(6), mask(name, c.at(name)));
    return b;
  }
  std::vector<std::pair<std::string, Tensor>> states(const State& z) const override { return {{"", turned(z[0])}}; }
  State state(const std::vector<Tensor>& tensors, const State&) const override { return {turned(tensors[0])}; }

  /// The loss of a position is the sum over the states; positions cluster by cluster, as the case has them.
  void compare_outputs(Case& c, const std::vector<Tensor>& outputs, const std::string& prefix) const override {
    const Tensor target = c.at("input/target")[std::stoll(prefix.substr(3))].to(torch::kInt64).reshape({-1});
    const auto cutoffs = c.settings.at("model").at("cutoffs").get<std::vector<std::int64_t>>();
    Tensor sum = torch::zeros_like(outputs[0]), cluster = torch::zeros_like(target);
    for (std::size_t k = 0; k < outputs.size(); ++k) sum = sum + std::pow(c.get("gamma", 0.8), static_cast<double>(outputs.size() - 1 - k)) * outputs[k];
    for (const std::int64_t cutoff : cutoffs) cluster = cluster + (target >= cutoff).to(torch::kInt64);
    const Tensor order = (cluster * target.numel() + torch::arange(target.numel())).argsort();
    c.compare("output/" + prefix + "nll_as_returned", sum.reshape({-1}).index_select(0, order).reshape(sum.sizes()));
    c.compare("output/" + prefix + "nll_last_state_in_order", outputs.back());
  }

  Tensor total(Case& c, const Tensor& loss, const std::vector<Solved>& solves, const std::string& prefix) const override {
    const auto weight = c.get("jac_loss_weight", 0.0);
    if (weight == 0) return loss;
    const auto part = test::make<Regularizer>(Kind::regularizer, "jacobian", {{"through_solution", true}});
    const Tensor penalty = zstar::query<Probed>(*part)->penalty(solves.back(), {State(turned(c.at("input/jac_v")))});
    const Tensor sum = loss + weight * penalty;
    c.compare("output/" + prefix + "jac_loss", penalty);
    c.compare("output/" + prefix + "total", sum);
    return sum;
  }

  /// Full rate at the first step, then up to step `warmup_step`, then the course of a cosine that began with the first step.
  double rate(const nlohmann::json& t, std::int64_t step) const override {
    const double lr = t.at("lr"), warm = t.value("warmup_step", 0.0), last = t.at("max_step"), at = static_cast<double>(step);
    if (step == 0) return lr;
    return at < warm ? lr * at / warm : lr / 2 * (1 + std::cos(M_PI * at / last));
  }

  void compare_more(Case& c, Model& model, const std::vector<Solved>& solves, const std::string& prefix) const override {
    for (const auto& [name, tensor] : zstar::query<Carries>(model)->carried()) c.compare("output/" + prefix + name.substr(0, 1) + "_hist", turned(tensor));
    const torch::NoGradGuard no_grad;
    compare_final(c, solves.back(), prefix);
    if (prefix != pass_prefix(c, segments(c) - 1) || !c.has("output/cell_probe")) return;
    const Tensor& like = c.at("output/cell_probe");
    const Tensor z = torch::sin(0.7 * torch::arange(like.numel(), like.options())).reshape(like.sizes());
    c.compare("output/cell_probe", turned(solves.back().map(State(turned(z)))[0]));
  }

 protected:
  virtual Setting own(const Case& c) const { return {"blocks", c.settings.at("model").at("n_layer").get<std::int64_t>()}; }
  virtual Tensor turned(const Tensor& x) const { return x; }
  virtual Tensor mask(const std::string& /*name*/, const Tensor& m) const { return m; }

  /// The residual of one more evaluation at the last state, said to be of the last step with gradient.
  virtual void compare_final(Case& c, const Solved& solved, const std::string& prefix) const {
    const Tensor z = solved.equilibrium.z()[0].flatten(1), f = solved.map(solved.equilibrium.z())[0].flatten(1);
    const Tensor absolute = (f - z).norm(2, {1}), relative = absolute / (f.norm(2, {1}) + 1e-8);
    const auto steps = c.settings.at("grad").is_array() ? c.settings["grad"].back().get<std::int64_t>() : c.settings["grad"].get<std::int64_t>();
    for (const auto& [kind, value] : {std::pair("abs", absolute), std::pair("rel", relative)}) {
      c.compare("output/" + prefix + "final." + kind + "_lowest", value);
      c.compare("output/" + prefix + "final." + kind + "_trace", value.unsqueeze(1));
    }
    c.compare("output/" + prefix + "final.nstep", torch::full({z.size(0)}, static_cast<double>(steps)));
  }
};

class DeqSeq final : public DeqLm {
 public:
  std::string model() const override { return "deq_seq"; }

 protected:
  Setting own(const Case& c) const override { return {"pre_norm", c.settings.at("model").at("pre_lnorm").get<bool>()}; }
  Tensor turned(const Tensor& x) const override { return x.transpose(1, 2).contiguous(); }
  Tensor mask(const std::string& name, const Tensor& m) const override {
    const auto ends = [&](const std::string& end) { return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0; };
    const bool features_last = m.dim() == 4 || ends(".drop1") || ends(".drop2") || ends("iodrop.0");
    return features_last ? m : turned(m);
  }
  void compare_final(Case& c, const Solved& solved, const std::string& prefix) const override {
    for (const auto& [key, tensor] : solved.equilibrium.forward.back().statistics) c.compare("output/" + prefix + "final." + key, tensor);
  }
};

ZSTAR_ZOO_FAMILY(DeqLm, "deq_lm")
ZSTAR_ZOO_FAMILY(DeqSeq, "deq_seq")

}  // namespace
}  // namespace zstar::reference::zoo
