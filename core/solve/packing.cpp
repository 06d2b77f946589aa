#include "core/solve/packing.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace zstar::solve {
namespace {

double epsilon_of(torch::ScalarType dtype) {
  switch (dtype) {
    case torch::kFloat64: return 2.220446049250313e-16;
    case torch::kFloat32: return 1.1920928955078125e-07;
    case torch::kBFloat16: return 7.8125e-03;
    case torch::kFloat16: return 9.765625e-04;
    default: return 0;
  }
}

/// Whether the numbers of a sample lie pixel by pixel; where samples lie does not matter.
bool channels_last(const Tensor& t) {
  return t.dim() == 4 && t.size(1) > 1 && t.stride(1) == 1 && t.stride(3) == t.size(1) && t.stride(2) == t.size(1) * t.size(3);
}

std::string shape_text(at::IntArrayRef sizes, torch::ScalarType dtype) {
  std::ostringstream out;
  out << sizes << " of " << c10::toString(dtype);
  return out.str();
}

[[noreturn]] void refuse(std::size_t tensor, const std::string& what) {
  throw std::invalid_argument("tensor " + std::to_string(tensor) + " of the state " + what);
}

}  // namespace

Packing::Packing(const State& z0) {
  if (z0.empty()) throw std::invalid_argument("the state has no tensor; expected at least one");
  if (!z0.axes().empty() && z0.axes().size() != z0.size())
    throw std::invalid_argument("the state has " + std::to_string(z0.size()) + " tensors and " +
                                std::to_string(z0.axes().size()) + " batch axes");
  axes_ = z0.axes();
  for (std::size_t i = 0; i < z0.size(); ++i) {
    const Tensor& t = z0[i];
    const std::int64_t axis = t.dim() == 0 ? State::no_batch : z0.axis(i);
    const double epsilon = epsilon_of(t.scalar_type());
    if (epsilon == 0) refuse(i, "is " + shape_text(t.sizes(), t.scalar_type()) + "; expected a floating dtype");
    if (axis >= t.dim()) refuse(i, "has " + std::to_string(t.dim()) + " axes, its batch axis is " + std::to_string(axis));
    if (t.device() != z0[0].device()) refuse(i, "is on " + t.device().str() + ", tensor 0 on " + z0[0].device().str());
    const std::int64_t batch = axis == State::no_batch ? 1 : t.size(axis);
    if (i > 0 && batch != batch_)
      refuse(i, "has " + std::to_string(batch) + " samples, tensor 0 has " + std::to_string(batch_));
    batch_ = batch;
    std::int64_t width = 1;
    for (std::int64_t d = 0; d < t.dim(); ++d)
      if (d != axis) width *= t.size(d);
    pieces_.push_back({t.sizes().vec(), axis, width, t.scalar_type(), axis == 0 && channels_last(t)});
    width_ += width;
    epsilon_ = std::max(epsilon_, epsilon);
    if (t.scalar_type() == torch::kFloat64) dtype_ = torch::kFloat64;
  }
}

void Packing::check(const State& z) const {
  if (z.size() != pieces_.size())
    throw std::invalid_argument("f returned " + std::to_string(z.size()) + " tensors for a state of " +
                                std::to_string(pieces_.size()));
  for (std::size_t i = 0; i < z.size(); ++i)
    if (z[i].sizes() != at::IntArrayRef(pieces_[i].sizes) || z[i].scalar_type() != pieces_[i].dtype)
      throw std::invalid_argument("f returned " + shape_text(z[i].sizes(), z[i].scalar_type()) + " for tensor " +
                                  std::to_string(i) + " of the state, which is " +
                                  shape_text(pieces_[i].sizes, pieces_[i].dtype) +
                                  "; f must keep shapes and dtypes");
}

Tensor Packing::rows_of(const Tensor& t, const Piece& p) const {
  if (p.axis == 0 && t.dim() == 2 && t.scalar_type() == dtype_) return t;
  const Tensor front = p.axis > 0 ? t.movedim(p.axis, 0) : p.channels_last ? t.permute({0, 2, 3, 1}) : t;
  return front.reshape({batch_, p.width}).to(dtype_);
}

Tensor Packing::restore(const Tensor& rows, const Piece& p) const {
  if (p.axis == 0 && p.sizes.size() == 2 && p.dtype == dtype_) return rows;
  if (p.channels_last) return rows.reshape({p.sizes[0], p.sizes[2], p.sizes[3], p.sizes[1]}).to(p.dtype).permute({0, 3, 1, 2});
  if (p.axis <= 0) return rows.reshape(p.sizes).to(p.dtype);
  std::vector<std::int64_t> front = p.sizes;
  front.erase(front.begin() + p.axis);
  front.insert(front.begin(), batch_);
  return rows.reshape(front).to(p.dtype).movedim(0, p.axis);
}

Tensor Packing::pack(const State& z) const {
  check(z);
  if (pieces_.size() == 1) return rows_of(z[0], pieces_[0]).contiguous();
  std::vector<Tensor> rows;
  for (std::size_t i = 0; i < z.size(); ++i) rows.push_back(rows_of(z[i], pieces_[i]));
  return torch::cat(rows, 1);
}

State Packing::unpack(const Tensor& z) const {
  if (pieces_.size() == 1) return {{restore(z, pieces_[0])}, axes_};
  std::vector<Tensor> tensors;
  std::int64_t begin = 0;
  for (const Piece& p : pieces_) {
    tensors.push_back(restore(z.narrow(1, begin, p.width), p));
    begin += p.width;
  }
  return {std::move(tensors), axes_};
}

Packing Packing::with_batch(std::int64_t batch) const {
  Packing other(*this);
  other.batch_ = batch;
  for (Piece& p : other.pieces_)
    if (p.axis >= 0) p.sizes[static_cast<std::size_t>(p.axis)] = batch;
  return other;
}

}  // namespace zstar::solve
