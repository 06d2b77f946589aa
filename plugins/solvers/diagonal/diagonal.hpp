#pragma once
/// \file Quasi-Newton iteration with a diagonal Jacobian.

#include <zstar/safeguarded.hpp>
#include <zstar/sdk.hpp>

namespace zstar_diagonal {
namespace {

using torch::Tensor;

/// z⁺ = z − g / d on g(z) = f(z) − z, with a diagonal d for ∂g/∂z, d_0 = −1; a sample that goes back to its best iterate goes back
/// to d = −1 as well. Its estimate of (J − I)⁻¹ is diag(d)⁻¹, −I before there is a d.
class Diagonal : public zstar::Safeguarded, public zstar::InverseJacobian {
 public:
  void* query(std::string_view id) final { return id == zstar::InverseJacobian::id ? static_cast<zstar::InverseJacobian*>(this) : Safeguarded::query(id); }
  Tensor apply(const Tensor& v) final { return d_.defined() ? v / divisor(d_) : -v; }
  Tensor apply_transpose(const Tensor& v) final { return apply(v); }
  void begin(std::int64_t batch, std::int64_t width) final {
    Safeguarded::begin(batch, width);
    z_ = g_ = d_ = Tensor();
  }
  void keep(const Tensor& rows) final {
    Safeguarded::keep(rows);
    zstar::keep_rows({&z_, &g_, &d_}, rows);
  }

 protected:
  using Safeguarded::Safeguarded;
  /// d⁺ of d, Δz and Δg. \param z  where the step led
  virtual Tensor learnt(const Tensor& d, const Tensor& z, const Tensor& dz, const Tensor& dg) const = 0;
  /// What g is divided by.
  virtual Tensor divisor(const Tensor& d) const { return d; }

 private:
  Tensor step(const Tensor& z, const Tensor& /*fz*/, const Tensor& g, const Tensor& failed) final {
    const Tensor first = torch::full_like(z, -1.0);
    d_ = d_.defined() ? zstar::pick(failed, first, learnt(d_, z, z - z_, g - g_)) : first;
    z_ = z, g_ = g;
    return z - g / divisor(d_);
  }

  Tensor z_, g_, d_;  // last iterate, its residual, the diagonal; [B, D]
};

}  // namespace
}  // namespace zstar_diagonal
