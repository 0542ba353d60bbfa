#include "engine/plan/arena.hpp"

#include <algorithm>
#include <numeric>

namespace fer {

ArenaPlan plan_arena(std::span<const Lifetime> lifetimes, std::int64_t gap) {
    const auto padded = [gap](const Lifetime& l) {
        return (l.bytes + gap + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
    };
    std::vector<std::size_t> by_size(lifetimes.size());
    std::iota(by_size.begin(), by_size.end(), std::size_t{0});
    std::ranges::stable_sort(by_size,
                             [&](std::size_t a, std::size_t b) { return padded(lifetimes[a]) > padded(lifetimes[b]); });

    ArenaPlan plan;
    plan.offsets.assign(lifetimes.size(), 0);
    std::vector<std::size_t> placed;  // in order of offset
    for (const std::size_t i : by_size) {
        const std::int64_t bytes = padded(lifetimes[i]);
        std::int64_t offset = 0;
        for (const std::size_t other : placed) {
            const bool together =
                lifetimes[i].first <= lifetimes[other].last && lifetimes[other].first <= lifetimes[i].last;
            if (!together) {
                continue;
            }
            if (offset + bytes <= plan.offsets[other]) {
                break;
            }
            offset = std::max(offset, plan.offsets[other] + padded(lifetimes[other]));
        }
        plan.offsets[i] = offset;
        plan.bytes = std::max(plan.bytes, offset + bytes);
        placed.insert(std::ranges::upper_bound(placed, offset, {}, [&](std::size_t p) { return plan.offsets[p]; }), i);
    }

    int steps = 0;
    for (const Lifetime& l : lifetimes) {
        steps = std::max(steps, l.last + 1);
    }
    std::vector<std::int64_t> change(static_cast<std::size_t>(steps) + 1, 0);
    for (const Lifetime& l : lifetimes) {
        change[static_cast<std::size_t>(l.first)] += padded(l);
        change[static_cast<std::size_t>(l.last) + 1] -= padded(l);
    }
    std::int64_t alive = 0;
    for (const std::int64_t c : change) {
        alive += c;
        plan.busiest_bytes = std::max(plan.busiest_bytes, alive);
    }
    return plan;
}

}  // namespace fer
