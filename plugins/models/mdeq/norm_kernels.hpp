#pragma once
/// \file The loops of the fused group norm: one group of one sample, C channels of n numbers each, contiguous.

#include <cstdint>

namespace zstar_mdeq::kernels {

/// Of one group; null pointers leave their part out. `scale`, `shift`, `mask`: one number a channel.
template <class T>
struct Group {
  std::int64_t channels, n;
  const T *x, *add, *skip, *scale, *shift, *mask;
  bool relu;
};

/// Writes y; `moments`: mean and 1 / standard deviation, for backward.
void forward(const Group<float>& g, float* y, float moments[2]);
void forward(const Group<double>& g, double* y, double moments[2]);

/// Of the result `y` and its gradient; null pointers of what is not wanted.
template <class T>
struct Gradients {
  const T *y, *dy, *moments;
  T *dx, *dadd, *dskip;
  double *dscale, *dshift;  ///< one number a channel, added to
};

void backward(const Group<float>& g, const Gradients<float>& d);
void backward(const Group<double>& g, const Gradients<double>& d);

}  // namespace zstar_mdeq::kernels
