#include "sum_kernels.hpp"

#include <algorithm>

#include <zstar/clones.hpp>

namespace zstar_mdeq::kernels {
namespace {

/// y = x, or y += x.
template <class T>
ZSTAR_INLINE void take(T* y, const T* x, std::int64_t n, bool first) {
  if (first) {
    std::copy(x, x + n, y);
    return;
  }
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
ZSTAR_INLINE void sum_body(const Term<const T>* terms, std::int64_t count, std::int64_t height, std::int64_t width, std::int64_t channels, T* y) {
  const std::int64_t n = width * channels;
  for (std::int64_t h = 0; h < height; ++h, y += n) {
    for (std::int64_t k = 0; k < count; ++k) {
      const Term<const T>& t = terms[k];
      if (!t.row) take(y, t.x + h * n, n, k == 0);
      else
        for (std::int64_t w = 0; w < width; ++w) take(y + w * channels, t.x + (t.row[h] * t.width + t.column[w]) * channels, channels, k == 0);
    }
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = y[i] < T(0) ? T(0) : y[i];  // a NaN passes
  }
}

template <class T>
ZSTAR_INLINE void backward_body(const Term<T>* terms, std::int64_t count, std::int64_t height, std::int64_t width, std::int64_t channels, const T* y, const T* dy, T* g) {
  const std::int64_t n = width * channels;
  for (std::int64_t h = 0; h < height; ++h, y += n, dy += n, g += n) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) g[i] = y[i] <= T(0) ? T(0) : dy[i];
    for (std::int64_t k = 0; k < count; ++k) {
      const Term<T>& t = terms[k];
      if (!t.row || !t.x) continue;
      for (std::int64_t w = 0; w < width; ++w) take(t.x + (t.row[h] * t.width + t.column[w]) * channels, g + w * channels, channels, false);
    }
  }
}

}  // namespace

#define ZSTAR_SUM_OF(T)                                                                                                                            \
  template <>                                                                                                                                      \
  ZSTAR_CLONES void sum<T>(const Term<const T>* terms, std::int64_t count, std::int64_t h, std::int64_t w, std::int64_t c, T* y) {                 \
    sum_body(terms, count, h, w, c, y);                                                                                                            \
  }                                                                                                                                                \
  template <>                                                                                                                                      \
  ZSTAR_CLONES void sum_backward<T>(const Term<T>* terms, std::int64_t count, std::int64_t h, std::int64_t w, std::int64_t c, const T* y, const T* dy, T* g) { \
    backward_body(terms, count, h, w, c, y, dy, g);                                                                                                \
  }

ZSTAR_SUM_OF(float)
ZSTAR_SUM_OF(double)
ZSTAR_SUM_OF(c10::BFloat16)

}  // namespace zstar_mdeq::kernels
