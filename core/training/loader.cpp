#include "core/training/loader.hpp"

#include <algorithm>

#include "zstar/guard.hpp"

namespace zstar::training {

Loader::Loader(const Dataset& dataset, Split split, std::vector<std::vector<std::int64_t>> batches, std::uint64_t seed,
               std::int64_t first, std::int64_t ahead, std::int64_t threads)
    : dataset_(dataset), split_(split), batches_(std::move(batches)), seed_(seed), ahead_(static_cast<std::size_t>(ahead)),
      taken_(static_cast<std::size_t>(first)), begun_(taken_) {
  for (std::int64_t k = 0; k < std::min(threads, ahead); ++k) threads_.emplace_back([this] { work(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Batch Loader::load(std::size_t index) const {
  return guarded([&] { return call_text(dataset_, "data set", "load (batch " + std::to_string(index) + ", " + std::to_string(batches_[index].size()) + " samples)"); },
                 [&] { return dataset_.load(split_, batches_[index], seed_ * 0x9e3779b97f4a7c15ULL + index); });
}

void Loader::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || begun_ >= batches_.size() || begun_ < taken_ + ahead_; });
    if (stop_ || begun_ >= batches_.size()) return;
    const std::size_t index = begun_++;
    lock.unlock();
    Loaded loaded;
    try {
      loaded.batch = load(index);
    } catch (...) {
      loaded.failure = std::current_exception();
    }
    lock.lock();
    ready_.emplace(index, std::move(loaded));
    changed_.notify_all();
  }
}

std::optional<Batch> Loader::next() {
  if (taken_ >= batches_.size()) return std::nullopt;
  if (ahead_ == 0) return load(taken_++);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ready_.count(taken_) > 0; });
  Loaded loaded = std::move(ready_.extract(taken_++).mapped());
  changed_.notify_all();
  if (loaded.failure) std::rethrow_exception(loaded.failure);
  return std::move(loaded.batch);
}

}  // namespace zstar::training
