#include "core/solve/measure.hpp"

#include <cmath>

#include <ATen/Parallel.h>

#include "core/solve/kernels.hpp"

namespace zstar::solve {
namespace {

bool fused(const Tensor& t) {
  return t.is_cpu() && t.is_contiguous() && (t.scalar_type() == torch::kFloat32 || t.scalar_type() == torch::kFloat64);
}

/// Squares overflow long before the numbers do: such a row is measured again, scaled by its largest entry.
template <class T>
double scaled_norm(const T* a, const T* b, std::int64_t n) {
  double largest = 0;
  const auto entry = [&](std::int64_t i) { return static_cast<double>(a[i]) - (b ? static_cast<double>(b[i]) : 0.0); };
  for (std::int64_t i = 0; i < n; ++i) {
    const double v = std::abs(entry(i));
    if (!std::isfinite(v)) return v;
    largest = std::max(largest, v);
  }
  if (largest == 0) return 0;
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += (entry(i) / largest) * (entry(i) / largest);
  return largest * std::sqrt(sum);
}

template <class T>
void measure_rows(const Tensor& z, const Tensor& fz, double* out) {
  const std::int64_t batch = z.size(0), width = z.size(1);
  const T *zp = z.data_ptr<T>(), *fp = fz.data_ptr<T>();
  const auto rows = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const T *zr = zp + b * width, *fr = fp + b * width;
      double sums[2];
      kernels::residual(zr, fr, width, sums);
      const bool plain = std::isfinite(sums[0]) && std::isfinite(sums[1]);
      out[b] = plain ? std::sqrt(sums[0]) : scaled_norm(fr, zr, width);
      out[batch + b] = plain ? std::sqrt(sums[1]) : scaled_norm<T>(fr, nullptr, width);
    }
  };
  if (batch * width < 32768) rows(0, batch);  // below this a thread costs more than it brings
  else at::parallel_for(0, batch, 1, rows);
}

}  // namespace

void measure_cpu(const Tensor& z, const Tensor& fz, double* out) {
  if (z.scalar_type() == torch::kFloat32) measure_rows<float>(z, fz, out);
  else measure_rows<double>(z, fz, out);
}

Tensor measure_aten(const Tensor& z, const Tensor& fz) {
  const auto accumulate = z.is_cpu() || z.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const Tensor y = fz.to(accumulate), r = y - z.to(accumulate);
  return torch::stack({torch::norm(r, 2, {1}), torch::norm(y, 2, {1})}).to(torch::kFloat64);
}

Tensor measure(const Tensor& z, const Tensor& fz) {
  if (!fused(z) || !fused(fz)) return measure_aten(z, fz);
  const Tensor out = torch::empty({2, z.size(0)}, torch::kFloat64);
  measure_cpu(z, fz, out.data_ptr<double>());
  return out;
}

}  // namespace zstar::solve
