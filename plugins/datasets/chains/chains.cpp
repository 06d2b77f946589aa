/// \file Chains: long-range dependence on a graph. Definition and source: README.md.
#include <zstar/sdk.hpp>

#include <ATen/CPUGeneratorImpl.h>

namespace {

using torch::Tensor;
using zstar::Split;

/// One directed graph of chains; the class of a chain is written into the features of its first node alone.
class Chains final : public zstar::Dataset {
 public:
  struct Options {
    std::int64_t length = 10, classes = 2, chains = 20, features = 100, seed = 42;
    double noise = 0.0, train = 0.05, validation = 0.1;
  };
  static auto options() {
    return std::tuple{
        zstar::opt("length", &Options::length, "nodes of a chain", zstar::within(2, 1e6)),
        zstar::opt("classes", &Options::classes, "kinds of chains", zstar::within(2, 1e4)),
        zstar::opt("chains", &Options::chains, "chains of each class", zstar::within(1, 1e6)),
        zstar::opt("features", &Options::features, "numbers of a node; at least as many as classes", zstar::within(2, 1e6)),
        zstar::opt("noise", &Options::noise, "uniform noise added to all features, at most this much", zstar::at_least(0.0)),
        zstar::opt("train", &Options::train, "share of the nodes that are trained on", zstar::within(0.0, 1.0)),
        zstar::opt("validation", &Options::validation, "share of the nodes that validate; the rest tests", zstar::within(0.0, 1.0)),
        zstar::opt("seed", &Options::seed, "of split and noise", zstar::at_least(0))};
  }

  Chains(const Options& o, zstar::Host&) : o_(o) {
    if (o.features < o.classes) throw zstar::OptionError("features", "features is below the number of classes");
    if (o.train + o.validation >= 1.0) throw zstar::OptionError("train", "train and validation leave no node for the test");
    if (nodes() > most_numbers / o.features) throw zstar::OptionError("length", "the chains have " + std::to_string(nodes()) + " nodes of " + std::to_string(o.features) + " numbers; shorten them, or have fewer");
    build_features();
    build_adjacency();
    build_masks();
  }

  zstar::Description describe() const override {
    return {{{"nodes", nodes()}, {"features", o_.features}, {"classes", o_.classes}}};
  }
  std::int64_t size(Split split) const override { return masks_[static_cast<std::size_t>(split)].any().item<bool>() ? 1 : 0; }
  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t, std::uint64_t) const override {
    if (size(split) == 0) return {};
    return {{0}};  // the whole graph
  }
  zstar::Batch load(Split split, const std::vector<std::int64_t>&, std::uint64_t) const override {
    return {{{"features", features_}, {"adjacency_indices", indices_}, {"adjacency_values", values_}, {"labels", labels_},
             {"mask", masks_[static_cast<std::size_t>(split)]}},
            {}};
  }

 private:
  static constexpr std::int64_t most_numbers = 10'000'000'000;  // of all features together
  std::int64_t nodes() const { return o_.length * o_.classes * o_.chains; }

  void build_features() {
    auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(o_.seed) + 1);
    features_ = torch::zeros({nodes(), o_.features});
    labels_ = torch::arange(nodes()).div(o_.length * o_.chains, "floor");
    const Tensor first = torch::arange(0, nodes(), o_.length);
    features_.index_put_({first, labels_.index_select(0, first)}, torch::ones({first.numel()}));
    if (o_.noise > 0) features_.add_(torch::empty_like(features_).uniform_(0.0, o_.noise, generator));
    const Tensor sums = features_.sum(1, /*keepdim=*/true);
    features_ = torch::where(sums > 0, features_ / sums, features_);
  }

  /// R^(−1/2) (A + I) R^(−1/2) with the row sums R of A + I, edges from each node to the next.
  void build_adjacency() {
    const Tensor all = torch::arange(nodes());
    const Tensor from = all.masked_select(all.remainder(o_.length) != o_.length - 1);
    indices_ = torch::stack({torch::cat({from, all}), torch::cat({from + 1, all})});
    const Tensor sums = torch::ones({nodes()}).index_add_(0, from, torch::ones({from.numel()}));
    const Tensor scale = sums.rsqrt();
    values_ = scale.index_select(0, indices_[0]) * scale.index_select(0, indices_[1]);
  }

  void build_masks() {
    auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(o_.seed));
    const Tensor order = torch::randperm(nodes(), generator);
    const auto train = static_cast<std::int64_t>(o_.train * static_cast<double>(nodes()));
    const auto validation = static_cast<std::int64_t>(o_.validation * static_cast<double>(nodes()));
    const std::int64_t ends[] = {0, train, train + validation, nodes()};
    for (int split = 0; split < 3; ++split)
      masks_[split] = torch::zeros({nodes()}, torch::kBool).index_fill_(0, order.slice(0, ends[split], ends[split + 1]), true);
  }

  Options o_;
  Tensor features_, labels_, indices_, values_, masks_[3];
};

}  // namespace

ZSTAR_PLUGIN("zstar.chains", "0.1.0", "the chains data set, generated")
ZSTAR_DATASET(Chains, "chains", "node classification that needs messages from the start of a chain")
