/// \file DEQ Transformer, a language model with a memory. Equations, names and sources: README.md.
#include <map>

#include <zstar/carried.hpp>
#include <zstar/nn/pretraining.hpp>
#include <zstar/predict.hpp>

#include "cell.hpp"
#include "words.hpp"

namespace {

using namespace zstar_deq_transformer;
using zstar::Batch;
using zstar::State;

struct TransformerOptions {
  std::int64_t width = 256, heads = 8, inner = 1024, blocks = 1, divisor = 1, memory = 64, window = 0, pretrain_steps = 0, pretrain_evaluations = 2;
  std::optional<std::int64_t> embedding, eval_memory;
  std::optional<std::vector<std::int64_t>> tied_projections;
  std::vector<std::int64_t> cutoffs;
  bool tied = true, pre_norm = false;
  std::string projections = "one_parameter";
  double dropout = 0.0, attention_dropout = 0.0, initial_std = 0.01;

  static auto common() {
    using O = TransformerOptions;
    return std::tuple{
        zstar::opt("width", &O::width, "D, features of a position; even, and a multiple of heads", zstar::at_least(2)),
        zstar::opt("heads", &O::heads, "H, heads of the attention, each D/H wide", zstar::at_least(1)),
        zstar::opt("inner", &O::inner, "F, features inside of the feed-forward part", zstar::at_least(1)),
        zstar::opt("embedding", &O::embedding, "E, numbers of a token's vector in the first cluster; unset: D", zstar::at_least(1)),
        zstar::opt("cutoffs", &O::cutoffs, "first token of every cluster but the first; empty: one softmax over all tokens", zstar::at_least(1)),
        zstar::opt("divisor", &O::divisor, "cluster i has vectors of E / divisorⁱ numbers; 1: one table for all", zstar::at_least(1)),
        zstar::opt("tied", &O::tied, "the softmax reads the tables of the embedding"),
        zstar::opt("tied_projections", &O::tied_projections, "clusters whose softmax reads the projection of the embedding; unset: all but cluster 0",
                   zstar::at_least(0)),
        zstar::choice("projections", &O::projections,
                      "tied projections are one parameter, or (one_storage, as published) two whose gradients and steps are separate on the same numbers",
                      {"one_parameter", "one_storage"}),
        zstar::opt("memory", &O::memory, "positions of earlier segments that are seen", zstar::at_least(0)),
        zstar::opt("eval_memory", &O::eval_memory, "the same in evaluation; unset: as in training", zstar::at_least(0)),
        zstar::opt("window", &O::window, "a position sees so many, itself included; 0: all of memory and segment", zstar::at_least(0)),
        zstar::opt("dropout", &O::dropout, "variational: one mask for a whole solve", zstar::from_below(0.0, 1.0)),
        zstar::opt("attention_dropout", &O::attention_dropout, "of the attention's weights", zstar::from_below(0.0, 1.0)),
        zstar::opt("initial_std", &O::initial_std, "standard deviation of weights at first", zstar::at_least(0.0))};
  }
};

class Transformer : public zstar::Model, public zstar::Predicts, public zstar::Carries {
 public:
  Transformer(const TransformerOptions& o, bool published_lm, zstar::Host& host)
      : o_(o), published_lm_(published_lm), layer_(host.layer()), pretraining_(*this, o.pretrain_steps, o.pretrain_evaluations), host_(host) {
    const WordOptions words = word_options(o, host.data().at("tokens"));
    word_emb_ = register_module("word_emb", std::make_shared<Embedding>(words, o.initial_std));
    const auto positions = register_module("pos_emb", std::make_shared<Module>());
    inv_freq_ = positions->register_buffer("inv_freq", torch::pow(10000.0, torch::arange(0, o.width, 2) * (-1.0 / static_cast<double>(o.width))));
    CellOptions cell{.width = o.width, .heads = o.heads, .inner = o.inner, .blocks = o.blocks, .published_lm = published_lm, .pre_norm = o.pre_norm,
                     .numbered = published_lm, .initial_std = o.initial_std};
    injection_ = register_module(published_lm ? "injection" : "inject_conv", sequence_map(o.width, 3 * o.width, cell, /*bias=*/true));
    initialise(*injection_, cell);
    cell.norm = host.norm();
    cell_ = register_module("func", std::make_shared<Cell>(cell));
    softmax_ = register_module("crit", std::make_shared<AdaptiveSoftmax>(words, *word_emb_, o.initial_std));
  }

  void* query(std::string_view id) override {
    if (id == zstar::Predicts::id) return static_cast<zstar::Predicts*>(this);
    if (id == zstar::Carries::id) return static_cast<zstar::Carries*>(this);
    return nullptr;
  }

  void begin_pass(zstar::Phase phase) override { memories(phase == zstar::Phase::training).clear(); }

  std::vector<Tensor> forward(const Batch& batch) override {
    const Tensor& targets = batch.at("targets");
    std::vector<Tensor> losses;
    for (const Tensor& h : states(batch)) losses.push_back(softmax_->nll(h, targets));
    return losses;
  }

  Tensor loss(const Tensor& nll, const Batch&) override { return nll.mean(); }

  zstar::Sums measure(const Tensor& nll, const Batch&) override {
    return {{"nll", nll.sum().item<double>()}, {"tokens", static_cast<double>(nll.numel())}};
  }

  std::vector<zstar::Metric> summarise(const zstar::Sums& sums) const override {
    double total = 0, tokens = 0;
    for (const auto& [name, value] : sums) (name == "nll" ? total : tokens) = value;
    const double mean = tokens > 0 ? total / tokens : 0.0;
    return {{"nll", mean, false}, {"perplexity", std::exp(mean), false}, {"bits", mean / std::log(2.0), false}};
  }

  Tensor predict(const Batch& batch) override {
    return softmax_->log_probabilities(states(batch).back().select(1, -1)).exp();
  }

  std::vector<std::pair<std::string, Tensor>> carried() const override {
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const auto& [stream, memory] : is_training() ? training_ : evaluation_) {
      if (!memory.z.defined()) continue;
      tensors.emplace_back("z/" + std::to_string(stream), memory.z);
      tensors.emplace_back("u/" + std::to_string(stream), memory.u);
    }
    return tensors;
  }

  void carry(const std::vector<std::pair<std::string, Tensor>>& tensors) override {
    Memories& all = memories(is_training());
    all.clear();
    for (const auto& [name, tensor] : tensors) {
      const bool z = name.compare(0, 2, "z/") == 0, u = name.compare(0, 2, "u/") == 0;
      if ((!z && !u) || tensor.dim() != 3 || tensor.size(2) != (z ? 1 : 3) * o_.width)
        throw std::runtime_error("the memory '" + name + "' does not fit a model of width " + std::to_string(o_.width));
      (z ? all[std::stoll(name.substr(2))].z : all[std::stoll(name.substr(2))].u) = tensor.to(inv_freq_.options());
    }
  }

 private:
  /// z⋆ and injection of earlier segments, without graph.
  struct Memory {
    Tensor z, u;  ///< [B, M, D], [B, M, 3D]
  };
  using Memories = std::map<std::int64_t, Memory>;  ///< by the first of the streams that the batch goes on with

  static WordOptions word_options(const TransformerOptions& o, std::int64_t tokens);
  Memories& memories(bool training) { return training ? training_ : evaluation_; }

  /// The memory that this batch goes on with.
  Memory& memory_of(const Batch& batch) {
    const Tensor& tokens = batch.at("tokens");
    const std::int64_t stream = batch.has("streams") ? batch.at("streams")[0].item<std::int64_t>() : 0;
    Memory& memory = memories(is_training())[stream];
    if (memory.z.defined() && memory.z.size(0) != tokens.size(0))
      throw std::invalid_argument("the batch has " + std::to_string(tokens.size(0)) + " sequences, the memory that it goes on with " +
                                  std::to_string(memory.z.size(0)) + "; begin a new pass, or give the sequences other 'streams'");
    return memory;
  }

  void remember(Memory& memory, const Tensor& z, const Tensor& u) const {
    const std::int64_t most = is_training() ? o_.memory : o_.eval_memory.value_or(o_.memory);
    const auto last = [most](const Tensor& before, const Tensor& now) {
      if (most == 0) return Tensor();
      const Tensor all = before.defined() && now.size(1) < most ? torch::cat({before, now.detach()}, 1) : now.detach();
      const std::int64_t kept = std::min(most, all.size(1));
      return all.narrow(1, all.size(1) - kept, kept).clone();
    };
    memory = {last(memory.z, z), last(memory.u, u)};
  }

  /// Embeddings of the distances K−1, …, 0: all sines, then all cosines. [K, D]
  Tensor positions(std::int64_t keys) const {
    const Tensor angle = torch::outer(torch::arange(keys - 1, -1, -1, inv_freq_.options()), inv_freq_);
    return torch::cat({angle.sin(), angle.cos()}, 1);
  }

  /// 0 where query i may see key j: j ≤ i + M, and j > i + M − window. −∞ elsewhere. [L, K]
  Tensor blocked(std::int64_t queries, std::int64_t keys) const {
    const auto numbers = torch::TensorOptions(torch::kInt64).device(inv_freq_.device());
    const Tensor ahead = torch::arange(keys, numbers).unsqueeze(0) - torch::arange(keys - queries, keys, numbers).unsqueeze(1);
    const Tensor hidden = o_.window > 0 ? (ahead > 0).logical_or(ahead <= -o_.window) : ahead > 0;
    return torch::zeros({queries, keys}, inv_freq_.options()).masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }

  /// A mask of entries 0 and 1/(1−p); one that the batch holds under mask.NAME is taken instead of a drawn one.
  Tensor mask(const Batch& batch, const std::string& name, double p, const std::vector<std::int64_t>& sizes) const {
    if (batch.has("mask." + name)) return batch.at("mask." + name).expand(sizes);
    return torch::empty(sizes, inv_freq_.options()).bernoulli_(1 - p).div_(1 - p);
  }

  /// The returned states [B, L, D], after the output's dropout.
  std::vector<Tensor> states(const Batch& batch) {
    const Tensor& tokens = batch.at("tokens");
    const std::int64_t rows = tokens.size(0), length = tokens.size(1);
    Memory& memory = memory_of(batch);
    const std::int64_t keys = length + (memory.z.defined() ? memory.z.size(1) : 0);
    const bool drops = is_training() && o_.dropout > 0;
    Tensor e = word_emb_->forward(tokens);
    if (drops) e = e * mask(batch, "iodrop.0", o_.dropout, {rows, 1, o_.width});

    Frame frame{.u_history = memory.u, .z_history = memory.z, .positions = positions(keys), .blocked = blocked(length, keys), .training = is_training()};
    const Tensor& weight = injection_->weight();
    frame.u = torch::linear(e, weight.dim() == 3 ? weight.squeeze(2) : weight, injection_->bias());
    frame.mask = [&](const std::string& name, double p, const std::vector<std::int64_t>& sizes) { return mask(batch, name, p, sizes); };
    if (drops)  // features of all positions in form A, whole positions in form B
      frame.positions = frame.positions * (published_lm_ ? mask(batch, "pos_drop", o_.dropout, {1, 1, o_.width})[0] : mask(batch, "pos_drop", o_.dropout, {1, keys, 1})[0]);
    frame.dropout = drops ? o_.dropout : 0;
    frame.attention_dropout = is_training() ? o_.attention_dropout : 0;

    const auto found = solved(cell_->map(frame), State(torch::zeros({rows, length, o_.width}, e.options().requires_grad(false))), batch);
    remember(memory, found.back()[0], frame.u);
    std::vector<Tensor> outputs;
    for (const State& z : found)
      outputs.push_back(drops ? z[0] * mask(batch, "iodrop." + std::to_string(outputs.size() + 1), o_.dropout, {rows, length, 1}) : z[0]);
    return outputs;
  }

  /// The states that the loss sees: of a solve, or of the unrolled map for the first batches of training, which are counted.
  std::vector<State> solved(const zstar::FixedPointMap& f, const State& z, const Batch& batch) {
    if (auto last = pretraining_.unrolled(f, z, is_training())) return {std::move(*last)};
    const auto equilibrium = layer_->solve(f, z, {.training = is_training(), .sample_ids = batch.ids});
    if (published_lm_) advise(equilibrium);
    return equilibrium.states;
  }

  /// The map of form A has no attracting fixed point: what extrapolates its iterates leads nowhere.
  void advise(const zstar::Equilibrium& solved) {
    if (advised_ || solved.forward.empty() || solved.forward[0].calls == 0) return;
    advised_ = true;
    const std::string& method = solved.forward[0].method;
    if (method.find("fixed_point") == std::string::npos)
      host_.warn("deq_lm has no attracting fixed point, its number of evaluations is part of the model; solver '" + method +
                 "' extrapolates an unbounded sequence: prefer solver fixed_point with gradient phantom, or the model deq_seq");
  }

  const TransformerOptions o_;
  const bool published_lm_;
  std::shared_ptr<zstar::EquilibriumLayer> layer_;
  zstar::nn::Pretraining pretraining_;
  zstar::Host& host_;
  std::shared_ptr<Embedding> word_emb_;
  std::shared_ptr<zstar::nn::Normed> injection_;
  std::shared_ptr<Cell> cell_;
  std::shared_ptr<AdaptiveSoftmax> softmax_;
  Tensor inv_freq_;
  Memories training_, evaluation_;
  bool advised_ = false;
};

WordOptions Transformer::word_options(const TransformerOptions& o, std::int64_t tokens) {
  using zstar::OptionError;
  const auto text = [](std::int64_t n) { return std::to_string(n); };
  if (o.width % o.heads != 0)
    throw OptionError("heads", text(o.heads) + " heads do not divide the width " + text(o.width) + ", and all heads together are as wide as the state");
  if (o.width % 2 != 0) throw OptionError("width", "width " + text(o.width) + " is odd, but half of the features of a position are sines, half cosines");
  WordOptions w{.tokens = tokens, .width = o.width, .embedding = o.embedding.value_or(o.width), .cutoffs = o.cutoffs, .divisor = o.divisor, .tied = o.tied,
                .one_storage = o.projections == "one_storage"};
  for (std::size_t i = 0; i < w.cutoffs.size(); ++i) {
    if (w.end(i) <= w.begin(i)) throw OptionError("cutoffs", "cutoffs must rise: " + text(w.end(i)) + " follows " + text(w.begin(i)));
    if (w.end(i) >= tokens) throw OptionError("cutoffs", "cutoffs holds " + text(w.end(i)) + ", the vocabulary has " + text(tokens) + " tokens");
  }
  if (w.width_of(w.cutoffs.size()) < 1)
    throw OptionError("divisor", "vectors of the last of " + text(static_cast<std::int64_t>(w.clusters())) + " clusters would have no number: " +
                                     text(w.embedding) + " divided by " + text(o.divisor) + " each time; lower divisor or raise embedding");
  w.tied_projections.assign(w.clusters(), !o.tied_projections);
  if (!o.tied_projections) w.tied_projections[0] = false;
  else
    for (const std::int64_t i : *o.tied_projections) {
      if (i >= static_cast<std::int64_t>(w.clusters()))
        throw OptionError("tied_projections", "there is no cluster " + text(i) + ", for cutoffs make " + text(static_cast<std::int64_t>(w.clusters())));
      w.tied_projections[static_cast<std::size_t>(i)] = true;
    }
  return w;
}

/// Form A: pre-normalised, any number of blocks in one map, meant for a fixed number of evaluations.
class DeqLm final : public Transformer {
 public:
  using Options = TransformerOptions;
  static auto options() {
    return std::tuple_cat(Options::common(),
                          std::tuple{zstar::opt("blocks", &Options::blocks, "N, attention and feed-forward parts inside of one map", zstar::at_least(1))});
  }
  DeqLm(const Options& o, zstar::Host& host) : Transformer(o, /*published_lm=*/true, host) {}
};

/// Form B: one block, normalised after the sums or before the parts, solved to a fixed point.
class DeqSeq final : public Transformer {
 public:
  using Options = TransformerOptions;
  static auto options() {
    return std::tuple_cat(Options::common(),
                          std::tuple{zstar::opt("pre_norm", &Options::pre_norm, "normalise before each part instead of after each sum"),
                                     zstar::opt("pretrain_steps", &Options::pretrain_steps, "training batches at first for which the map is unrolled instead of solved", zstar::at_least(0)),
                                     zstar::opt("pretrain_evaluations", &Options::pretrain_evaluations, "evaluations of the unrolled map", zstar::at_least(1))});
  }
  DeqSeq(const Options& o, zstar::Host& host) : Transformer(o, /*published_lm=*/false, host) {}
};

}  // namespace

ZSTAR_PLUGIN("zstar.deq-transformer", "0.1.0", "DEQ Transformers, language models with a memory")
ZSTAR_MODEL(DeqLm, "deq_lm", "DEQ Transformer for a fixed number of evaluations, pre-normalised, several blocks in one map")
ZSTAR_MODEL(DeqSeq, "deq_seq", "DEQ Transformer solved to a fixed point, post- or pre-normalised")
