#pragma once
/// \file Adjacency matrices in compressed rows, and the map of the implicit layer on them.

#include <memory>

#include <torch/types.h>

namespace zstar_ignn {

using torch::Tensor;

/// A square matrix in compressed rows: `starts` [n + 1], `columns` [nnz], `values` [nnz].
struct Rows {
  Tensor starts, columns, values;
  Tensor matrix() const;  ///< the same as a tensor of layout sparse CSR; it shares the three
};

/// A and Aᵀ, both in compressed rows and made once. Constant: no gradient reaches the values.
class Adjacency {
 public:
  /// \param indices  [2, nnz], row 0 is i and row 1 is j of A_ij; entries that are there twice are added
  Adjacency(const Tensor& indices, const Tensor& values, std::int64_t n);
  const Rows& rows(bool transposed) const { return transposed ? transposed_ : direct_; }
  std::int64_t nodes() const { return n_; }

 private:
  std::int64_t n_;
  Rows direct_, transposed_;
};

using AdjacencyPtr = std::shared_ptr<const Adjacency>;

/// M x for M = A or Aᵀ and x [n, m]; any derivative with respect to x.
Tensor product(const AdjacencyPtr& a, bool transposed, const Tensor& x);

/// relu(Aᵀ z w + b), z [n, m], w = Wᵀ [m, m], b [n, m]: on the CPU in float32 and float64 one pass over memory behind the
/// dense product, or with it where m is small. Any derivative with respect to z, w and b.
Tensor cell(const AdjacencyPtr& a, const Tensor& z, const Tensor& w, const Tensor& b);
/// The same by ATen's operations alone: for other devices and dtypes.
Tensor plain_cell(const AdjacencyPtr& a, const Tensor& z, const Tensor& w, const Tensor& b);

}  // namespace zstar_ignn
