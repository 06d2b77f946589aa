#pragma once
/// \file A gradient method under test, in a layer whose solves are exact to rounding.

#include "core/verify/subject.hpp"
#include "zstar/testing/maps.hpp"

namespace zstar::verify {

class GradientSubject : public Subject {
 public:
  using Subject::Subject;

  std::shared_ptr<gradient::Layer> layer(const gradient::Options& options = {}, const solve::Options& adjoint = {.tolerance = 1e-12, .max_evaluations = 200}) const {
    return exact_layer(make<GradientMethod>(), make<GradientMethod>(), options, adjoint);
  }
  GradientClaims said() const { return claims<GradientClaims>(); }
  /// Affine, of spectral norm `norm`; symmetric if the method is for such maps alone. b requires gradients.
  testing::AffineMap affine(double norm, std::uint64_t seed) const;
};

const std::vector<Check<GradientSubject>>& gradient_checks();

}  // namespace zstar::verify
