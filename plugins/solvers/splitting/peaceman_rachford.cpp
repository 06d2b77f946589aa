/// \file Peaceman–Rachford splitting. Equations, symbols and sources: README.md.
#include <zstar/claims.hpp>
#include <zstar/sdk.hpp>
#include <zstar/splitting.hpp>

namespace {

using torch::Tensor;

/// u_{k+½} = 2 z_k − u_k, x = (I + α (I − W))⁻¹ (u_{k+½} + α c), u_{k+1} = 2 x − u_{k+½}, z_{k+1} = prox_α(u_{k+1}).
///
/// \par Cost per iteration  one solve with I + α (I − W), 4 passes over the state
/// \par Converges  linearly for every α where I − W is strongly monotone (Lions & Mercier 1979)
class PeacemanRachford final : public zstar::Solver, public zstar::UsesSplitting {
 public:
  struct Options {
    double alpha = 1.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("alpha", &Options::alpha, "α, step of both halves", zstar::above(0.0))};
  }
  PeacemanRachford(const Options& o, zstar::Host&) : alpha_(o.alpha) {}

  void* query(std::string_view id) override {
    if (id == zstar::Exemptions::id) return &exemptions_;
    return id == zstar::UsesSplitting::id ? static_cast<zstar::UsesSplitting*>(this) : nullptr;
  }
  void use(zstar::RowSplitting halves) override { halves_ = std::move(halves); }
  void begin(std::int64_t, std::int64_t) override { u_ = Tensor(); }
  void keep(const Tensor& rows) override {
    if (u_.defined()) u_ = u_.index_select(0, rows);
  }

  Tensor propose(const Tensor& z, const Tensor& /*fz*/) override {
    if (!halves_.resolvent)
      throw std::invalid_argument("solver 'peaceman_rachford' needs the two halves of the map, prox and affine part, and this model does not "
                                  "offer them; use anderson or broyden, or a model of monotone operators");
    const Tensor half = u_.defined() ? 2 * z - u_ : z;
    u_ = 2 * halves_.resolvent(half, alpha_) - half;
    return halves_.prox(u_, alpha_);
  }

 private:
  zstar::Exemptions exemptions_{{{"*", "it needs the two halves of a map, which the maps of these checks do not offer"}}};
  double alpha_;
  zstar::RowSplitting halves_;
  Tensor u_;  // [B, D]
};

}  // namespace

ZSTAR_SOLVER(PeacemanRachford, "peaceman_rachford", "Peaceman-Rachford splitting of a map that offers its halves")
