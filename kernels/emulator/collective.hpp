// Barriers, shuffles, votes and reductions of a warp, with CUDA's signatures and the caller's place for reports.
#pragma once

#include <source_location>
#include <type_traits>

#include "kernels/emulator/block.hpp"
#include "kernels/emulator/warp.hpp"

namespace fer::emulated {

using Place = std::source_location;

/// Inlined without exception, so that the code address of the call lies in the kernel.
#define FER_IN_CALLER __attribute__((always_inline)) inline

FER_IN_CALLER void __syncthreads(const Place& at = Place::current()) { meet_block(at); }
FER_IN_CALLER void __syncwarp(unsigned mask = ~0u, const Place& at = Place::current()) { meet_warp(mask, at); }

// __syncthreads_or and its kin, as CUDA has them: a barrier that also combines a value.
int meet_block_and_combine(int value, int (*combine)(int, int), const Place& at);
FER_IN_CALLER int __syncthreads_or(int predicate, const Place& at = Place::current()) {
    return meet_block_and_combine(
        predicate != 0, [](int a, int b) { return a | b; }, at);
}
FER_IN_CALLER int __syncthreads_and(int predicate, const Place& at = Place::current()) {
    return meet_block_and_combine(
        predicate != 0, [](int a, int b) { return a & b; }, at);
}
FER_IN_CALLER int __syncthreads_count(int predicate, const Place& at = Place::current()) {
    return meet_block_and_combine(
        predicate != 0, [](int a, int b) { return a + b; }, at);
}

template <class T>
FER_IN_CALLER T shuffle(unsigned mask, const T& value, unsigned source, const char* name, const Place& at) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "shuffles move at most 8 bytes");
    return deposit<T>(exchange(mask, &value, sizeof(T), nullptr, name, at), source);
}

// `width` splits the warp into groups of 2, 4, 8, 16 or 32 lanes. A source outside of the group is oneself; a source
// that is not in the mask gives 0xFF bytes (CUDA: undefined).
template <class T>
FER_IN_CALLER T __shfl_sync(unsigned mask, T value, int source, int width = 32, const Place& at = Place::current()) {
    const unsigned lane = current_thread->lane;
    const auto w = static_cast<unsigned>(width);
    return shuffle(mask, value, (lane & ~(w - 1)) | (static_cast<unsigned>(source) & (w - 1)), "__shfl_sync", at);
}
template <class T>
FER_IN_CALLER T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                               const Place& at = Place::current()) {
    const unsigned lane = current_thread->lane;
    const unsigned place = lane & (static_cast<unsigned>(width) - 1);
    return shuffle(mask, value, place >= delta ? lane - delta : lane, "__shfl_up_sync", at);
}
template <class T>
FER_IN_CALLER T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                 const Place& at = Place::current()) {
    const unsigned lane = current_thread->lane;
    const auto w = static_cast<unsigned>(width);
    return shuffle(mask, value, (lane & (w - 1)) + delta < w ? lane + delta : lane, "__shfl_down_sync", at);
}
template <class T>
FER_IN_CALLER T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, const Place& at = Place::current()) {
    const unsigned lane = current_thread->lane;
    const unsigned source = lane ^ static_cast<unsigned>(bits);
    // CUDA: a later group is not read, an earlier one is.
    const bool later = (source & ~(static_cast<unsigned>(width) - 1)) > (lane & ~(static_cast<unsigned>(width) - 1));
    return shuffle(mask, value, later ? lane : source & 31, "__shfl_xor_sync", at);
}

/// The values of the mask's lanes, folded in lane order.
template <class T, class Fold>
FER_IN_CALLER T fold(unsigned mask, T value, T start, Fold step, const char* name, const Place& at) {
    const Deposits all = exchange(mask, &value, sizeof(T), nullptr, name, at);
    for (unsigned lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1) != 0) {
            start = step(start, deposit<T>(all, lane), lane);
        }
    }
    return start;
}

FER_IN_CALLER unsigned __ballot_sync(unsigned mask, int predicate, const Place& at = Place::current()) {
    return fold<unsigned>(
        mask, predicate != 0 ? 1u : 0u, 0u, [](unsigned all, unsigned p, unsigned lane) { return all | p << lane; },
        "__ballot_sync", at);
}
FER_IN_CALLER int __any_sync(unsigned mask, int predicate, const Place& at = Place::current()) {
    return __ballot_sync(mask, predicate, at) != 0 ? 1 : 0;
}
FER_IN_CALLER int __all_sync(unsigned mask, int predicate, const Place& at = Place::current()) {
    return __ballot_sync(mask, predicate, at) == mask ? 1 : 0;
}

#define FER_REDUCE(name, start, T, result)                                                  \
    FER_IN_CALLER T name(unsigned mask, T value, const Place& at = Place::current()) {      \
        return fold<T>(                                                                     \
            mask, value, start, [](T a, T b, unsigned) -> T { return result; }, #name, at); \
    }
FER_REDUCE(__reduce_add_sync, 0u, unsigned, a + b)
FER_REDUCE(__reduce_min_sync, ~0u, unsigned, b < a ? b : a)
FER_REDUCE(__reduce_max_sync, 0u, unsigned, b > a ? b : a)
FER_REDUCE(__reduce_and_sync, ~0u, unsigned, a& b)
FER_REDUCE(__reduce_or_sync, 0u, unsigned, a | b)
FER_REDUCE(__reduce_xor_sync, 0u, unsigned, a ^ b)
FER_REDUCE(__reduce_add_sync, 0, int, static_cast<int>(static_cast<unsigned>(a) + static_cast<unsigned>(b)))
FER_REDUCE(__reduce_min_sync, 0x7fffffff, int, b < a ? b : a)
FER_REDUCE(__reduce_max_sync, -0x7fffffff - 1, int, b > a ? b : a)
#undef FER_REDUCE

// The lanes that happen to be together are not defined by CUDA; say which ones you mean.
void __activemask() = delete;
template <class T>
void __match_any_sync(unsigned, T) = delete;
template <class T>
void __match_all_sync(unsigned, T, int*) = delete;

}  // namespace fer::emulated
