#pragma once
/// \file Tensors as oneDNN sees them, and what its primitives want. Empty without ZSTAR_ONEDNN, which zstar::onednn defines where LibTorch itself
/// links oneDNN 2 as a shared library (Debian's does), so that a process has one of it.

#ifdef ZSTAR_ONEDNN
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <dnnl.hpp>

#include "zstar/nn/packed_weights.hpp"

namespace zstar::nn::onednn {

inline dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

/// A convolution over batches of one size: the primitive, and what it wants its operands to be.
struct Plan {
  dnnl::primitive run;
  dnnl::memory::desc image, weight, result, scratch;  ///< x or ∂x; w or ∂w; y or ∂y
};

/// The plan of these sizes, made once in a thread (algorithms are laid out for its number of threads); valid until the next call. A thread keeps as
/// many as oneDNN does itself, some 40 kB each. \param make  makes it, or nothing where the processor has no such algorithm
template <class Sizes, class Make>
const std::optional<Plan>& kept_plan(const Sizes& sizes, const Make& make) {
  static thread_local std::map<std::pair<int, Sizes>, std::optional<Plan>> plans;
  const auto key = std::pair(at::get_num_threads(), sizes);
  const auto known = plans.find(key);
  if (known == plans.end() && plans.size() == 1024) plans.clear();
  return known != plans.end() ? known->second : plans.emplace(key, make()).first->second;
}

inline dnnl::memory::data_type type(const Tensor& t) { return t.scalar_type() == at::kBFloat16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32; }

/// A dense tensor of the processor in float32 or bfloat16, which no derivative of forward mode goes through.
inline bool plain(const Tensor& t) {
  return t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16) && t.layout() == at::kStrided && !t.is_neg() &&
         !t._fw_grad(0).defined();
}

/// A tensor as oneDNN sees it: its memory, in rows of pixels or of channels.
class Operand {
 public:
  explicit Operand(Tensor t) : tensor_(std::move(t)) {}
  Operand(const Tensor& t, at::MemoryFormat format) : tensor_(t.contiguous(format)) {}
  dnnl::memory memory() const {
    const dnnl::memory::dims sizes(tensor_.sizes().begin(), tensor_.sizes().end()), strides(tensor_.strides().begin(), tensor_.strides().end());
    return {dnnl::memory::desc(sizes, type(tensor_), strides), engine(), tensor_.data_ptr()};
  }
  /// Some of its images or channels.
  Operand part(std::int64_t axis, std::int64_t first, std::int64_t n) const { return Operand(tensor_.narrow(axis, first, n)); }
  const Tensor& tensor() const { return tensor_; }

 private:
  Tensor tensor_;
};

/// Memory of LibTorch's allocator in a layout of oneDNN's own.
class Workspace {
 public:
  explicit Workspace(const dnnl::memory::desc& d) : Workspace(d, at::empty({static_cast<std::int64_t>(d.get_size())}, at::kByte)) {}
  Workspace(const dnnl::memory::desc& d, Tensor bytes) : bytes_(std::move(bytes)), memory_(d, engine(), bytes_.data_ptr()) {}
  dnnl::memory& memory() { return memory_; }
  const Tensor& bytes() const { return bytes_; }

 private:
  Tensor bytes_;
  dnnl::memory memory_;
};

inline void copy(const Operand& from, Workspace& to, dnnl::stream& stream) {
  dnnl::memory source = from.memory();
  dnnl::reorder(source, to.memory()).execute(stream, source, to.memory());
}
inline void copy(Workspace& from, const Operand& to, dnnl::stream& stream) {
  dnnl::memory target = to.memory();
  dnnl::reorder(from.memory(), target).execute(stream, from.memory(), target);
}

/// A weight in the layout that a primitive wants: kept by the evaluation under way, or made for this call.
inline Workspace in_layout(const dnnl::memory::desc& wanted, const Tensor& w, dnnl::stream& stream) {
  const auto make = [&] {
    Workspace target(wanted);
    copy(Operand(w.is_non_overlapping_and_dense() ? w : w.contiguous()), target, stream);
    return target.bytes();
  };
  PackedWeights* packed = PackedWeights::current();
  return {wanted, packed ? packed->of(w, std::tuple(w.sizes().vec(), w.strides().vec(), wanted), make) : make()};
}

}  // namespace zstar::nn::onednn
#endif
