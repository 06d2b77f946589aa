#pragma once
/// \file What a data set made of its files and weights depend on: kept with a run, so that they mean the same when the files change. By query.

#include <string>
#include <string_view>
#include <vector>

namespace zstar {

/// By query of a data set.
class Keeps {
 public:
  static constexpr std::string_view id = "zstar.dataset.keeps/1";
  struct File {
    std::string option;  ///< of the data set, a text: a file of that content, if it is there, is read
    std::string bytes;
  };
  /// What a run keeps; with each option set to a file of its bytes, the data set is made as it was.
  virtual std::vector<File> kept() const = 0;

 protected:
  ~Keeps() = default;
};

}  // namespace zstar
