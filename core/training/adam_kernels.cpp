#include "core/training/adam_kernels.hpp"

#include <cmath>

#include "zstar/clones.hpp"

namespace zstar::training::kernels {
namespace {

template <class T>
ZSTAR_INLINE void adam_body(const AdamFactors& f, const T* g, std::int64_t n, T* p, T* m, T* v) {
  const T beta1 = static_cast<T>(f.beta1), beta2 = static_cast<T>(f.beta2), new1 = static_cast<T>(1 - f.beta1), new2 = static_cast<T>(1 - f.beta2);
  const T decay = static_cast<T>(f.decay), shrink = static_cast<T>(f.shrink), step = static_cast<T>(f.step), root = static_cast<T>(f.root);
  const T epsilon = static_cast<T>(f.epsilon);
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    const T gradient = decay != 0 ? g[i] + decay * p[i] : g[i];  // 0 · ∞ is no number
    m[i] = beta1 * m[i] + new1 * gradient;
    v[i] = beta2 * v[i] + new2 * gradient * gradient;
    p[i] = shrink * p[i] - step * m[i] / (std::sqrt(v[i]) / root + epsilon);
  }
}

}  // namespace

ZSTAR_CLONES void adam(const AdamFactors& f, const float* g, std::int64_t n, float* p, float* m, float* v) { adam_body(f, g, n, p, m, v); }
ZSTAR_CLONES void adam(const AdamFactors& f, const double* g, std::int64_t n, double* p, double* m, double* v) { adam_body(f, g, n, p, m, v); }

}  // namespace zstar::training::kernels
