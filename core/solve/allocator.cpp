#include "core/solve/allocator.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace zstar::solve {

void keep_large_blocks() {
  if (std::getenv("MALLOC_MMAP_THRESHOLD_") != nullptr) return;
  constexpr std::uintptr_t page = 2 << 20;
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  ::mallopt(M_TOP_PAD, 1 << 30);
  const auto heap_end = [] { return reinterpret_cast<std::uintptr_t>(::sbrk(0)); };
  const std::uintptr_t begin = (heap_end() + page - 1) / page * page;
  void* volatile probe = std::malloc(16 << 20);  // moves the end of the heap, which is address space alone until it is written
  std::free(probe);
  if (const std::uintptr_t end = heap_end() / page * page; end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  ::mallopt(M_TOP_PAD, 256 << 20);
}

}  // namespace zstar::solve
