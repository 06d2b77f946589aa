#pragma once
/// \file The step of Adam as a loop over numbers, compiled for the instruction sets of several processors.

#include <cstdint>

namespace zstar::training::kernels {

struct AdamFactors {
  double beta1, beta2;
  double decay;   ///< added to the gradient, times the weight
  double shrink;  ///< of the weight before the step: 1 − η λ where decay is decoupled, else 1
  double step;    ///< η / (1 − β₁ᵗ)
  double root;    ///< √(1 − β₂ᵗ)
  double epsilon;
};

/// m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², p ← shrink p − step m / (√v / root + ε), over n numbers.
void adam(const AdamFactors& f, const float* g, std::int64_t n, float* p, float* m, float* v);
void adam(const AdamFactors& f, const double* g, std::int64_t n, double* p, double* m, double* v);

}  // namespace zstar::training::kernels
