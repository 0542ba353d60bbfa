// Tensors (rows, c) whose kernels keep to their channels: a thread owns `vector` neighbouring channels and walks down
// the rows of its part, so what belongs to a channel is read once per thread.
//
//     block (256 threads)   lanes threads side by side along c, 256 / lanes rows at a time
//     grid                  x: parts of rows, y: groups of lanes * vector channels
//
// The grid depends on the shape alone, never on the device: with it the order of every sum.
#pragma once

#include <algorithm>

#include "kernels/support.cuh"

namespace fer::FER_PORT {

/// Whether every pointer is null or may be read as 16-byte vectors.
template <class... Pointers>
bool all_aligned(Pointers... pointers) {
    return (is_aligned(pointers) && ...);
}

inline constexpr unsigned kColumnThreads = 256;

struct Columns {
    unsigned rows, c;
    unsigned lanes;  // a power of two, at most 32
    unsigned rows_per_part, parts, groups;

    Launch launch_shape() const { return {.grid = dim3(parts, groups), .block = dim3(kColumnThreads)}; }
};

// 1024 blocks of 256 threads are one wave on a GPU of 132 multiprocessors, and partial results few enough to add up.
inline constexpr unsigned kReduceBlocks = 1024;
inline constexpr unsigned kRowsPerThread = 8;

/// At most about `blocks` blocks, and at least `rows_per_thread` rows for each of their threads.
inline Columns plan_columns(std::int64_t rows, int c, int vector, unsigned blocks = kReduceBlocks,
                            unsigned rows_per_thread = kRowsPerThread) {
    const auto vectors = static_cast<unsigned>(c / vector);
    unsigned lanes = 1;
    while (lanes < vectors && lanes < kWarp) {
        lanes *= 2;
    }
    const unsigned groups = (vectors + lanes - 1) / lanes;
    const auto count = static_cast<unsigned>(rows);
    const unsigned most_parts = std::max(1u, blocks / groups);
    const unsigned step = kColumnThreads / lanes;
    const unsigned wanted = std::max((count + most_parts - 1) / most_parts, step * rows_per_thread);
    const unsigned rows_per_part = (wanted + step - 1) / step * step;
    return {count, static_cast<unsigned>(c), lanes, rows_per_part, (count + rows_per_part - 1) / rows_per_part, groups};
}

/// For elementwise work, which wants more blocks in flight and has no second stage to pay for them.
inline Columns plan_elementwise(std::int64_t rows, int c, int vector) { return plan_columns(rows, c, vector, 4096, 4); }

/// The most parts that a reduction over (rows, c), or over fewer rows, makes, whatever the type and the alignment of
/// the tensor. A bound and not the count, which is not monotone in the rows.
inline unsigned most_column_parts(std::int64_t rows, int c) {
    std::int64_t most = 0;
    for (const int vector : {1, 4, 8}) {
        if (c % vector == 0) {
            const Columns s = plan_columns(rows, c, vector);
            const std::int64_t least_rows = std::int64_t{kColumnThreads} / s.lanes * kRowsPerThread;
            most = std::max(most, std::min<std::int64_t>(std::max(1u, kReduceBlocks / s.groups),
                                                         (rows + least_rows - 1) / least_rows));
        }
    }
    return static_cast<unsigned>(most);
}

/// Where a thread works: rows begin, begin + step, ... below end, channels channel .. channel + vector - 1.
struct ColumnThread {
    unsigned channel, begin, end, step;
    bool active;  // an inactive thread has no rows but must come to every barrier
};

FER_DEVICE ColumnThread column_thread(const Columns& s, int vector) {
    const unsigned lane = threadIdx.x & (s.lanes - 1);
    const unsigned channel = (blockIdx.y * s.lanes + lane) * static_cast<unsigned>(vector);
    const unsigned first = blockIdx.x * s.rows_per_part;
    const unsigned last = first + s.rows_per_part < s.rows ? first + s.rows_per_part : s.rows;
    const bool active = channel < s.c;
    return {channel, active ? first + threadIdx.x / s.lanes : last, last, kColumnThreads / s.lanes, active};
}

/// Adds up what the threads of one lane hold; the totals are in the threads of rank < lanes. `shared` holds
/// N * kColumnThreads floats. A tree, so rounding grows with the logarithm of the threads.
template <int N>
FER_DEVICE void sum_lanes(float (&values)[N], float* shared, unsigned lanes) {
    const unsigned rank = threadIdx.x;
    for (int i = 0; i < N; ++i) {
        shared[i * static_cast<int>(kColumnThreads) + static_cast<int>(rank)] = values[i];
    }
    for (unsigned half = kColumnThreads / 2; half >= lanes; half /= 2) {
        __syncthreads();
        if (rank < half) {
            for (int i = 0; i < N; ++i) {
                float* const column = shared + i * static_cast<int>(kColumnThreads);
                values[i] += column[rank + half];
                column[rank] = values[i];
            }
        }
    }
}

// The second stage, over parts: a block of 256 threads takes kFinishChannels channels, 32 threads for each, and adds
// in double. 8 floats are a sector of 32 bytes.
inline constexpr unsigned kFinishChannels = 8;
inline constexpr unsigned kFinishLanes = kColumnThreads / kFinishChannels;

FER_DEVICE unsigned finish_channel() { return blockIdx.x * kFinishChannels + threadIdx.x % kFinishChannels; }
FER_DEVICE unsigned finish_lane() { return threadIdx.x / kFinishChannels; }
inline Launch finish_shape(int c) {
    return {.grid = dim3((static_cast<unsigned>(c) + kFinishChannels - 1) / kFinishChannels),
            .block = dim3(kColumnThreads)};
}

/// The sum over the 32 threads of a channel, in all of them. `shared` holds 64 doubles and may be used again at once.
FER_DEVICE double sum_finish_lanes(double value, double* shared) {
    value += __shfl_xor_sync(kFullWarp, value, 8);
    value += __shfl_xor_sync(kFullWarp, value, 16);
    __syncthreads();
    if (lane_id() < kFinishChannels) {
        shared[warp_id() * kFinishChannels + lane_id()] = value;
    }
    __syncthreads();
    double total = 0;
    for (unsigned warp = 0; warp < kColumnThreads / kWarp; ++warp) {
        total += shared[warp * kFinishChannels + threadIdx.x % kFinishChannels];
    }
    return total;
}

}  // namespace fer::FER_PORT
