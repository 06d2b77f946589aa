#include "norm_kernels.hpp"

#include <cmath>

// One body, three instruction sets, chosen by the loader.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZSTAR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ZSTAR_CLONES
#endif
#define ZSTAR_INLINE inline __attribute__((always_inline))

namespace zstar_mdeq::kernels {
namespace {

constexpr double epsilon = 1e-5;
constexpr std::int64_t lanes = 32;  // independent partial sums, so that wide registers need no reordered addition

/// Σ term(i) for i < n; each lane sums n / lanes numbers in T, the lanes are added in double.
template <class T, class F>
ZSTAR_INLINE double sum(std::int64_t n, const F& term) {
  T partial[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::int64_t l = 0; l < lanes; ++l) partial[l] += term(i + l);
  for (std::int64_t l = 0; i < n; ++i, ++l) partial[l] += term(i);
  double total = 0;
  for (const T p : partial) total += static_cast<double>(p);
  return total;
}

/// The channel's input of the norm.
template <class T>
ZSTAR_INLINE T input(const T* x, const T* add, T m, std::int64_t i) {
  return add ? x[i] * m + add[i] : x[i] * m;
}

template <class T>
ZSTAR_INLINE void apply(const T* x, const T* add, const T* skip, T m, T a, T b, bool relu, std::int64_t n, T* y) {
  for (std::int64_t i = 0; i < n; ++i) {
    T v = a * input(x, add, m, i) + b;
    if (skip) v += skip[i];
    y[i] = relu && v < T(0) ? T(0) : v;  // a NaN passes
  }
}

template <class T>
ZSTAR_INLINE void forward_body(const Group<T>& g, T* y, T* moments) {
  const auto at = [&g](const T* p, std::int64_t c) { return p ? p + c * g.n : nullptr; };
  double total = 0, squares = 0;
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const T *x = at(g.x, c), *add = at(g.add, c), m = g.mask ? g.mask[c] : T(1);
    total += add ? sum<T>(g.n, [=](std::int64_t i) { return x[i] * m + add[i]; }) : sum<T>(g.n, [=](std::int64_t i) { return x[i] * m; });
  }
  const double count = static_cast<double>(g.channels * g.n), mean = total / count;
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const T *x = at(g.x, c), *add = at(g.add, c), m = g.mask ? g.mask[c] : T(1), center = static_cast<T>(mean);
    const auto square = [center](T v) { return (v - center) * (v - center); };
    squares += add ? sum<T>(g.n, [=](std::int64_t i) { return square(x[i] * m + add[i]); }) : sum<T>(g.n, [=](std::int64_t i) { return square(x[i] * m); });
  }
  const double inverse = 1 / std::sqrt(squares / count + epsilon);
  moments[0] = static_cast<T>(mean), moments[1] = static_cast<T>(inverse);
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const double slope = inverse * static_cast<double>(g.scale[c]);
    const T m = g.mask ? g.mask[c] : T(1), a = static_cast<T>(slope), b = static_cast<T>(static_cast<double>(g.shift[c]) - slope * mean);
    const T *x = at(g.x, c), *add = at(g.add, c), *skip = at(g.skip, c);
    T* out = y + c * g.n;
    if (add && skip) apply<T>(x, add, skip, m, a, b, g.relu, g.n, out);
    else if (add) apply<T>(x, add, nullptr, m, a, b, g.relu, g.n, out);
    else if (skip) apply<T>(x, nullptr, skip, m, a, b, g.relu, g.n, out);
    else apply<T>(x, nullptr, nullptr, m, a, b, g.relu, g.n, out);
  }
}

/// With x̂ the normalised input and g = dy where the result is positive: dv = (γ g − ⟨γ g⟩ − x̂ ⟨γ g x̂⟩) / σ, means over the group.
template <class T>
ZSTAR_INLINE void backward_body(const Group<T>& g, const Gradients<T>& d) {
  const auto at = [&g](const T* p, std::int64_t c) { return p ? p + c * g.n : nullptr; };
  const T mean = d.moments[0], inverse = d.moments[1];
  double first = 0, second = 0;
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const T *x = at(g.x, c), *add = at(g.add, c), *y = at(d.y, c), *dy = at(d.dy, c), m = g.mask ? g.mask[c] : T(1);
    const bool relu = g.relu;
    const auto slope = [=](std::int64_t i) { return relu && !(y[i] > T(0)) ? T(0) : dy[i]; };
    const double plain = sum<T>(g.n, slope);
    const double along = add ? sum<T>(g.n, [=](std::int64_t i) { return slope(i) * ((x[i] * m + add[i] - mean) * inverse); })
                             : sum<T>(g.n, [=](std::int64_t i) { return slope(i) * ((x[i] * m - mean) * inverse); });
    first += plain * static_cast<double>(g.scale[c]);
    second += along * static_cast<double>(g.scale[c]);
    if (d.dscale) d.dscale[c] += along, d.dshift[c] += plain;
  }
  const double count = static_cast<double>(g.channels * g.n);
  const T offset = static_cast<T>(first / count), tilt = static_cast<T>(second / count);
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const T *x = at(g.x, c), *add = at(g.add, c), *y = at(d.y, c), *dy = at(d.dy, c), m = g.mask ? g.mask[c] : T(1), scale = g.scale[c];
    T *dx = d.dx ? d.dx + c * g.n : nullptr, *dadd = d.dadd ? d.dadd + c * g.n : nullptr, *dskip = d.dskip ? d.dskip + c * g.n : nullptr;
    for (std::int64_t i = 0; i < g.n; ++i) {
      const T slope = g.relu && !(y[i] > T(0)) ? T(0) : dy[i];
      const T dv = inverse * (scale * slope - offset - (input(x, add, m, i) - mean) * inverse * tilt);
      if (dx) dx[i] = dv * m;
      if (dadd) dadd[i] = dv;
      if (dskip) dskip[i] = slope;
    }
  }
}

}  // namespace

ZSTAR_CLONES void forward(const Group<float>& g, float* y, float moments[2]) { forward_body(g, y, moments); }
ZSTAR_CLONES void forward(const Group<double>& g, double* y, double moments[2]) { forward_body(g, y, moments); }
ZSTAR_CLONES void backward(const Group<float>& g, const Gradients<float>& d) { backward_body(g, d); }
ZSTAR_CLONES void backward(const Group<double>& g, const Gradients<double>& d) { backward_body(g, d); }

}  // namespace zstar_mdeq::kernels
