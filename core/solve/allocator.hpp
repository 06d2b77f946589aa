#pragma once
/// \file What the allocator of the process is told before the first large tensor.

namespace zstar::solve {

/// Blocks of large tensors stay with the process, and lie in huge pages where the system grants them: glibc would give each
/// back and take page faults for the next one, and a history that is streamed would miss the translation cache at every page.
/// Changes nothing where MALLOC_MMAP_THRESHOLD_ is set: whoever sets it has a view of their own.
void keep_large_blocks();

}  // namespace zstar::solve
