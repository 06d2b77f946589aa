#pragma once
/// \file What a trained model says of inputs without labels.

#include <string>
#include <vector>

#include "core/training/session.hpp"

namespace zstar::training {

/// One row of an answer: probabilities of the classes (or tokens), or the values themselves.
struct Prediction {
  std::string name;  ///< of the input: a file, "node 17"
  std::vector<double> values;
};

struct Predictions {
  std::vector<std::string> classes;  ///< names, where the data set has them
  std::vector<Prediction> rows;
};

/// \param sources  files or folders; empty: the test split
/// \throws std::runtime_error  if the model predicts nothing, or the data set reads no such inputs
Predictions predict(Session& session, const std::vector<std::string>& sources);

struct Continuation {
  std::string prompt;
  std::int64_t tokens = 100;
  double temperature = 1.0;  ///< 0: always the likeliest token
  std::uint64_t seed = 1;
};
/// The prompt and what the model makes of it, token by token. \throws std::runtime_error  if the data are no sequences of tokens
std::string continued(Session& session, const Continuation& request);

/// CSV with a heading: name, the likeliest class, one column for each value.
std::string csv_of(const Predictions& predictions);

}  // namespace zstar::training
