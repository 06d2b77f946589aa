/// \file Pictures of a bar, lying or standing: a generated data set, to start from. Replace what is made, or read it from files.
#include <zstar/sdk.hpp>

#include <ATen/CPUGeneratorImpl.h>

#include <zstar/abi/dataset.hpp>

namespace {

using torch::Tensor;
using zstar::Split;

class MyDataset final : public zstar::Dataset {
 public:
  struct Options {
    std::int64_t samples = 500, size = 8, seed = 1;
    double noise = 0.5;
  };
  static auto options() {
    return std::tuple{zstar::opt("samples", &Options::samples, "pictures, three fifths of them for training", zstar::at_least(5)),
                      zstar::opt("size", &Options::size, "of a picture", zstar::at_least(2), "pixels"),
                      zstar::opt("seed", &Options::seed, "of places and noise", zstar::at_least(0)),
                      zstar::opt("noise", &Options::noise, "largest brightness beside the bar", zstar::at_least(0.0))};
  }

  MyDataset(const Options& o, zstar::Host&) : o_(o) {
    auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(o.seed));
    labels_ = torch::arange(o.samples).remainder(2);  // 0: lying, 1: standing
    images_ = torch::empty({o.samples, 1, o.size, o.size}).uniform_(0.0, o.noise, generator);
    const Tensor places = torch::empty({o.samples}, torch::kInt64).random_(0, o.size, generator);
    for (std::int64_t i = 0; i < o.samples; ++i) images_[i][0].select(i % 2, places[i].item<std::int64_t>()).add_(1.0);
  }

  zstar::Description describe() const override { return {{{"channels", 1}, {"height", o_.size}, {"width", o_.size}, {"classes", 2}}}; }
  std::int64_t size(Split split) const override { return first(static_cast<std::int64_t>(split) + 1) - first(static_cast<std::int64_t>(split)); }

  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    auto generator = at::detail::createCPUGenerator(shuffle_seed);
    const std::int64_t n = size(split);
    const Tensor order = split == Split::train ? torch::randperm(n, generator) : torch::arange(n);
    std::vector<std::vector<std::int64_t>> out;
    for (const Tensor& batch : order.split(batch_size)) out.emplace_back(batch.data_ptr<std::int64_t>(), batch.data_ptr<std::int64_t>() + batch.numel());
    return out;
  }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t) const override {
    const Tensor rows = torch::tensor(indices, torch::kInt64) + first(static_cast<std::int64_t>(split));
    return {{{"images", images_.index_select(0, rows)}, {"labels", labels_.index_select(0, rows)}}, {rows.data_ptr<std::int64_t>(), rows.data_ptr<std::int64_t>() + rows.numel()}};
  }

 private:
  /// Index of the first sample of a split: 60 % train, 20 % validate, 20 % test.
  std::int64_t first(std::int64_t split) const { return (split == 0 ? 0 : split + 2) * o_.samples / 5; }

  Options o_;
  Tensor images_, labels_;
};

}  // namespace

ZSTAR_PLUGIN("me.my-dataset", "0.1.0", "my data sets")
ZSTAR_DATASET(MyDataset, "my_dataset", "pictures of a bar, lying or standing, generated")
