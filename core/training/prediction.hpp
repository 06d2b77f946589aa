#pragma once
/// \file What a trained model says of inputs without labels.

#include <string>
#include <vector>

#include "core/training/session.hpp"
#include "zstar/predict.hpp"

namespace zstar::training {

/// One row of an answer: probabilities of the classes (or tokens), or the values of a regression.
struct Prediction {
  std::string name;  ///< of the input: a file; the number of the sample in its data set, of the node in its graph, or "GRAPH/NODE"
  std::vector<double> values;
};

struct Predictions {
  std::vector<std::string> classes;  ///< names, where the data set has them
  std::vector<Prediction> rows;
  std::vector<std::string> values = {};  ///< names of what a regression predicts; empty: probabilities
};

/// What was read, in batches of that size, the last one smaller: samples that do not depend on one another.
std::vector<Inputs> rebatched(const std::vector<Inputs>& inputs, std::int64_t batch_size);

/// \param sources  files or folders, one after the other; empty: the test split in batches of that size, of one graph the nodes that test
/// \throws std::runtime_error  if the model predicts nothing, or the data set reads no such inputs
Predictions predict(Session& session, const std::vector<std::string>& sources, std::int64_t batch_size);

struct Continuation {
  std::string prompt;
  std::int64_t tokens = 100;
  double temperature = 1.0;  ///< 0: always the likeliest token
  std::uint64_t seed = 1;
};
/// Probabilities p at a temperature T > 0, however small: softmax(log p / T). \param p  [tokens], float64
Tensor tempered(const Tensor& p, double temperature);
/// The prompt and what the model makes of it, token by token. \throws std::runtime_error  if the data are no sequences of tokens
std::string continued(Session& session, const Continuation& request);

/// CSV with a heading, quoted as RFC 4180 says: name, the likeliest class, one column for each class; or name, one column for each value.
/// \throws std::runtime_error  if the values cannot be those that are named, or the rows have not all as many
std::string csv_of(const Predictions& predictions);

}  // namespace zstar::training
