#pragma once
/// \file Loader: batches of one pass, loaded ahead by a thread.

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "zstar/abi/dataset.hpp"

namespace zstar::training {

class Loader {
 public:
  /// \param first  batch to begin with \param ahead  batches loaded in advance; 0: none, in this thread
  Loader(const Dataset& dataset, Split split, std::vector<std::vector<std::int64_t>> batches, std::uint64_t seed, std::int64_t first,
         std::int64_t ahead);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader();

  /// The next batch; nothing at the end. \throws whatever the data set threw
  std::optional<Batch> next();

 private:
  Batch load(std::size_t index) const;
  void work();

  const Dataset& dataset_;
  const Split split_;
  const std::vector<std::vector<std::int64_t>> batches_;
  const std::uint64_t seed_;
  const std::size_t ahead_;
  std::size_t taken_, loaded_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::exception_ptr failure_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace zstar::training
