// Depthwise 3x3 in bf16, from plain to kernels/depthwise.cu. Predicted for 64x48x48x32: 18.9 MB, 4.4 us at the 4.3 TB/s
// that a copy reaches on an H200; 85 MFLOP, nothing. What has to go is instructions and the bytes that come again.
//
//     rung          change                                              predicted, us
//     1 plain       one output per thread: 18 loads of 2 bytes and       20, instructions
//                   some 100 other instructions for 9 products
//     2 vectors     8 channels per thread: one index for 8 outputs,      6, 9 reads of each x from L1
//                   loads of 16 bytes
//     3 column      a thread walks down 4 outputs: a row of x serves     5.5, 4.5 reads of each x
//                   three of them, the weights all four
//     4 tile        x and its halo through shared memory: each element   5.5, 1.4 reads from L2, 9 from shared memory
//                   fetched once per block, asynchronously
//     5 shipped     4 and 3 together                                     5, 1.4 and 3.75
//
// Not measured yet.
#include "bench/ladder/ladder.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

using T = __nv_bfloat16;

/// Threads over the outputs, or over groups of them.
struct Outputs {
    Depthwise a;
    NhwcPlaces places;
    unsigned count;
};

FER_DEVICE unsigned offset_of(const DepthwiseShape& g, unsigned n, int row, int column, unsigned channel) {
    return ((n * g.h + row) * g.w + column) * g.c + channel;
}
FER_DEVICE bool is_inside(const DepthwiseShape& g, int row, int column) {
    return row >= 0 && row < g.h && column >= 0 && column < g.w;
}

// 1 and 2: V channels per thread ---------------------------------------------------------------------------------

template <int V>
__global__ void outputs_kernel(Outputs k) {
    const DepthwiseShape& g = k.a.shape;
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        float sum[V] = {};
        for (int r = 0; r < 3; ++r) {
            for (int s = 0; s < 3; ++s) {
                const int row = static_cast<int>(to.row) + r - g.top;
                const int column = static_cast<int>(to.column) + s - g.left;
                if (is_inside(g, row, column)) {
                    float x[V];
                    float w[V];
                    load_floats(x, static_cast<const T*>(k.a.x) + offset_of(g, to.n, row, column, to.channel));
                    load_floats(w, static_cast<const T*>(k.a.w) + (r * 3 + s) * g.c + to.channel);
#pragma unroll
                    for (int v = 0; v < V; ++v) {
                        sum[v] = fmaf(x[v], w[v], sum[v]);
                    }
                }
            }
        }
        store_floats(static_cast<T*>(k.a.y) + i * V, sum);
    }
}

template <int V>
void run_outputs(const Depthwise& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    const std::int64_t count = std::int64_t{g.n} * g.p * g.q * (g.c / V);
    launch(outputs_kernel<V>, over(count), stream, {a, NhwcPlaces(g.p, g.q, g.c, V), static_cast<unsigned>(count)});
}

// 3: down a column -----------------------------------------------------------------------------------------------

constexpr int kOwn = 4;   // channels: 8 would need 72 registers for the weights alone
constexpr int kDown = 4;  // outputs

__global__ void column_kernel(Outputs k) {
    const DepthwiseShape& g = k.a.shape;
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        const int first = static_cast<int>(to.row) * kDown;
        float w[9][kOwn];
#pragma unroll
        for (int tap = 0; tap < 9; ++tap) {
            load_floats(w[tap], static_cast<const T*>(k.a.w) + tap * g.c + to.channel);
        }
        float sum[kDown][kOwn] = {};
#pragma unroll
        for (int down = 0; down < kDown + 2; ++down) {
#pragma unroll
            for (int s = 0; s < 3; ++s) {
                const int row = first + down - g.top;
                const int column = static_cast<int>(to.column) + s - g.left;
                float x[kOwn] = {};
                if (is_inside(g, row, column)) {
                    load_floats(x, static_cast<const T*>(k.a.x) + offset_of(g, to.n, row, column, to.channel));
                }
#pragma unroll
                for (int r = 0; r < 3; ++r) {
                    if (down - r >= 0 && down - r < kDown) {
#pragma unroll
                        for (int v = 0; v < kOwn; ++v) {
                            sum[down - r][v] = fmaf(x[v], w[r * 3 + s][v], sum[down - r][v]);
                        }
                    }
                }
            }
        }
#pragma unroll
        for (int down = 0; down < kDown; ++down) {
            if (first + down < g.p) {
                const unsigned at = ((to.n * g.p + first + down) * g.q + to.column) * g.c + to.channel;
                store_floats(static_cast<T*>(k.a.y) + at, sum[down]);
            }
        }
    }
}

void run_column(const Depthwise& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    const int strips = (g.p + kDown - 1) / kDown;
    const std::int64_t count = std::int64_t{g.n} * strips * g.q * (g.c / kOwn);
    launch(column_kernel, over(count), stream, {a, NhwcPlaces(strips, g.q, g.c, kOwn), static_cast<unsigned>(count)});
}

// 4: a tile in shared memory -------------------------------------------------------------------------------------

constexpr int kThreads = 256;
constexpr int kRows = 8;       // of outputs
constexpr int kColumns = 16;   //
constexpr int kChannels = 64;  // 128 bytes: a pixel of the tile is one cache line
constexpr int kHaloColumns = kColumns + 2;
constexpr int kHalo = (kRows + 2) * kHaloColumns;

struct Tiles {
    Depthwise a;
    Divisor chunks, columns, rows;
};

__global__ void __launch_bounds__(kThreads) tile_kernel(Tiles k) {
    using Piece = Vector<T, 8>;
    FER_SHARED(Piece, tile, [kHalo][kChannels / 8]);
    const DepthwiseShape& g = k.a.shape;
    unsigned index = blockIdx.x;
    const unsigned channel0 = k.chunks.peel(index) * kChannels;
    const int q0 = static_cast<int>(k.columns.peel(index)) * kColumns;
    const int p0 = static_cast<int>(k.rows.peel(index)) * kRows;

    const T* x = static_cast<const T*>(k.a.x);
    for (int i = static_cast<int>(threadIdx.x); i < kHalo * kChannels / 8; i += kThreads) {
        const int pixel = i / (kChannels / 8);
        const int piece = i % (kChannels / 8);
        const int row = p0 + pixel / kHaloColumns - g.top;
        const int column = q0 + pixel % kHaloColumns - g.left;
        const unsigned channel = channel0 + static_cast<unsigned>(piece) * 8;
        const bool valid = is_inside(g, row, column) && channel < static_cast<unsigned>(g.c);
        cp_async<16>(&tile[pixel][piece], valid ? x + offset_of(g, index, row, column, channel) : x, valid);
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();

    const unsigned lane = threadIdx.x % (kChannels / kOwn) * kOwn;
    const int column = static_cast<int>(threadIdx.x) / (kChannels / kOwn);
    const unsigned channel = channel0 + lane;
    if (channel >= static_cast<unsigned>(g.c) || q0 + column >= g.q) {
        return;
    }
    for (int row = 0; row < kRows && p0 + row < g.p; ++row) {
        float sum[kOwn] = {};
#pragma unroll
        for (int tap = 0; tap < 9; ++tap) {
            float value[kOwn];
            float w[kOwn];
            const T* pixel = reinterpret_cast<const T*>(tile[(row + tap / 3) * kHaloColumns + column + tap % 3]);
            load_floats(value, pixel + lane);
            load_floats(w, static_cast<const T*>(k.a.w) + tap * g.c + channel);
#pragma unroll
            for (int v = 0; v < kOwn; ++v) {
                sum[v] = fmaf(value[v], w[v], sum[v]);
            }
        }
        const unsigned at = ((index * g.p + p0 + row) * g.q + q0 + column) * g.c + channel;
        store_floats(static_cast<T*>(k.a.y) + at, sum);
    }
}

void run_tile(const Depthwise& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    const auto pieces = [](int size, int piece) { return static_cast<unsigned>((size + piece - 1) / piece); };
    const unsigned chunks = pieces(g.c, kChannels);
    const unsigned columns = pieces(g.q, kColumns);
    const unsigned rows = pieces(g.p, kRows);
    launch(tile_kernel, {.grid = dim3(static_cast<unsigned>(g.n) * rows * columns * chunks), .block = dim3(kThreads)},
           stream, {a, Divisor(chunks), Divisor(columns), Divisor(rows)});
}

constexpr Rung<Depthwise> kRungs[] = {
    {"1_plain", run_outputs<1>}, {"2_vectors", run_outputs<8>}, {"3_column", run_column},
    {"4_tile", run_tile},        {"5_shipped", depthwise_fwd},
};

}  // namespace

std::span<const Rung<Depthwise>> depthwise_ladder() { return kRungs; }

}  // namespace fer::FER_PORT
