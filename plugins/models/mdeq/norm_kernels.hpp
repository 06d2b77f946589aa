#pragma once
/// \file The loops of the fused group norm: one sample, `pixels` rows of `channels` numbers (channels last). T: float, double, c10::BFloat16; the
/// arithmetic is float for the last, sums are double.

#include <cstdint>

#include <c10/util/BFloat16.h>

namespace zstar_mdeq::kernels {

constexpr double epsilon = 1e-5;  ///< added to the variance

/// Of one sample; null pointers leave their part out. `scale`, `shift`, `mask`: one number a channel.
template <class T>
struct Sample {
  std::int64_t pixels, channels, groups;
  const T *x, *add, *skip, *scale, *shift, *mask;
  bool relu;
};

/// Of the result `y` and its gradient; null pointers of what is not wanted.
template <class T>
struct Gradients {
  const T *y, *dy;
  const double* moments;
  T *dx, *dadd, *dskip;
  double *dscale, *dshift;  ///< one number a channel
};

/// Writes y, and the mean and 1 / standard deviation of every group to `moments` (2 · groups), for backward.
template <class T>
void forward(const Sample<T>& s, T* y, double* moments);
template <class T>
void backward(const Sample<T>& s, const Gradients<T>& d);

}  // namespace zstar_mdeq::kernels
