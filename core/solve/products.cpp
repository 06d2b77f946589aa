/// \file Inner products and combinations within one process.
#include <ATen/Parallel.h>

#include "core/solve/kernels.hpp"
#include "core/solve/solve.hpp"

namespace zstar::solve {
namespace {

bool fused(const Tensor& t, const Tensor& like) {
  return t.is_cpu() && t.is_contiguous() && t.scalar_type() == like.scalar_type() &&
         (t.scalar_type() == torch::kFloat32 || t.scalar_type() == torch::kFloat64);
}

bool fused(const std::vector<Tensor>& tensors, const Tensor& like) {
  for (const Tensor& t : tensors)
    if (!fused(t, like)) return false;
  return true;
}

template <class T>
std::vector<const T*> rows(const std::vector<Tensor>& tensors, std::int64_t offset) {
  std::vector<const T*> pointers;
  pointers.reserve(tensors.size());
  for (const Tensor& t : tensors) pointers.push_back(t.data_ptr<T>() + offset);
  return pointers;
}

void over_rows(std::int64_t batch, std::int64_t work, const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (batch * work < 32768) body(0, batch);
  else at::parallel_for(0, batch, 1, body);
}

template <class T>
void dots_rows(const std::vector<Tensor>& a, const std::vector<Tensor>& b, double* out) {
  const std::int64_t batch = a[0].size(0), width = a[0].size(1);
  const std::size_t pairs = a.size() * b.size();
  over_rows(batch, width * static_cast<std::int64_t>(a.size()), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto pa = rows<T>(a, i * width), pb = rows<T>(b, i * width);
      kernels::dots(pa.data(), pa.size(), pb.data(), pb.size(), width, out + static_cast<std::size_t>(i) * pairs);
    }
  });
}

template <class T>
void combine_rows(const Tensor& base, const std::vector<Tensor>& columns, const double* c, Tensor& out) {
  const std::int64_t batch = base.size(0), width = base.size(1);
  const auto k = columns.size();
  over_rows(batch, width * static_cast<std::int64_t>(k), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto pc = rows<T>(columns, i * width);
      kernels::combine(base.data_ptr<T>() + i * width, pc.data(), c + static_cast<std::size_t>(i) * k, k, width,
                       out.data_ptr<T>() + i * width);
    }
  });
}

class LocalProducts final : public Products {
 public:
  Tensor dots(const std::vector<Tensor>& a, const std::vector<Tensor>& b) override {
    const Tensor& like = b.front();
    if (!fused(a, like) || !fused(b, like)) return dots_aten(a, b);
    const auto na = static_cast<std::int64_t>(a.size()), nb = static_cast<std::int64_t>(b.size());
    const Tensor out = torch::empty({like.size(0), na, nb}, torch::kFloat64);
    if (like.scalar_type() == torch::kFloat32) dots_rows<float>(a, b, out.data_ptr<double>());
    else dots_rows<double>(a, b, out.data_ptr<double>());
    return out;
  }

  Tensor combine(const Tensor& base, const std::vector<Tensor>& columns, const Tensor& coefficients) override {
    if (columns.empty()) return base;
    if (!fused(base, base) || !fused(columns, base) || !coefficients.is_cpu()) return combine_aten(base, columns, coefficients);
    const Tensor c = coefficients.contiguous();
    Tensor out = torch::empty_like(base);
    if (base.scalar_type() == torch::kFloat32) combine_rows<float>(base, columns, c.data_ptr<double>(), out);
    else combine_rows<double>(base, columns, c.data_ptr<double>(), out);
    return out;
  }

 private:
  static Tensor dots_aten(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
    const Tensor& like = b.front();
    const auto wide = like.is_cpu() || like.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    return torch::stack(a, 1).to(wide).matmul(torch::stack(b, 2).to(wide)).to(torch::kFloat64);
  }
  static Tensor combine_aten(const Tensor& base, const std::vector<Tensor>& columns, const Tensor& c) {
    Tensor sum = base;
    for (std::size_t j = 0; j < columns.size(); ++j) {
      const Tensor factor = c.select(1, static_cast<std::int64_t>(j)).unsqueeze(1).to(base.scalar_type());
      sum = sum + torch::where(factor == 0, torch::zeros_like(factor), factor * columns[j]);
    }
    return sum;
  }
};

}  // namespace

Products& local_products() {
  static LocalProducts products;
  return products;
}

}  // namespace zstar::solve
