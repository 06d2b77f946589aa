#pragma once
/// \file What numbers of arrays may be; a FormatError says what they are instead, and in which row.

#include <sstream>

#include <torch/types.h>

#include "zstar/formats/files.hpp"

namespace zstar_graphs {
namespace {

using torch::Tensor;

/// \param good  truth values of the shape of `numbers` \param what  the name of one number \param expected  what each must be
/// \throws FormatError  naming the first that is not, with its row
inline void all_are(const Tensor& numbers, const Tensor& good, const std::string& what, const std::string& expected) {
  const Tensor wrong = good.logical_not().flatten().nonzero();
  if (wrong.numel() == 0) return;
  const std::int64_t at = wrong[0].item<std::int64_t>(), width = numbers.dim() > 1 ? numbers.numel() / numbers.size(0) : 1;
  std::ostringstream said;
  said.precision(15);
  said << "has the " << what << ' ' << numbers.flatten()[at].item<double>() << " in row " << at / width << ", counted from 0; expected " << expected;
  throw zstar::formats::FormatError(said.str());
}

/// Integers as int64, also from an array of floating numbers.
inline Tensor whole(const Tensor& numbers, const std::string& what) {
  const Tensor x = numbers.to(torch::kFloat64);
  if (numbers.is_floating_point()) all_are(numbers, x.eq(x.floor()) & x.abs().lt(9e18), what, "a whole number");
  return numbers.to(torch::kInt64);
}

inline Tensor zeros_and_ones(const Tensor& numbers, const std::string& what) {
  const Tensor x = numbers.to(torch::kFloat64);
  all_are(numbers, x.eq(0) | x.eq(1), what, "0 or 1");
  return numbers;
}

/// As float32.
inline Tensor finite(const Tensor& numbers, const std::string& what) {
  const Tensor x = numbers.to(torch::kFloat32);
  all_are(numbers, x.isfinite(), what, "a finite number");
  return x;
}

/// What train, validate and test, as truth values. \throws FormatError  for other values than 0 and 1, and for a node in two of them
inline std::vector<Tensor> splits_of(const std::vector<Tensor>& masks) {
  std::vector<Tensor> out;
  Tensor times;
  for (const Tensor& mask : masks) {
    out.push_back(zeros_and_ones(mask.flatten(), "mark").to(torch::kBool));
    if (out.back().numel() != out.front().numel()) throw zstar::formats::FormatError("has splits over different numbers of nodes");
    times = times.defined() ? times + out.back().to(torch::kInt64) : out.back().to(torch::kInt64);
  }
  all_are(torch::arange(times.numel()), times.le(1), "node", "each in at most one of those that train, validate and test");
  return out;
}

}  // namespace
}  // namespace zstar_graphs
