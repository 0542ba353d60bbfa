// How a convolution or a dense layer is cut into tiles and splits: host arithmetic on sizes alone, so that the same
// shape gives the same plan, and with it the same order of every sum, on every device.
#pragma once

#include <algorithm>

#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// Rows x columns of the product that one block computes.
enum class GemmTile : std::uint8_t { kAuto, k128x128, k64x64, k128x32 };

/// What a caller, or a tuner, may decide instead of plan_gemm().
struct GemmChoice {
    GemmTile tile = GemmTile::kAuto;  // k128x128 needs 16-byte rows: with other channel counts k64x64 takes its place
    int splits = 0;                   // of the sum; 0: by plan_gemm(), 1: none. Some may get nothing to do
};

/// (m, k) x (k, n). `k_tile`: elements of the sum that one step takes, 64 bytes of them.
struct GemmSize {
    std::int64_t m, n, k;
    int k_tile;
    bool narrow;     // some row is no multiple of 16 bytes: elements are fetched one by one
    bool may_split;  // the sum may be cut into parts that are added by a second kernel
};

struct GemmPlan {
    GemmTile tile = GemmTile::kAuto;
    int rows = 0, columns = 0;  // of a tile
    std::int64_t tiles_m = 0, tiles_n = 0, k_tiles = 0;
    std::int64_t k_tiles_per_split = 0;
    int splits = 1;

    std::int64_t blocks() const { return tiles_m * tiles_n * splits; }
    bool operator==(const GemmPlan&) const = default;
};

namespace detail {

struct TileFacts {
    GemmTile tile;
    int rows, columns;
    int resident;  // blocks per multiprocessor, by registers
    int cost;      // per multiply-add: shared memory read, (rows + columns) / (rows * columns) of the warp's own tile
};
inline constexpr TileFacts kTiles[] = {
    {GemmTile::k128x128, 128, 128, 2, 96},  // warps of 64x32: 3/64
    {GemmTile::k64x64, 64, 64, 4, 128},     // warps of 32x32: 4/64
    {GemmTile::k128x32, 128, 32, 4, 128},   //
};

/// 132: the multiprocessors of the card the engine is tuned for. Not asked of the device: the plan fixes the bits.
inline constexpr std::int64_t kMultiprocessors = 132;
/// A part of the sum shorter than this is dominated by writing and reading its float32 partial results.
inline constexpr std::int64_t kLeastTilesPerSplit = 16;
inline constexpr std::int64_t kMostSplits = 64;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

inline GemmPlan cut(const GemmSize& size, const TileFacts& facts, int wanted_splits) {
    GemmPlan p{.tile = facts.tile, .rows = facts.rows, .columns = facts.columns};
    p.tiles_m = ceil_div(size.m, facts.rows);
    p.tiles_n = ceil_div(size.n, facts.columns);
    p.k_tiles = ceil_div(size.k, size.k_tile);
    std::int64_t splits = wanted_splits;
    if (splits == 0) {  // as many as fill the card once
        const std::int64_t room = kMultiprocessors * facts.resident / std::max<std::int64_t>(1, p.tiles_m * p.tiles_n);
        splits = std::clamp<std::int64_t>(std::min(room, p.k_tiles / kLeastTilesPerSplit), 1, kMostSplits);
    }
    if (!size.may_split) {
        splits = 1;
    }
    p.k_tiles_per_split = ceil_div(p.k_tiles, splits);
    // No split is empty unless asked for: 10 tiles in 4 parts of 3 are 4 parts, 9 in 4 parts of 3 are 3.
    p.splits =
        static_cast<int>(wanted_splits > 0 || p.k_tiles == 0 ? splits : ceil_div(p.k_tiles, p.k_tiles_per_split));
    return p;
}

/// Relative time: full waves of resident blocks, each with the work of its tile.
inline std::int64_t cost(const GemmPlan& p, const TileFacts& facts) {
    const std::int64_t waves = ceil_div(p.blocks(), kMultiprocessors * facts.resident);
    const std::int64_t overhead = 4;  // filling the pipeline and the epilogue, in steps of the sum
    return waves * facts.resident * facts.rows * facts.columns * facts.cost * (p.k_tiles_per_split + overhead);
}

}  // namespace detail

/// The tile and split of least estimated time. The estimate is a model, not a measurement: a tuner that has timed the
/// candidates passes its own choice.
inline GemmPlan plan_gemm(const GemmSize& size, const GemmChoice& choice) {
    GemmTile wanted = choice.tile;
    if (size.narrow && wanted == GemmTile::k128x128) {
        wanted = GemmTile::k64x64;
    }
    GemmPlan best{};
    std::int64_t least = -1;
    for (const detail::TileFacts& facts : detail::kTiles) {
        const bool allowed =
            wanted == GemmTile::kAuto ? !(size.narrow && facts.tile == GemmTile::k128x128) : wanted == facts.tile;
        if (!allowed) {
            continue;
        }
        const GemmPlan plan = detail::cut(size, facts, choice.splits);
        const std::int64_t time = detail::cost(plan, facts);
        if (least < 0 || time < least) {
            least = time;
            best = plan;
        }
    }
    return best;
}

}  // namespace fer::FER_PORT
