#pragma once
/// \file Prediction: what a trained model says of inputs without labels, how a data set reads such inputs and names the answers.
/// All of it is by query: a model or data set without these abilities stays as it is.

#include <string>
#include <string_view>
#include <vector>

#include "zstar/abi/dataset.hpp"

namespace zstar {

/// By query of a model.
class Predicts {
 public:
  static constexpr std::string_view id = "zstar.model.predict/2";
  /// What the model says of a batch that may lack labels; called in evaluation mode without gradient. A model that remembers
  /// across batches goes on from the batch before, until begin_pass().
  /// \return  probabilities, rows summing to one: of the classes of every sample [B, classes], of every node of a graph
  ///   [nodes, classes], or of the token after the last of every sequence [B, tokens]; of a regression the values(), [B, values, …]
  virtual Tensor predict(const Batch& batch) = 0;
  /// What a regression predicts, by name ("u", "v"), in the order of axis 1; empty: probabilities.
  virtual std::vector<std::string> values() const { return {}; }

 protected:
  ~Predicts() = default;
};

/// Inputs for prediction: a batch, and what to call each row of its prediction (a file, "node 17").
struct Inputs {
  Batch batch;
  std::vector<std::string> names;
};

/// By query of a data set: inputs that are not part of it, prepared as its own samples are in evaluation.
class ReadsInputs {
 public:
  static constexpr std::string_view id = "zstar.dataset.inputs/1";
  /// \param sources  files or folders; empty: the test split \throws std::runtime_error  naming the source that cannot be read
  virtual std::vector<Inputs> read(const std::vector<std::string>& sources) const = 0;
  /// Names of the classes, in the order of the predictions; empty: they have numbers alone.
  virtual std::vector<std::string> classes() const = 0;

 protected:
  ~ReadsInputs() = default;
};

/// By query of a data set of sequences of tokens: text to tokens and back, by its vocabulary.
class Tokens {
 public:
  static constexpr std::string_view id = "zstar.dataset.tokens/1";
  /// \return int64 [n] \throws std::invalid_argument  naming the first token that the vocabulary does not have
  virtual Tensor encode(std::string_view text) const = 0;
  virtual std::string decode(const Tensor& tokens) const = 0;
  /// A batch of one sequence, as the model wants it. \param tokens  int64 [n]
  virtual Batch sequence(const Tensor& tokens) const = 0;

 protected:
  ~Tokens() = default;
};

}  // namespace zstar
