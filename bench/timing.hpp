#pragma once
/// \file How benchmarks take their times: one thread, time of the processor, so that other work on the machine takes part only
/// through the caches.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <vector>

#include <ATen/Parallel.h>

namespace zstar::bench {

/// To be called first in main.
inline void one_thread(char** argv) {
  if (std::getenv("OPENBLAS_NUM_THREADS") == nullptr) {  // OpenBLAS has threads of its own, and reads this once, when it is loaded
    ::setenv("OPENBLAS_NUM_THREADS", "1", 1);
    ::execv("/proc/self/exe", argv);
  }
  at::set_num_threads(1);
}

template <class F>
double microseconds(const F& run) {
  const auto now = [] {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e6 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_nsec);
  };
  const double start = now();
  run();
  return now() - start;
}

inline double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace zstar::bench
