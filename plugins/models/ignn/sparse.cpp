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

/// The kernel over all rows, shared among threads. \pre has_kernel(matrix, x)
Tensor kernel(const Rows& matrix, const Tensor& x, const Tensor& b, bool positive_part) {
  const Tensor input = x.contiguous(), shift = b.defined() ? b.contiguous() : b;
  const std::int64_t n = matrix.starts.numel() - 1, m = input.size(1);
  Tensor y = torch::empty({n, m}, input.options());
  const std::int64_t work_of_row = (matrix.columns.numel() / std::max<std::int64_t>(1, n) + 1) * m;
  AT_DISPATCH_FLOATING_TYPES(input.scalar_type(), "ignn product", [&] {
    const kernels::Rows<scalar_t> rows{matrix.starts.data_ptr<std::int64_t>(), matrix.columns.data_ptr<std::int64_t>(), matrix.values.data_ptr<scalar_t>()};
    at::parallel_for(0, n, std::max<std::int64_t>(1, 65536 / work_of_row), [&](std::int64_t begin, std::int64_t end) {
      kernels::product(rows, input.data_ptr<scalar_t>(), shift.defined() ? shift.data_ptr<scalar_t>() : nullptr, positive_part, m, begin, end, y.data_ptr<scalar_t>());
    });
  });
  return y;
}

Tensor product_value(const Rows& matrix, const Tensor& x) {
  return has_kernel(matrix, x) ? kernel(matrix, x, {}, /*positive_part=*/false) : torch::mm(matrix.matrix(), x);
}

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
  if (!has_kernel(a->rows(/*transposed=*/true), z) || b.scalar_type() != z.scalar_type()) return plain_cell(a, z, w, b);
  Tensor y;
  {
    const torch::NoGradGuard no_grad;
    y = kernel(a->rows(/*transposed=*/true), torch::mm(z, w), b, /*positive_part=*/true);
  }
  return records({z, w, b}) ? attached<CellNode>(y, {z, w, b}, a, z, w, y.detach()) : y;
}

Tensor plain_cell(const AdjacencyPtr& a, const Tensor& z, const Tensor& w, const Tensor& b) {
  return torch::relu(product(a, /*transposed=*/true, torch::mm(z, w)) + b);
}

}  // namespace zstar_ignn
