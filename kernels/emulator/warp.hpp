// Warp collectives: the lanes named in a mask meet, each leaving a value, and each reads what the others left.
#pragma once

#include <cstddef>
#include <cstring>
#include <source_location>

namespace fer::emulated {

struct Thread;

inline constexpr std::size_t kDepositBytes = 64;  // the most a lane can leave: an operand set of mma

/// What 32 lanes left, kDepositBytes apart. Lanes outside the mask: 0xFF bytes, which is NaN.
using Deposits = std::byte*;
/// Runs once, when the last lane has come, and may rewrite the deposits.
using Combine = void (*)(Deposits);

/// Leaves `value` and waits for the lanes of `mask`, all of which must call at the same place with the same mask.
/// The result stays valid until this lane's next collective. `name` is what a report calls the operation.
Deposits exchange(unsigned mask, const void* value, std::size_t bytes, Combine combine, const char* name,
                  const std::source_location& where, const void* code = nullptr);

template <class T>
T deposit(Deposits all, unsigned lane) {
    T value;
    std::memcpy(&value, all + kDepositBytes * lane, sizeof(T));
    return value;
}

/// __syncwarp: exchange() of nothing, which also orders the lanes' memory accesses.
void meet_warp(unsigned mask, const std::source_location& where);

// For the scheduler.
void warp_block_begins(unsigned threads);
void warp_exit(const Thread& thread);

}  // namespace fer::emulated
