// Byte offsets for buffers with lifetimes, in one arena.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fer {

/// A buffer needed from step `first` to step `last`, both included.
struct Lifetime {
    int first = 0;
    int last = 0;
    std::int64_t bytes = 0;
};

struct ArenaPlan {
    std::vector<std::int64_t> offsets;  // one per lifetime, multiples of kArenaAlignment
    std::int64_t bytes = 0;             // of the arena
    std::int64_t busiest_bytes = 0;     // sum of the buffers alive at the busiest step: no arena can be smaller
};

inline constexpr std::int64_t kArenaAlignment = 256;

/// Buffers alive at the same step share no byte. Largest first, each at the lowest offset that is free for its whole
/// life. Deterministic. `gap` bytes are left behind every buffer (canaries of the checked build).
ArenaPlan plan_arena(std::span<const Lifetime> lifetimes, std::int64_t gap = 0);

}  // namespace fer
