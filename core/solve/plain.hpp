#pragma once
/// \file Plain iteration z ← f(z): one evaluation of it measures a state, and other methods are compared with it.

#include "zstar/abi/solver.hpp"

namespace zstar::solve {

class Plain final : public Solver {
 public:
  void begin(std::int64_t, std::int64_t) override {}
  Tensor propose(const Tensor&, const Tensor& fz) override { return fz; }
  void keep(const Tensor&) override {}
};

}  // namespace zstar::solve
