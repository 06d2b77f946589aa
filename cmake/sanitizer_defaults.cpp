/// \file What a sanitizer build of this tree's programs runs with, so that no environment variable is needed. Suppressed by name is
/// only what LibTorch and its OpenMP, which are not instrumented, keep until the process ends. A small quarantine, because tests measure memory; what cannot
/// be allocated is said to the program, as without a sanitizer, because tests ask for that too.
#define ZSTAR_SEEN __attribute__((visibility("default"), used))  // by the run-time libraries, where a program hides its symbols
extern "C" {
ZSTAR_SEEN const char* __asan_default_options() { return "detect_leaks=1:detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1:quarantine_size_mb=32:allocator_may_return_null=1"; }
ZSTAR_SEEN const char* __ubsan_default_options() { return "print_stacktrace=1:halt_on_error=1"; }
ZSTAR_SEEN const char* __lsan_default_options() { return "print_suppressions=0"; }
ZSTAR_SEEN const char* __lsan_default_suppressions() { return "leak:libtorch_cpu.so\nleak:libc10.so\nleak:libgomp.so\nleak:libprotobuf.so\nleak:libblas.so\nleak:libopenblas.so\n"; }
ZSTAR_SEEN const char* __tsan_default_options() { return "halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1:allocator_may_return_null=1"; }
ZSTAR_SEEN const char* __tsan_default_suppressions() { return "called_from_lib:libtorch_cpu.so\ncalled_from_lib:libc10.so\ncalled_from_lib:libgomp.so\n"; }
}
