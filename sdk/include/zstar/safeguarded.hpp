#pragma once
/// \file What solvers share whose samples go back to their best where the residual grows. Compiled into the plugin; nothing here
/// crosses the boundary.

#include "zstar/claims.hpp"
#include "zstar/options.hpp"
#include "zstar/residual_window.hpp"

namespace zstar {

/// The option `growth` of such a solver.
template <class O>
Opt<O, double> growth_option() {
  return opt("growth", &O::growth, "a sample whose residual exceeds this many times its best starts again from there", above(1.0));
}

/// A solver of which a sample takes the image of its best iterate, not the next step, where its residual exceeds `growth` times
/// its best. A solver that remembers more extends begin and keep.
class Safeguarded : public Solver {
 public:
  void* query(std::string_view id) override { return id == Claims::id ? &claims_ : nullptr; }
  void begin(std::int64_t /*batch*/, std::int64_t /*width*/) override { fallback_.clear(); }
  void keep(const Tensor& rows) override { fallback_.keep(rows); }
  Tensor propose(const Tensor& z, const Tensor& fz) final {
    const Tensor r = fz - z, failed = fallback_.failed(r, fz), next = step(z, fz, r, failed);
    return pick(failed, fallback_.image(), next);
  }

 protected:
  Safeguarded(Products& products, double growth, Claims claims = {}) : products_(products), claims_(claims), fallback_(products, growth) {}

  /// The next iterate of the samples that do not go back. \param r  fz − z \param failed  bool [B]: those that do
  virtual Tensor step(const Tensor& z, const Tensor& fz, const Tensor& r, const Tensor& failed) = 0;

  Products& products_;

 private:
  Claims claims_;
  Fallback fallback_;
};

/// The same with a window of the last residuals, of which a sample that goes back knows nothing any more.
class SafeguardedWindow : public Safeguarded {
 public:
  void begin(std::int64_t batch, std::int64_t width) override {
    Safeguarded::begin(batch, width);
    window_.clear();
  }
  void keep(const Tensor& rows) override {
    Safeguarded::keep(rows);
    window_.keep(rows);
  }

 protected:
  SafeguardedWindow(Products& products, std::int64_t memory, double growth, Claims claims = {})
      : Safeguarded(products, growth, claims), window_(products, memory + 1) {}

  /// Adds (z, fz) to the window and combines what it holds.
  virtual Tensor mixed(const Tensor& z, const Tensor& fz, const Tensor& r) = 0;

  ResidualWindow window_;

 private:
  Tensor step(const Tensor& z, const Tensor& fz, const Tensor& r, const Tensor& failed) final {
    Tensor next = mixed(z, fz, r);
    window_.forget(failed);
    return next;
  }
};

}  // namespace zstar
