#pragma once
/// \file A norm under test, on weights of every kind of layer.

#include "core/verify/subject.hpp"

namespace zstar::verify {

class NormSubject : public Subject {
 public:
  using Subject::Subject;
};

const std::vector<Check<NormSubject>>& norm_checks();

}  // namespace zstar::verify
