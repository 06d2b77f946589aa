/// \file A Broyden method with one pair, to start from: replace the equation, the options and the names.
#include <zstar/sdk.hpp>

namespace {

using torch::Tensor;

/// Good Broyden with the last pair alone, s = Δz, t = Δf, y = t − s, g = f(z) − z, for each sample:
///
///   z⁺ = f(z) − t ⟨s, g⟩ / ⟨s, y⟩
class MySolver final : public zstar::Solver {
 public:
  struct Options {
    double longest = 10.0;
  };
  static auto options() {
    return std::tuple{zstar::opt("longest", &Options::longest, "largest |⟨s, g⟩ / ⟨s, y⟩|", zstar::above(0.0))};
  }
  MySolver(const Options& o, zstar::Host& host) : o_(o), products_(host.products()) {}

  void begin(std::int64_t, std::int64_t) override { z_ = fz_ = Tensor(); }
  void keep(const Tensor& rows) override {
    if (z_.defined()) z_ = z_.index_select(0, rows), fz_ = fz_.index_select(0, rows);
  }

  Tensor propose(const Tensor& z, const Tensor& fz) override {
    Tensor next = fz;
    if (z_.defined()) {
      const Tensor s = z - z_, t = fz - fz_;
      const Tensor d = products_.dots({s}, {fz - z, t - s}).squeeze(1);  // [B, 2]
      const Tensor c = (-d.select(1, 0) / d.select(1, 1)).nan_to_num(0.0, 0.0, 0.0).clamp(-o_.longest, o_.longest);
      next = products_.combine(fz, {t}, c.unsqueeze(1));
    }
    z_ = z, fz_ = fz;
    return next;
  }

 private:
  Options o_;
  zstar::Products& products_;
  Tensor z_, fz_;
};

}  // namespace

ZSTAR_PLUGIN("me.my-solver", "0.1.0", "my solvers")
ZSTAR_SOLVER(MySolver, "my_solver", "good Broyden with the last pair alone")
