#include <cstring>

#include "core/solve/loop.hpp"

namespace zstar::solve {
namespace {

Tensor row_indices(const std::vector<std::int64_t>& rows, const torch::Device& device) {
  return torch::tensor(rows, torch::kInt64).to(device);
}

}  // namespace

void Best::update(const Tensor& z, const Monitor& monitor, const std::vector<std::int64_t>* rows) {
  if (monitor.all_improved() && rows == nullptr) {
    z_ = z;
    own_ = false;
    return;
  }
  std::vector<std::int64_t> from, to;
  for (std::size_t row = 0; row < monitor.improved().size(); ++row)
    if (monitor.improved()[row]) {
      from.push_back(static_cast<std::int64_t>(row));
      to.push_back(rows ? (*rows)[row] : static_cast<std::int64_t>(row));
    }
  if (from.empty()) return;
  if (!own_) {  // z_ is an iterate: others hold it
    if (!buffer_.defined()) buffer_ = torch::empty_like(z_);
    z_ = buffer_.copy_(z_);
    own_ = true;
  }
  if (z.is_cpu() && z.is_contiguous()) {
    const std::size_t bytes = static_cast<std::size_t>(z.size(1)) * z.element_size();
    for (std::size_t i = 0; i < from.size(); ++i)
      std::memcpy(static_cast<char*>(z_.data_ptr()) + static_cast<std::size_t>(to[i]) * bytes,
                  static_cast<const char*>(z.data_ptr()) + static_cast<std::size_t>(from[i]) * bytes, bytes);
    return;
  }
  z_.index_copy_(0, row_indices(to, z.device()), z.index_select(0, row_indices(from, z.device())));
}

}  // namespace zstar::solve
