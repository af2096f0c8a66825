/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sclang.h - what C and C++ spell differently.
 *
 * The core is C11. The public headers are read by C++17 programs too, so whatever the two
 * languages disagree about is said once, here, and nowhere else under include/.
 *
 * Does not contain: anything about the host; that is scpair/shim_types.h.
 */
#ifndef SYS_SCLANG_H
#define SYS_SCLANG_H

#ifdef __cplusplus

/* Around declarations: names as C has them. */
#define SC_BEGIN_DECLS extern "C" {
#define SC_END_DECLS   }

/* What C++ spells otherwise. */
#define SC_NORETURN                 [[noreturn]]
#define SC_STATIC_ASSERT(cond, why) static_assert(cond, why)
#define SC_RESTRICT                 __restrict

/*
 * A word that several threads change. C++ sees the plain type, which has the same size and
 * alignment, and touches it through the compiler's own operations only.
 */
#define SC_ATOMIC(type) type
/* Compare and swap, acquiring; on failure *old gets what was found. */
#define SC_ATOMIC_CAS(word, old, value)                                                                      \
    __atomic_compare_exchange_n(word, old, value, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
/* Exchange, releasing. */
#define SC_ATOMIC_SWAP(word, value) __atomic_exchange_n(word, value, __ATOMIC_RELEASE)
/* A look without any order. */
#define SC_ATOMIC_PEEK(word)        __atomic_load_n(word, __ATOMIC_RELAXED)

#else

#include <stdatomic.h>

/* The same in C. */
#define SC_BEGIN_DECLS
#define SC_END_DECLS
#define SC_NORETURN                 _Noreturn
#define SC_STATIC_ASSERT(cond, why) _Static_assert(cond, why)
#define SC_RESTRICT                 restrict
#define SC_ATOMIC(type)             _Atomic type
#define SC_ATOMIC_CAS(word, old, value)                                                                      \
    atomic_compare_exchange_strong_explicit(word, old, value, memory_order_acquire, memory_order_relaxed)
#define SC_ATOMIC_SWAP(word, value) atomic_exchange_explicit(word, value, memory_order_release)
#define SC_ATOMIC_PEEK(word)        atomic_load_explicit(word, memory_order_relaxed)

#endif

#endif /* SYS_SCLANG_H */
