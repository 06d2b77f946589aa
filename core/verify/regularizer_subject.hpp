#pragma once
/// \file A regularizer under test, on solved equilibria of small maps.

#include "core/verify/subject.hpp"
#include "zstar/abi/regularizer.hpp"

namespace zstar::verify {

class RegularizerSubject : public Subject {
 public:
  using Subject::Subject;
};

const std::vector<Check<RegularizerSubject>>& regularizer_checks();

}  // namespace zstar::verify
