#pragma once
/// \file For loops of numbers: one body, compiled for the instruction sets of several processors.

/// Before a function: three of it are made, and the loader takes the one that the processor has. What it calls must be inlined
/// (ZSTAR_INLINE): a function of its own, a lambda included, would have the default instruction set.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZSTAR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ZSTAR_CLONES
#endif
/// Behind the parameters of a lambda.
#define ZSTAR_FLAT __attribute__((always_inline))
#define ZSTAR_INLINE inline ZSTAR_FLAT
