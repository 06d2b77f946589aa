#include "sparse.hpp"

#include <algorithm>

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "kernels.hpp"

namespace zstar_ignn {
namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

Rows compressed(const Tensor& indices, const Tensor& values, std::int64_t n) {
  const Tensor sorted = torch::sparse_coo_tensor(indices, values, {n, n}).coalesce(), ij = sorted.indices();
  const Tensor counts = torch::zeros({n + 1}, ij.options()).index_add_(0, ij[0] + 1, torch::ones_like(ij[0]));
  return {counts.cumsum(0), ij[1].contiguous(), sorted.values()};
}

bool has_kernel(const Rows& matrix, const Tensor& x) {
  return x.is_cpu() && x.scalar_type() == matrix.values.scalar_type() && (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kFloat64);
}

/// Calls rows(compressed rows of scalars, begin, end) for all rows, shared among threads. \param m  numbers of a row
template <class F>
void for_rows(const Rows& matrix, std::int64_t m, const F& rows) {
  const std::int64_t n = matrix.starts.numel() - 1, work_of_row = (matrix.columns.numel() / std::max<std::int64_t>(1, n) + 1) * m;
  AT_DISPATCH_FLOATING_TYPES(matrix.values.scalar_type(), "ignn product", [&] {
    const kernels::Rows<scalar_t> of{matrix.starts.data_ptr<std::int64_t>(), matrix.columns.data_ptr<std::int64_t>(), matrix.values.data_ptr<scalar_t>()};
    at::parallel_for(0, n, std::max<std::int64_t>(1, 65536 / work_of_row), [&](std::int64_t begin, std::int64_t end) { rows(of, begin, end); });
  });
}

/// Whether rows of x are read several times each, and x is larger than the second cache of common processors.
bool beyond_near_cache(const Rows& matrix, const Tensor& x) {
  return x.nbytes() > std::size_t{1} << 20 && matrix.columns.numel() >= 2 * x.size(0);
}

Tensor in_tiles(const Rows& matrix, const Tensor& x, const Tensor& b, Tensor y) {
  const std::int64_t n = x.size(0), m = x.size(1);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "ignn product", [&] {
    const kernels::Rows<scalar_t> rows{matrix.starts.data_ptr<std::int64_t>(), matrix.columns.data_ptr<std::int64_t>(), matrix.values.data_ptr<scalar_t>()};
    at::parallel_for(0, (m + kernels::tile - 1) / kernels::tile, 1, [&](std::int64_t begin, std::int64_t end) {
      const Tensor room = torch::empty({n, kernels::tile}, x.options());
      kernels::tiles(rows, x.data_ptr<scalar_t>(), b.defined() ? b.data_ptr<scalar_t>() : nullptr, /*positive_part=*/b.defined(), n, m, begin, end,
                     room.data_ptr<scalar_t>(), y.data_ptr<scalar_t>());
    });
  });
  return y;
}

/// M x, or relu(M x + b). \pre has_kernel(matrix, x)
Tensor kernel(const Rows& matrix, const Tensor& x, const Tensor& b = {}) {
  const Tensor input = x.contiguous(), shift = b.defined() ? b.contiguous() : b;
  Tensor y = torch::empty({matrix.starts.numel() - 1, input.size(1)}, input.options());
  if (beyond_near_cache(matrix, input)) return in_tiles(matrix, input, shift, std::move(y));
  for_rows(matrix, input.size(1), [&]<class T>(const kernels::Rows<T>& rows, std::int64_t begin, std::int64_t end) {
    const T* of_b = shift.defined() ? shift.data_ptr<T>() : nullptr;
    kernels::product(rows, input.data_ptr<T>(), of_b, /*positive_part=*/of_b != nullptr, input.size(1), begin, end, y.data_ptr<T>());
  });
  return y;
}

/// relu(M x w + b) in one pass. \pre has_kernel(matrix, x), kernels::narrow(width of x)
Tensor narrow_cell(const Rows& matrix, const Tensor& x, const Tensor& w, const Tensor& b) {
  const Tensor input = x.contiguous(), weight = w.contiguous(), shift = b.contiguous();
  Tensor y = torch::empty({matrix.starts.numel() - 1, input.size(1)}, input.options());
  for_rows(matrix, input.size(1), [&]<class T>(const kernels::Rows<T>& rows, std::int64_t begin, std::int64_t end) {
    kernels::cell(rows, input.data_ptr<T>(), weight.data_ptr<T>(), shift.data_ptr<T>(), input.size(1), begin, end, y.data_ptr<T>());
  });
  return y;
}

Tensor product_value(const Rows& matrix, const Tensor& x) { return has_kernel(matrix, x) ? kernel(matrix, x) : torch::mm(matrix.matrix(), x); }

/// Attaches a value to the graph by a node of its own.
template <class Node, class... Arguments>
Tensor attached(Tensor value, const variable_list& inputs, Arguments&&... arguments) {
  const std::shared_ptr<Node> node(new Node(std::forward<Arguments>(arguments)...), torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  torch::autograd::create_gradient_edge(value, node);
  return value;
}

bool records(std::initializer_list<Tensor> inputs) {
  return torch::GradMode::is_enabled() && std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.requires_grad(); });
}

class ProductNode final : public torch::autograd::Node {
 public:
  ProductNode(AdjacencyPtr a, bool transposed) : a_(std::move(a)), transposed_(transposed) {}
  variable_list apply(variable_list&& g) override { return {g[0].defined() ? product(a_, !transposed_, g[0]) : Tensor()}; }

 private:
  AdjacencyPtr a_;
  bool transposed_;
};

/// With y = relu(Aᵀ (z w) + b) and cotangent v: v_b = v ⊙ [y > 0], v_zw = A v_b, v_z = v_zw wᵀ, v_w = zᵀ v_zw.
class CellNode final : public torch::autograd::Node {
 public:
  CellNode(AdjacencyPtr a, const Tensor& z, const Tensor& w, Tensor y) : a_(std::move(a)), z_(z, false), w_(w, false), y_(std::move(y)) {}

  variable_list apply(variable_list&& g) override {
    if (!g[0].defined()) return {Tensor(), Tensor(), Tensor()};
    const Tensor v = torch::threshold_backward(g[0], y_, 0), inner = product(a_, /*transposed=*/false, v);
    Tensor v_z, v_w;
    if (task_should_compute_output(0)) v_z = torch::mm(inner, w_.unpack().t());
    if (task_should_compute_output(1)) v_w = torch::mm(z_.unpack().t(), inner);
    return {v_z, v_w, v};
  }
  void release_variables() override { z_.reset_data(), w_.reset_data(); }

 private:
  AdjacencyPtr a_;
  SavedVariable z_, w_;
  Tensor y_;  // its sign alone is used, which has no derivative
};

}  // namespace

Tensor Rows::matrix() const {
  const std::int64_t n = starts.numel() - 1;
  return torch::sparse_csr_tensor(starts, columns, values, {n, n}, values.options().layout(torch::kSparseCsr));
}

Adjacency::Adjacency(const Tensor& indices, const Tensor& values, std::int64_t n)
    : n_(n), direct_(compressed(indices, values.detach(), n)), transposed_(compressed(indices.flip(0), values.detach(), n)) {}

Tensor product(const AdjacencyPtr& a, bool transposed, const Tensor& x) {
  Tensor y;
  {
    const torch::NoGradGuard no_grad;
    y = product_value(a->rows(transposed), x.detach());
  }
  return records({x}) ? attached<ProductNode>(y, {x}, a, transposed) : y;
}

Tensor cell(const AdjacencyPtr& a, const Tensor& z, const Tensor& w, const Tensor& b) {
  const Rows& rows = a->rows(/*transposed=*/true);
  if (!has_kernel(rows, z) || b.scalar_type() != z.scalar_type() || w.scalar_type() != z.scalar_type()) return plain_cell(a, z, w, b);
  Tensor y;
  {
    const torch::NoGradGuard no_grad;
    y = kernels::narrow(z.size(1)) ? narrow_cell(rows, z, w, b) : kernel(rows, torch::mm(z, w), b);
  }
  return records({z, w, b}) ? attached<CellNode>(y, {z, w, b}, a, z, w, y.detach()) : y;
}

Tensor plain_cell(const AdjacencyPtr& a, const Tensor& z, const Tensor& w, const Tensor& b) {
  return torch::relu(product(a, /*transposed=*/true, torch::mm(z, w)) + b);
}

}  // namespace zstar_ignn
