#pragma once
/// \file A data set under test, made with its defaults.

#include "core/verify/subject.hpp"
#include "zstar/abi/dataset.hpp"

namespace zstar::verify {

class DatasetSubject : public Subject {
 public:
  using Subject::Subject;
  /// Skips the data set where its defaults do not suffice, with what it says.
  void construct(Scope& scope) const;
};

const std::vector<Check<DatasetSubject>>& dataset_checks();

/// The data set with its defaults, or null where these do not suffice; then `why` says what it said.
std::unique_ptr<Dataset> with_defaults(plugins::Catalogue& catalogue, Host& host, const std::string& full_name, std::string& why);

}  // namespace zstar::verify
