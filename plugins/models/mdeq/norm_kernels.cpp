#include "norm_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include <zstar/clones.hpp>

namespace zstar_mdeq::kernels {
namespace {

template <class T>
using Arithmetic = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// A sample is walked in strips of whole pixels; what belongs to a channel is repeated along a strip, so that the inner loops are flat and long
/// whatever the number of channels is.
template <class A>
class Strips {
 public:
  Strips(std::int64_t pixels, std::int64_t channels, int rows)
      : channels_(channels), length_(std::max<std::int64_t>(1, 512 / channels) * channels), total_(pixels * channels), scratch_(static_cast<std::size_t>(rows * length_)) {}

  std::int64_t length() const { return length_; }
  A* row(int k) { return scratch_.data() + k * length_; }
  /// Fills row k with value(channel), repeated.
  template <class F>
  ZSTAR_INLINE A* fill(int k, const F& value) {
    A* out = row(k);
    for (std::int64_t c = 0; c < channels_; ++c) out[c] = static_cast<A>(value(c));
    for (std::int64_t i = channels_; i < length_; ++i) out[i] = out[i - channels_];
    return out;
  }
  /// body(offset of the strip, its length)
  template <class F>
  ZSTAR_INLINE void each(const F& body) const {
    for (std::int64_t at = 0; at < total_; at += length_) body(at, std::min(length_, total_ - at));
  }
  /// out[channel] = Σ term(entry, place in the strip); 64 strips at most are added in A, these sums in double.
  template <class F>
  ZSTAR_INLINE void sum(int k, double* out, const F& term) {
    A* part = row(k);
    std::fill(out, out + channels_, 0.0);
    for (std::int64_t begin = 0; begin < total_; begin += 64 * length_) {
      std::fill(part, part + length_, A(0));
      const std::int64_t end = std::min(total_, begin + 64 * length_);
      for (std::int64_t at = begin; at < end; at += length_) {
        const std::int64_t n = std::min(length_, end - at);
#pragma GCC ivdep
        for (std::int64_t i = 0; i < n; ++i) part[i] += term(at + i, i);
      }
      for (std::int64_t i = 0; i < length_; i += channels_)
        for (std::int64_t c = 0; c < channels_; ++c) out[c] += static_cast<double>(part[i + c]);
    }
  }

 private:
  std::int64_t channels_, length_, total_;
  std::vector<A> scratch_;
};

/// Calls f with each flag as a constant, so that loops hold no test.
template <class F>
ZSTAR_INLINE void unrolled(const F& f) {
  f();
}
template <class F, class... Flags>
ZSTAR_INLINE void unrolled(const F& f, bool first, Flags... rest) {
  if (first) unrolled([&](auto... more) ZSTAR_FLAT { f(std::true_type{}, more...); }, rest...);
  else unrolled([&](auto... more) ZSTAR_FLAT { f(std::false_type{}, more...); }, rest...);
}

/// Means over the groups of what was summed over channels.
ZSTAR_INLINE void group_means(const double* channel, std::int64_t channels, std::int64_t groups, std::int64_t pixels, double* group) {
  const std::int64_t wide = channels / groups;
  for (std::int64_t g = 0; g < groups; ++g) {
    double total = 0;
    for (std::int64_t c = g * wide; c < (g + 1) * wide; ++c) total += channel[c];
    group[g] = total / static_cast<double>(wide * pixels);
  }
}

template <class T>
ZSTAR_INLINE void forward_body(const Sample<T>& s, T* y, double* moments) {
  using A = Arithmetic<T>;
  const std::int64_t C = s.channels, wide = C / s.groups;
  Strips<A> strips(s.pixels, C, 5);
  std::vector<double> sums(static_cast<std::size_t>(C + s.groups));
  double *channel = sums.data(), *group = channel + C;
  const A* m = strips.fill(0, [&s](std::int64_t c) ZSTAR_FLAT { return s.mask ? static_cast<A>(s.mask[c]) : A(1); });
  unrolled([&](auto add, auto skip, auto relu) ZSTAR_FLAT {
    const auto input = [&](std::int64_t k, std::int64_t i) ZSTAR_FLAT {
      A v = static_cast<A>(s.x[k]) * m[i];
      if constexpr (add) v += static_cast<A>(s.add[k]);
      return v;
    };
    strips.sum(4, channel, input);
    group_means(channel, C, s.groups, s.pixels, group);
    for (std::int64_t g = 0; g < s.groups; ++g) moments[2 * g] = group[g];
    const A* center = strips.fill(1, [&](std::int64_t c) ZSTAR_FLAT { return moments[2 * (c / wide)]; });
    strips.sum(4, channel, [&](std::int64_t k, std::int64_t i) ZSTAR_FLAT {
      const A d = input(k, i) - center[i];
      return d * d;
    });
    group_means(channel, C, s.groups, s.pixels, group);
    for (std::int64_t g = 0; g < s.groups; ++g) moments[2 * g + 1] = 1 / std::sqrt(group[g] + epsilon);
    const A* a = strips.fill(2, [&](std::int64_t c) ZSTAR_FLAT { return moments[2 * (c / wide) + 1] * static_cast<double>(s.scale[c]); });
    const A* b = strips.fill(3, [&](std::int64_t c) ZSTAR_FLAT { return s.shift[c]; });
    strips.each([&](std::int64_t at, std::int64_t n) ZSTAR_FLAT {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) {
        A v = (input(at + i, i) - center[i]) * a[i] + b[i];
        if constexpr (skip) v += static_cast<A>(s.skip[at + i]);
        if constexpr (relu) v = v < A(0) ? A(0) : v;  // a NaN passes
        y[at + i] = static_cast<T>(v);
      }
    });
  }, s.add != nullptr, s.skip != nullptr, s.relu);
}

/// With x̂ the normalised input and g = dy where the result is positive: dv = (γ g − ⟨γ g⟩ − x̂ ⟨γ g x̂⟩) / σ, means over the group.
template <class T>
ZSTAR_INLINE void backward_body(const Sample<T>& s, const Gradients<T>& d) {
  using A = Arithmetic<T>;
  const std::int64_t C = s.channels, wide = C / s.groups;
  Strips<A> strips(s.pixels, C, 7);
  std::vector<double> sums(static_cast<std::size_t>(3 * C + 2 * s.groups));
  double *plain = sums.data(), *along = plain + C, *weighted = along + C, *offset = weighted + C, *tilt = offset + s.groups;
  const A* m = strips.fill(0, [&s](std::int64_t c) ZSTAR_FLAT { return s.mask ? static_cast<A>(s.mask[c]) : A(1); });
  const A* mean = strips.fill(1, [&](std::int64_t c) ZSTAR_FLAT { return d.moments[2 * (c / wide)]; });
  const A* inverse = strips.fill(2, [&](std::int64_t c) ZSTAR_FLAT { return d.moments[2 * (c / wide) + 1]; });
  unrolled([&](auto add, auto relu) ZSTAR_FLAT {
    const auto slope = [&](std::int64_t k) ZSTAR_FLAT {
      const A g = static_cast<A>(d.dy[k]);
      if constexpr (relu) return static_cast<A>(d.y[k]) > A(0) ? g : A(0);
      return g;
    };
    const auto normal = [&](std::int64_t k, std::int64_t i) ZSTAR_FLAT {
      A v = static_cast<A>(s.x[k]) * m[i];
      if constexpr (add) v += static_cast<A>(s.add[k]);
      return (v - mean[i]) * inverse[i];
    };
    strips.sum(6, plain, [&](std::int64_t k, std::int64_t) ZSTAR_FLAT { return slope(k); });
    strips.sum(6, along, [&](std::int64_t k, std::int64_t i) ZSTAR_FLAT { return slope(k) * normal(k, i); });
    const auto over_groups = [&](const double* channel, double* group) ZSTAR_FLAT {
      for (std::int64_t c = 0; c < C; ++c) weighted[c] = channel[c] * static_cast<double>(s.scale[c]);
      group_means(weighted, C, s.groups, s.pixels, group);
    };
    over_groups(plain, offset);
    over_groups(along, tilt);
    const A* p = strips.fill(3, [&](std::int64_t c) ZSTAR_FLAT { return d.moments[2 * (c / wide) + 1] * static_cast<double>(s.scale[c]); });
    const A* q = strips.fill(4, [&](std::int64_t c) ZSTAR_FLAT { return d.moments[2 * (c / wide) + 1] * offset[c / wide]; });
    const A* r = strips.fill(5, [&](std::int64_t c) ZSTAR_FLAT { return d.moments[2 * (c / wide) + 1] * tilt[c / wide]; });
    A* dv = strips.row(6);
    strips.each([&](std::int64_t at, std::int64_t n) ZSTAR_FLAT {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) dv[i] = p[i] * slope(at + i) - q[i] - normal(at + i, i) * r[i];
      if (d.dx)
#pragma GCC ivdep
        for (std::int64_t i = 0; i < n; ++i) d.dx[at + i] = static_cast<T>(dv[i] * m[i]);
      if (d.dadd)
#pragma GCC ivdep
        for (std::int64_t i = 0; i < n; ++i) d.dadd[at + i] = static_cast<T>(dv[i]);
      if (d.dskip)
#pragma GCC ivdep
        for (std::int64_t i = 0; i < n; ++i) d.dskip[at + i] = static_cast<T>(slope(at + i));
    });
  }, s.add != nullptr, s.relu);
  if (d.dscale) std::copy(along, along + C, d.dscale), std::copy(plain, plain + C, d.dshift);
}

}  // namespace

#define ZSTAR_NORM_OF(T)                                                                                               \
  template <>                                                                                                          \
  ZSTAR_CLONES void forward<T>(const Sample<T>& s, T* y, double* moments) { forward_body(s, y, moments); }             \
  template <>                                                                                                          \
  ZSTAR_CLONES void backward<T>(const Sample<T>& s, const Gradients<T>& d) { backward_body(s, d); }

ZSTAR_NORM_OF(float)
ZSTAR_NORM_OF(double)
ZSTAR_NORM_OF(c10::BFloat16)

}  // namespace zstar_mdeq::kernels
