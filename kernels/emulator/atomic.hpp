// Atomic operations. Threads only change places where they wait, so an ordinary update is atomic; the instrumented
// build is told that it is meant to be.
#pragma once

#include <cstddef>
#include <type_traits>

namespace fer::emulated {

/// Reports the access of the running thread to an observer, if there is one. Checks the alignment.
void note_atomic(const void* p, std::size_t bytes, const void* code);
/// The running block took a ticket: port/reduce.hpp.
void note_ticket(const void* counter, bool last);

/// The update itself must not be instrumented: it would be seen as a plain read and a plain write.
template <class T, class Update>
__attribute__((noinline, no_sanitize("thread"))) T atomic_update(T* p, Update update) {
    note_atomic(p, sizeof(T), __builtin_return_address(0));
    const T before = *p;
    *p = update(before);
    return before;
}

template <class T>
inline constexpr bool kAtomicInteger =
    std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;

// Every function returns the value before the update, as in CUDA. always_inline, so that reports name the caller.
#define FER_ATOMIC(name, allowed, result)                                           \
    template <class T>                                                              \
    __attribute__((always_inline)) inline T name(T* p, std::type_identity_t<T> v) { \
        static_assert(allowed, #name " does not exist for this type");              \
        return atomic_update(p, [v](T before) -> T { return result; });             \
    }
FER_ATOMIC(atomicAdd, (kAtomicInteger<T> || std::is_same_v<T, float> || std::is_same_v<T, double>), before + v)
FER_ATOMIC(atomicSub, (std::is_same_v<T, int> || std::is_same_v<T, unsigned>), before - v)
FER_ATOMIC(atomicMax, kAtomicInteger<T>, before > v ? before : v)
FER_ATOMIC(atomicMin, kAtomicInteger<T>, before < v ? before : v)
FER_ATOMIC(atomicAnd, kAtomicInteger<T>, before& v)
FER_ATOMIC(atomicOr, kAtomicInteger<T>, before | v)
FER_ATOMIC(atomicXor, kAtomicInteger<T>, before ^ v)
FER_ATOMIC(atomicExch, (kAtomicInteger<T> || std::is_same_v<T, float>), (static_cast<void>(before), v))
#undef FER_ATOMIC

template <class T>
__attribute__((always_inline)) inline T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
    static_assert(kAtomicInteger<T>, "atomicCAS does not exist for this type");
    return atomic_update(p, [=](T before) { return before == expected ? v : before; });
}

/// Blocks run one after another and threads one at a time, so every write is visible to all at once.
inline void __threadfence() {}
inline void __threadfence_block() {}

}  // namespace fer::emulated
