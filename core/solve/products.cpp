/// \file Inner products and combinations within one process.
#include <type_traits>

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

/// Rows of bfloat16 beside float32.
bool narrow(const std::vector<Tensor>& tensors, const Tensor& like) {
  for (const Tensor& t : tensors)
    if (!t.is_cpu() || !t.is_contiguous() || t.scalar_type() != torch::kBFloat16) return false;
  return like.scalar_type() == torch::kFloat32;
}

template <class T>
using Pointers = c10::SmallVector<T*, 32>;

template <class C>
Pointers<const C> pointers(const std::vector<Tensor>& tensors) {
  Pointers<const C> all;
  for (const Tensor& t : tensors)
    if constexpr (std::is_same_v<C, kernels::Brain>) all.push_back(reinterpret_cast<const C*>(t.data_ptr<at::BFloat16>()));
    else all.push_back(t.data_ptr<C>());
  return all;
}

/// The pointers of one row; moved from row to row.
template <class T>
void move_to(Pointers<const T>& row, const Pointers<const T>& first, std::int64_t offset) {
  for (std::size_t j = 0; j < first.size(); ++j) row[j] = first[j] + offset;
}

template <class Body>
void over_rows(std::int64_t batch, std::int64_t work, const Body& body) {
  if (batch * work < 32768) body(0, batch);  // below this a thread costs more than it brings
  else at::parallel_for(0, batch, 1, body);
}

template <class C, class T>
void dots_rows(const std::vector<Tensor>& a, const std::vector<Tensor>& b, double* out) {
  const std::int64_t batch = b[0].size(0), width = b[0].size(1);
  const auto pa = pointers<C>(a);
  const auto pb = pointers<T>(b);
  over_rows(batch, width * static_cast<std::int64_t>(a.size()), [&](std::int64_t begin, std::int64_t end) {
    auto ra = pa;
    auto rb = pb;
    for (std::int64_t i = begin; i < end; ++i) {
      move_to(ra, pa, i * width), move_to(rb, pb, i * width);
      kernels::dots(ra.data(), ra.size(), rb.data(), rb.size(), width, out + static_cast<std::size_t>(i) * ra.size() * rb.size());
    }
  });
}

template <class T>
void difference_rows(const Tensor& a, const Tensor& b, const std::vector<Tensor>& columns, std::size_t slot, double* out) {
  const std::int64_t batch = a.size(0), width = a.size(1);
  const auto first = pointers<T>(columns);
  const T *x = a.data_ptr<T>(), *y = b.data_ptr<T>();
  T* r = columns[slot].data_ptr<T>();
  over_rows(batch, width * static_cast<std::int64_t>(columns.size()), [&](std::int64_t begin, std::int64_t end) {
    auto row = first;
    for (std::int64_t i = begin; i < end; ++i) {
      move_to(row, first, i * width);
      kernels::difference_dots(x + i * width, y + i * width, row.data(), row.size(), r + i * width, width,
                               out + static_cast<std::size_t>(i) * row.size());
    }
  });
}

template <class C, class T>
void combine_rows(const Tensor& base, const std::vector<Tensor>& columns, const double* c, const Tensor& out) {
  const std::int64_t batch = base.size(0), width = base.size(1);
  const auto k = columns.size();
  const auto first = pointers<C>(columns);
  const T* from = base.data_ptr<T>();
  T* to = out.data_ptr<T>();
  over_rows(batch, width * static_cast<std::int64_t>(k), [&](std::int64_t begin, std::int64_t end) {
    auto row = first;
    for (std::int64_t i = begin; i < end; ++i) {
      move_to(row, first, i * width);
      kernels::combine(from + i * width, row.data(), c + static_cast<std::size_t>(i) * k, k, width, to + i * width);
    }
  });
}

template <class C, class T>
void chain_rows(const Tensor& a, const Tensor& b, const std::vector<Tensor>& left, const std::vector<Tensor>& right,
                const double* c, const double* e, const ChainResult& out) {
  const std::int64_t batch = a.size(0), width = a.size(1);
  const auto l = pointers<C>(left), r = pointers<C>(right);
  const T *from = a.data_ptr<T>(), *minus = b.defined() ? b.data_ptr<T>() : nullptr;
  T* v = out.v.data_ptr<T>();
  double* dots = out.dots.data_ptr<double>();
  over_rows(batch, width * static_cast<std::int64_t>(right.size() + 1), [&](std::int64_t begin, std::int64_t end) {
    auto lr = l, rr = r;
    for (std::int64_t i = begin; i < end; ++i) {
      move_to(lr, l, i * width), move_to(rr, r, i * width);
      const auto row = static_cast<std::size_t>(i);
      const kernels::Factors<C> factors{lr.data(), rr.data(), l.size(), r.size(), c + row * l.size(), e ? e + row * l.size() : nullptr};
      kernels::chain(from + i * width, minus ? minus + i * width : nullptr, factors, width, v + i * width, dots + row * (r.size() + 2));
    }
  });
}

class LocalProducts final : public Products {
 public:
  Tensor dots(const std::vector<Tensor>& a, const std::vector<Tensor>& b) override {
    const Tensor& like = b.front();
    const bool low = narrow(a, like);
    if (!(low || fused(a, like)) || !fused(b, like)) return dots_aten(a, b);
    const auto na = static_cast<std::int64_t>(a.size()), nb = static_cast<std::int64_t>(b.size());
    const Tensor out = torch::empty({like.size(0), na, nb}, torch::kFloat64);
    if (low) dots_rows<kernels::Brain, float>(a, b, out.data_ptr<double>());
    else if (like.scalar_type() == torch::kFloat32) dots_rows<float, float>(a, b, out.data_ptr<double>());
    else dots_rows<double, double>(a, b, out.data_ptr<double>());
    return out;
  }

  Tensor combine(const Tensor& base, const std::vector<Tensor>& columns, const Tensor& coefficients) override {
    if (columns.empty()) return base;
    const bool low = narrow(columns, base);
    if (!fused(base, base) || !(low || fused(columns, base)) || !coefficients.is_cpu()) return combine_aten(base, columns, coefficients);
    const Tensor c = coefficients.contiguous();
    Tensor out = torch::empty_like(base);
    if (low) combine_rows<kernels::Brain, float>(base, columns, c.data_ptr<double>(), out);
    else if (base.scalar_type() == torch::kFloat32) combine_rows<float, float>(base, columns, c.data_ptr<double>(), out);
    else combine_rows<double, double>(base, columns, c.data_ptr<double>(), out);
    return out;
  }

  Tensor difference_dots(const Tensor& a, const Tensor& b, std::vector<Tensor>& columns, std::size_t slot) override {
    Tensor& r = columns[slot];
    const bool reuse = r.defined() && r.sizes() == a.sizes() && fused(r, a);
    if (!fused(a, a) || !fused(b, a)) return Products::difference_dots(a, b, columns, slot);
    if (!reuse) r = torch::empty_like(a);
    if (!fused(columns, a)) return Products::difference_dots(a, b, columns, slot);
    const Tensor out = torch::empty({a.size(0), static_cast<std::int64_t>(columns.size())}, torch::kFloat64);
    if (a.scalar_type() == torch::kFloat32) difference_rows<float>(a, b, columns, slot, out.data_ptr<double>());
    else difference_rows<double>(a, b, columns, slot, out.data_ptr<double>());
    return out;
  }

  ChainResult chain(const Tensor& a, const Tensor& b, const std::vector<Tensor>& left, const std::vector<Tensor>& right,
                    const Tensor& c, const Tensor& e) override {
    const bool low = !right.empty() && narrow(left, a) && narrow(right, a);
    const bool plain = !fused(a, a) || (b.defined() && !fused(b, a)) || !(low || (fused(left, a) && fused(right, a))) ||
                       (c.defined() && !c.is_cpu()) || (e.defined() && !e.is_cpu());
    if (plain) return Products::chain(a, b, left, right, c, e);
    const Tensor factors = left.empty() ? Tensor() : c.contiguous(), own = e.defined() ? e.contiguous() : e;
    const ChainResult out{torch::empty_like(a), torch::empty({a.size(0), static_cast<std::int64_t>(right.size()) + 2}, torch::kFloat64)};
    const double* pc = left.empty() ? nullptr : factors.data_ptr<double>();
    const double* pe = own.defined() ? own.data_ptr<double>() : nullptr;
    if (low) chain_rows<kernels::Brain, float>(a, b, left, right, pc, pe, out);
    else if (a.scalar_type() == torch::kFloat32) chain_rows<float, float>(a, b, left, right, pc, pe, out);
    else chain_rows<double, double>(a, b, left, right, pc, pe, out);
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
