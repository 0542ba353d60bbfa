// The way back from accumulators to tensors: bias, residual, activation, rounding, 16-byte rows; moments of channels;
// or the partial results of a split sum.
#pragma once

#include "kernels/conv2d_math.cuh"

namespace fer::FER_PORT {

/// Accumulators pass through shared memory so that threads can store whole 16-byte pieces of rows. 8 floats of padding
/// keep the 4 rows that half a warp writes in different banks.
template <class Block>
inline constexpr int kResultPitch = Block::kColumns + 8;

template <class Block>
FER_DEVICE void spill_accumulators(const typename Block::Accumulators& acc, float* result) {
    const unsigned row = Block::warp_row() + lane_id() / 4;
    const unsigned column = Block::warp_column() + lane_id() % 4 * 2;
#pragma unroll
    for (int i = 0; i < Block::kMt; ++i) {
#pragma unroll
        for (int j = 0; j < Block::kNt; ++j) {
            float* const to = result + (row + 16 * i) * kResultPitch<Block> + column + 8 * j;
            store(to, Vector<float, 2>{{acc[i][j][0], acc[i][j][1]}});
            store(to + 8 * kResultPitch<Block>, Vector<float, 2>{{acc[i][j][2], acc[i][j][3]}});
        }
    }
}

/// Row of `out` that row m of the product belongs to: another one only where the data gradient has a stride.
FER_DEVICE unsigned output_row(const GemmArgs& g, unsigned m) {
    if (g.out_step == 1) {
        return m;
    }
    const unsigned place = g.gather.pixels.peel(m);
    unsigned row = place;
    const unsigned column = g.gather.columns.peel(row);
    const auto step = static_cast<unsigned>(g.out_step);
    return (m * static_cast<unsigned>(g.out_height) + row * step + static_cast<unsigned>(g.out_h)) *
               static_cast<unsigned>(g.out_width) +
           column * step + static_cast<unsigned>(g.out_w);
}

/// Turns N sums into N outputs and stores them; they come back as they were rounded.
template <class T, int N>
FER_DEVICE void finish(const GemmArgs& g, unsigned m, unsigned column, const float (&bias)[N], float (&v)[N]) {
    const unsigned at = output_row(g, m) * g.n + column;
    const int count = static_cast<int>(min(static_cast<unsigned>(N), g.n - column));
#pragma unroll
    for (int i = 0; i < N; ++i) {
        v[i] += bias[i];
    }
    if (g.residual != nullptr) {
        float residual[N];
        if (g.wide_out) {
            load_floats(residual, static_cast<const T*>(g.residual) + at);
        } else {
            load_floats(residual, static_cast<const T*>(g.residual) + at, count);
        }
#pragma unroll
        for (int i = 0; i < N; ++i) {
            v[i] += residual[i];
        }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        v[i] = activate(v[i], g.activation);
        v[i] = g.out_is_f32 ? v[i] : to_float(from_float<T>(v[i]));
    }
    if (g.out_is_f32) {
        float* const out = static_cast<float*>(g.out) + at;
        g.wide_out ? store_floats(out, v) : store_floats(out, v, count);
    } else {
        T* const out = static_cast<T*>(g.out) + at;
        g.wide_out ? store_floats(out, v) : store_floats(out, v, count);
    }
}

template <int N>
FER_DEVICE void load_bias(const GemmArgs& g, unsigned column, float (&bias)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
        bias[i] = g.bias != nullptr && column + i < g.n ? g.bias[column + i] : 0.0f;
    }
}

/// The whole tile to `out`. With moments, `result` holds the stored values afterwards.
template <class T, class Block>
FER_DEVICE void store_results(const GemmArgs& g, float* result, unsigned first_m, unsigned first_n) {
    constexpr int kGroup = kVector<T>;
    constexpr int kGroups = Block::kColumns / kGroup;
    const unsigned local = threadIdx.x % kGroups * kGroup;
    const unsigned column = first_n + local;
    if (column >= g.n) {
        return;
    }
    float bias[kGroup];
    load_bias(g, column, bias);
    for (unsigned row = threadIdx.x / kGroups; row < Block::kRows && first_m + row < g.m;
         row += Block::kThreads / kGroups) {
        float* const from = result + row * kResultPitch<Block> + local;
        float v[kGroup];
        load_floats(v, from);
        finish<T>(g, first_m + row, column, bias, v);
        if (g.moments != nullptr) {
            store_floats(from, v);
        }
    }
}

/// The whole tile to this split's part of the workspace.
template <class Block>
FER_DEVICE void store_partial(const GemmArgs& g, const float* result, unsigned first_m, unsigned first_n) {
    constexpr int kGroups = Block::kColumns / 4;
    const unsigned local = threadIdx.x % kGroups * 4;
    const unsigned column = first_n + local;
    const unsigned rows = g.m + (g.dbias != nullptr ? 1 : 0);
    for (unsigned row = threadIdx.x / kGroups; column < g.n && row < Block::kRows && first_m + row < g.m;
         row += Block::kThreads / kGroups) {
        float v[4];
        load_floats(v, result + row * kResultPitch<Block> + local);
        float* const to = g.partial + (blockIdx.y * rows + first_m + row) * g.n + column;
        g.wide_out ? store_floats(to, v) : store_floats(to, v, static_cast<int>(min(4u, g.n - column)));
    }
}

/// The value of a column added over the groups of threads that share it, in order; the same in all of them.
template <class Block>
FER_DEVICE float sum_groups(float value, float* shared) {
    __syncthreads();
    shared[threadIdx.x] = value;
    __syncthreads();
    float total = 0;
#pragma unroll
    for (unsigned i = threadIdx.x % Block::kColumns; i < Block::kThreads; i += Block::kColumns) {
        total += shared[i];
    }
    return total;
}

/// Mean and squared deviations of every column of `result`: two passes, so that nothing cancels however large the mean.
template <class Block>
FER_DEVICE void store_moments(const GemmArgs& g, const float* result, float* shared, unsigned first_m,
                              unsigned first_n) {
    constexpr unsigned kStep = Block::kThreads / Block::kColumns;
    const unsigned column = threadIdx.x % Block::kColumns;
    const unsigned first = threadIdx.x / Block::kColumns;
    const unsigned rows = min(static_cast<unsigned>(Block::kRows), g.m - first_m);
    const bool active = first_n + column < g.n;
    float sum = 0;
    __syncthreads();  // the stored values are in `result`
    for (unsigned row = first; active && row < rows; row += kStep) {
        sum += result[row * kResultPitch<Block> + column];
    }
    const float mean = sum_groups<Block>(sum, shared) / static_cast<float>(rows);
    float squares = 0;
    for (unsigned row = first; active && row < rows; row += kStep) {
        const float d = result[row * kResultPitch<Block> + column] - mean;
        squares = fmaf(d, d, squares);
    }
    squares = sum_groups<Block>(squares, shared);
    if (active && first == 0) {
        float* const to = g.moments + first_m / Block::kRows * 2 * g.n + first_n + column;
        to[0] = mean;
        to[g.n] = squares;
    }
}

}  // namespace fer::FER_PORT
