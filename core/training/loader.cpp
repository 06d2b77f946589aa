#include "core/training/loader.hpp"

#include "zstar/guard.hpp"

namespace zstar::training {

Loader::Loader(const Dataset& dataset, Split split, std::vector<std::vector<std::int64_t>> batches, std::uint64_t seed,
               std::int64_t first, std::int64_t ahead)
    : dataset_(dataset), split_(split), batches_(std::move(batches)), seed_(seed), ahead_(static_cast<std::size_t>(ahead)),
      taken_(static_cast<std::size_t>(first)), loaded_(taken_) {
  if (ahead_ > 0) thread_ = std::thread([this] { work(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Batch Loader::load(std::size_t index) const {
  return guarded([&] { return call_text(dataset_, "data set", "load (batch " + std::to_string(index) + ", " + std::to_string(batches_[index].size()) + " samples)"); },
                 [&] { return dataset_.load(split_, batches_[index], seed_ * 0x9e3779b97f4a7c15ULL + index); });
}

void Loader::work() {
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stop_ || ready_.size() < ahead_; });
    if (stop_ || loaded_ >= batches_.size()) return;
    const std::size_t index = loaded_;
    lock.unlock();
    try {
      Batch batch = load(index);
      lock.lock();
      ready_.push_back(std::move(batch));
      ++loaded_;
    } catch (...) {
      if (!lock.owns_lock()) lock.lock();
      failure_ = std::current_exception();
      stop_ = true;
    }
    changed_.notify_all();
  }
}

std::optional<Batch> Loader::next() {
  if (taken_ >= batches_.size()) return std::nullopt;
  if (ahead_ == 0) return load(taken_++);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || failure_; });
  if (ready_.empty()) std::rethrow_exception(failure_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  ++taken_;
  changed_.notify_all();
  return batch;
}

}  // namespace zstar::training
