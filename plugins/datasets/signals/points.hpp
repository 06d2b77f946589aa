#pragma once
/// \file Signals on a grid as sets of points: coordinates in [−1, 1], values in [−1, 1]. What all of these data sets share.

#include <ATen/CPUGeneratorImpl.h>

#include <zstar/formats/files.hpp>
#include <zstar/render.hpp>
#include <zstar/sdk.hpp>

#include <filesystem>

namespace zstar_signals {
namespace {

namespace fs = std::filesystem;
using torch::Tensor;
using zstar::OptionError;
using zstar::formats::damaged;
using zstar::Split;

/// The options that every signal has, to follow those of its own.
struct SignalOptions {
  std::string path, hold_out = "nothing";
};
template <class O>
auto signal_options(const char* path) {
  const auto own = []<class T>(T SignalOptions::*member) -> T O::* { return member; };
  return std::tuple{zstar::opt("path", own(&SignalOptions::path), path),
                    zstar::choice("hold_out", own(&SignalOptions::hold_out),
                                  "nothing: fitted and tested on all points; every_other: fitted on the even places of every axis, tested on the odd ones", {"nothing", "every_other"})};
}

/// Batch tensors: `coordinates` (N, d) float32, and `values` (N, c) float32. A sample is a point.
class Points : public zstar::Dataset, public zstar::Renders {
 public:
  void* query(std::string_view id) override { return id == zstar::Renders::id ? static_cast<zstar::Renders*>(this) : nullptr; }

  zstar::Description describe() const override {
    return {{{"coordinates", values_.dim() - 1}, {"values", values_.size(-1)}, {"points", size(Split::train)}}};
  }
  std::int64_t size(Split split) const override {
    if (split == Split::validation) return 0;
    std::int64_t n = 1;
    for (const std::int64_t k : sizes(split)) n *= k;
    return n;
  }

  /// Whole splits come in order; smaller batches of the training split are shuffled.
  std::vector<std::vector<std::int64_t>> batches(Split split, std::int64_t batch_size, std::uint64_t shuffle_seed) const override {
    const std::int64_t n = size(split);
    const bool shuffled = split == Split::train && batch_size < n;
    const Tensor order = shuffled ? torch::randperm(n, at::make_generator<at::CPUGeneratorImpl>(shuffle_seed)) : torch::arange(n);
    const std::int64_t* at = order.data_ptr<std::int64_t>();
    std::vector<std::vector<std::int64_t>> out;
    for (std::int64_t i = 0; i < n; i += batch_size) out.emplace_back(at + i, at + std::min(n, i + batch_size));
    return out;
  }

  zstar::Batch load(Split split, const std::vector<std::int64_t>& indices, std::uint64_t /*seed*/) const override {
    const auto n = sizes(split);
    Tensor rest = torch::tensor(indices, torch::kInt64), row = torch::zeros_like(rest);
    std::vector<Tensor> coordinates(n.size());
    std::int64_t stride = 1;
    for (std::size_t k = n.size(); k-- > 0;) {
      const Tensor place = first(split) + step() * rest.remainder(n[k]);
      rest = rest.div(n[k], "floor");
      row = row + stride * place;
      const std::int64_t whole = values_.size(static_cast<std::int64_t>(k));
      stride *= whole;
      coordinates[k] = torch::linspace(-1, 1, whole, torch::kFloat32).index_select(0, place);
    }
    if (columns_first_) std::reverse(coordinates.begin(), coordinates.end());
    const Tensor values = values_.flatten(0, -2).index_select(0, row).to(torch::kFloat32);
    return {{{"coordinates", torch::stack(coordinates, 1)}, {"values", values_.scalar_type() == torch::kUInt8 ? values / 127.5 - 1 : values}}, indices};
  }

 protected:
  explicit Points(const SignalOptions& o) : every_other_(o.hold_out == "every_other") {}

  /// \param values  [axes …, c]: bytes, or numbers in [−1, 1] \param columns_first  the last axis is the first coordinate
  void set(Tensor values, bool columns_first) {
    values_ = values.contiguous(), columns_first_ = columns_first;
    for (std::int64_t k = 0; k + 1 < values_.dim(); ++k)
      if (values_.size(k) < (every_other_ ? 2 : 1)) throw OptionError("hold_out", "an axis of the signal has " + std::to_string(values_.size(k)) + " places; every_other needs two");
  }

  /// From one place of a split to its next.
  std::int64_t step() const { return every_other_ ? 2 : 1; }
  /// The places of a split out of all. \param all  [axes …, c]
  Tensor of_split(Split split, Tensor all) const {
    for (std::int64_t k = 0; k + 1 < values_.dim(); ++k) all = all.slice(k, first(split), all.size(k), step());
    return all;
  }

  /// Values of a split on its grid, [axes …, c]. \throws std::invalid_argument  for another number of points
  Tensor on_grid(Split split, const Tensor& predictions) const {
    if (predictions.dim() != 2 || predictions.size(0) != size(split) || predictions.size(1) != values_.size(-1))
      throw std::invalid_argument("expected predictions of " + std::to_string(size(split)) + " points with " + std::to_string(values_.size(-1)) + " values");
    std::vector<std::int64_t> shape = sizes(split);
    shape.push_back(values_.size(-1));
    return predictions.to(torch::kFloat32).cpu().reshape(shape);
  }

 private:
  std::int64_t first(Split split) const { return every_other_ && split == Split::test ? 1 : 0; }
  /// Places of a split along every axis.
  std::vector<std::int64_t> sizes(Split split) const {
    std::vector<std::int64_t> n = values_.sizes().vec();
    n.pop_back();
    for (std::int64_t& k : n) k = (k - first(split) + step() - 1) / step();
    return n;
  }

  bool every_other_, columns_first_ = false;
  Tensor values_;
};

}  // namespace
}  // namespace zstar_signals
