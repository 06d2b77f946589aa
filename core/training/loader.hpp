#pragma once
/// \file Loader: batches of one pass in their order, loaded ahead by threads.

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "zstar/abi/dataset.hpp"

namespace zstar::training {

class Loader {
 public:
  /// \param first  batch to begin with \param ahead  batches loaded in advance; 0: none, in this thread \param threads  that load ahead, one batch each
  Loader(const Dataset& dataset, Split split, std::vector<std::vector<std::int64_t>> batches, std::uint64_t seed, std::int64_t first,
         std::int64_t ahead, std::int64_t threads = 1);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader();

  /// The next batch; nothing at the end. \throws whatever the data set threw
  std::optional<Batch> next();

 private:
  struct Loaded {
    Batch batch;
    std::exception_ptr failure;
  };
  Batch load(std::size_t index) const;
  void work();

  const Dataset& dataset_;
  const Split split_;
  const std::vector<std::vector<std::int64_t>> batches_;
  const std::uint64_t seed_;
  const std::size_t ahead_;
  std::size_t taken_, begun_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::size_t, Loaded> ready_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace zstar::training
