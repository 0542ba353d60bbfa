#include "kernels/depthwise.hpp"

#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

// 3x3, stride 1: a tile in shared memory -----------------------------------------------------------------------------

constexpr unsigned kThreads = 256;
constexpr int kTileRows = 8;
constexpr int kTileColumns = 16;
constexpr int kHaloRows = kTileRows + 2;
constexpr int kHaloColumns = kTileColumns + 2;
constexpr int kTileBytes = 128;  // of channels: one pixel of the tile is one cache line
constexpr int kOwn = 4;          // channels per thread; 8 would need 72 registers for the weights alone

struct Tiles {
    const void* x;  // (n, h, w, c)
    const void* w;  // (3, 3, c)
    const float* bias;
    void* y;  // (n, p, q, c)
    Activation activation;
    int h, width, c, p, q, top, left;
    Divisor chunks, columns, rows;
};

/// Copies the part of x under the tile, zeros where there is no image or no channel.
template <class T>
FER_DEVICE void load_tile(T (*tile)[kTileBytes / sizeof(T)], const Tiles& a, unsigned n, int row0, int column0,
                          int channel0) {
    constexpr int kPieces = kTileBytes / 16;
    const T* x = static_cast<const T*>(a.x);
    for (int i = static_cast<int>(threadIdx.x); i < kHaloRows * kHaloColumns * kPieces; i += kThreads) {
        const int pixel = i / kPieces;
        const int piece = i % kPieces * kVector<T>;
        const int row = row0 + pixel / kHaloColumns;
        const int column = column0 + pixel % kHaloColumns;
        const bool valid = row >= 0 && row < a.h && column >= 0 && column < a.width && channel0 + piece < a.c;
        const unsigned from = ((n * a.h + row) * a.width + column) * a.c + channel0 + piece;
        cp_async<16>(&tile[pixel][piece], valid ? x + from : x, valid);
    }
    cp_async_commit();
    cp_async_wait<0>();
}

/// The bias is read as late as here: registers are what limits how many threads hide the latency of memory.
template <class T, int N>
FER_DEVICE void store_activated(T* to, float (&sum)[N], const float* bias, int channel, Activation activation) {
#pragma unroll
    for (int v = 0; v < N; ++v) {
        sum[v] = activate(bias != nullptr ? sum[v] + bias[channel + v] : sum[v], activation);
    }
    store_floats(to, sum);
}

/// A block computes kTileRows x kTileColumns outputs of kTileBytes of channels. A thread owns kOwn channels of a column
/// and walks down it: each row of the tile is read once and serves three outputs, 3 reads for 9 products.
/// kTurned: with the kernel turned by 180 degrees.
template <class T, bool kTurned>
__global__ void __launch_bounds__(kThreads) depthwise_tile_kernel(Tiles a) {
    wait_for_previous();
    constexpr int kChannels = kTileBytes / static_cast<int>(sizeof(T));
    constexpr int kLanes = kChannels / kOwn;
    constexpr int kStrips = static_cast<int>(kThreads) / kLanes / kTileColumns;  // of rows, side by side in time
    constexpr int kRows = kTileRows / kStrips;
    using Piece = Vector<T, kVector<T>>;  // aligned to 16 bytes, as cp_async wants it
    FER_SHARED(Piece, storage, [kHaloRows * kHaloColumns * kTileBytes / 16]);
    auto* tile = reinterpret_cast<T(*)[kChannels]>(storage);

    unsigned index = blockIdx.x;
    const int channel0 = static_cast<int>(a.chunks.peel(index)) * kChannels;
    const int q0 = static_cast<int>(a.columns.peel(index)) * kTileColumns;
    const int p0 = static_cast<int>(a.rows.peel(index)) * kTileRows;
    const unsigned n = index;
    load_tile<T>(tile, a, n, p0 - a.top, q0 - a.left, channel0);
    __syncthreads();

    const int lane = static_cast<int>(threadIdx.x) % kLanes * kOwn;
    const int slot = static_cast<int>(threadIdx.x) / kLanes;
    const int column = slot % kTileColumns;
    const int row0 = slot / kTileColumns * kRows;
    const int channel = channel0 + lane;
    if (channel >= a.c || q0 + column >= a.q) {
        return;
    }
    float weight[9][kOwn];
#pragma unroll
    for (int tap = 0; tap < 9; ++tap) {
        load_floats(weight[kTurned ? 8 - tap : tap], static_cast<const T*>(a.w) + tap * a.c + channel);
    }
    float sum[kRows][kOwn] = {};
#pragma unroll
    for (int i = 0; i < kRows + 2; ++i) {
#pragma unroll
        for (int s = 0; s < 3; ++s) {
            float x[kOwn];
            load_floats(x, &tile[(row0 + i) * kHaloColumns + column + s][lane]);
#pragma unroll
            for (int r = 0; r < 3; ++r) {
                if (i - r >= 0 && i - r < kRows) {
#pragma unroll
                    for (int v = 0; v < kOwn; ++v) {
                        sum[i - r][v] = fmaf(x[v], weight[r * 3 + s][v], sum[i - r][v]);
                    }
                }
            }
        }
        const int row = p0 + row0 + i - 2;
        if (i >= 2 && row < a.p) {
            T* const y = static_cast<T*>(a.y) + ((n * a.p + row) * a.q + q0 + column) * a.c + channel;
            if constexpr (kTurned) {
                store_floats(y, sum[i - 2]);
            } else {
                store_activated(y, sum[i - 2], a.bias, channel, a.activation);
            }
        }
    }
}

template <class T, bool kTurned>
void launch_tiles(Tiles a, int n, cudaStream_t stream) {
    const auto pieces = [](int size, int piece) { return static_cast<unsigned>((size + piece - 1) / piece); };
    const unsigned chunks = pieces(a.c, kTileBytes / static_cast<int>(sizeof(T)));
    const unsigned columns = pieces(a.q, kTileColumns);
    const unsigned rows = pieces(a.p, kTileRows);
    a.chunks = Divisor(chunks);
    a.columns = Divisor(columns);
    a.rows = Divisor(rows);
    launch(depthwise_tile_kernel<T, kTurned>,
           {.grid = dim3(static_cast<unsigned>(n) * rows * columns * chunks), .block = dim3(kThreads)}, stream, a);
}

// Any kernel and stride ----------------------------------------------------------------------------------------------

template <class Op>
struct Plain {
    Op a;
    NhwcPlaces places;  // of the tensor that is written
    unsigned count;
};

/// One thread per V channels of an output. 4 blocks: ptxas of CUDA 13.0 aims for 40 registers otherwise and spills two.
template <class T, int V>
__global__ void __launch_bounds__(256, 4) depthwise_fwd_kernel(Plain<Depthwise> k) {
    wait_for_previous();
    const DepthwiseShape& g = k.a.shape;
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        const int row0 = static_cast<int>(to.row) * g.stride - g.top;
        const int column0 = static_cast<int>(to.column) * g.stride - g.left;
        const T* x = static_cast<const T*>(k.a.x) + to.n * g.h * g.w * g.c + to.channel;
        const T* w = static_cast<const T*>(k.a.w) + to.channel;
        float sum[V] = {};
        for (int r = max(0, -row0); r < min(g.kh, g.h - row0); ++r) {
            for (int s = max(0, -column0); s < min(g.kw, g.w - column0); ++s) {
                float value[V];
                float weight[V];
                load_floats(value, x + ((row0 + r) * g.w + column0 + s) * g.c);
                load_floats(weight, w + (r * g.kw + s) * g.c);
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    sum[v] = fmaf(value[v], weight[v], sum[v]);
                }
            }
        }
        store_activated(static_cast<T*>(k.a.y) + i * V, sum, k.a.bias, static_cast<int>(to.channel), k.a.activation);
    }
}

/// One thread per V channels of an input, gathering from the outputs that read it.
template <class T, int V>
__global__ void __launch_bounds__(256) depthwise_dgrad_kernel(Plain<DepthwiseDgrad> k) {
    wait_for_previous();
    const DepthwiseShape& g = k.a.shape;
    for (unsigned i = grid_thread(); i < k.count; i += grid_threads()) {
        const NhwcPlace to = k.places.at(i);
        const int row = static_cast<int>(to.row) + g.top;
        const int column = static_cast<int>(to.column) + g.left;
        const T* dy = static_cast<const T*>(k.a.dy) + to.n * g.p * g.q * g.c + to.channel;
        const T* w = static_cast<const T*>(k.a.w) + to.channel;
        float sum[V] = {};
        // The kernel places that meet an output are a stride apart.
        for (int r = row % g.stride; r < min(g.kh, row + 1); r += g.stride) {
            for (int s = column % g.stride; s < min(g.kw, column + 1); s += g.stride) {
                const int p = (row - r) / g.stride;
                const int q = (column - s) / g.stride;
                if (p < g.p && q < g.q) {
                    float d[V];
                    float weight[V];
                    load_floats(d, dy + (p * g.q + q) * g.c);
                    load_floats(weight, w + (r * g.kw + s) * g.c);
#pragma unroll
                    for (int v = 0; v < V; ++v) {
                        sum[v] = fmaf(d[v], weight[v], sum[v]);
                    }
                }
            }
        }
        store_floats(static_cast<T*>(k.a.dx) + i * V, sum);
    }
}

template <class Op>
void launch_plain(void (*kernel)(Plain<Op>), const Op& a, int h, int w, int group, cudaStream_t stream) {
    const std::int64_t count = std::int64_t{a.shape.n} * h * w * (a.shape.c / group);
    launch(kernel, over(count), stream, {a, NhwcPlaces(h, w, a.shape.c, group), static_cast<unsigned>(count)});
}

void check(const DepthwiseShape& g) {
    FER_CHECK(g.kh >= 1 && g.kw >= 1 && g.stride >= 1 && g.top >= 0 && g.left >= 0,
              "depthwise by {}x{} moving by {}, padded by {} and {}", g.kh, g.kw, g.stride, g.top, g.left);
    require_indexable(std::int64_t{g.n} * g.h * g.w * g.c);
    require_indexable(std::int64_t{g.n} * g.p * g.q * g.c);
}

bool is_three_by_three(const DepthwiseShape& g) { return g.kh == 3 && g.kw == 3 && g.stride == 1; }

}  // namespace

void depthwise_fwd(const Depthwise& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    check(g);
    by_float_type(a.dtype, "depthwise", [&]<class T>(T) {
        const bool vector = g.c % kVector<T> == 0 && is_aligned(a.x) && is_aligned(a.w) && is_aligned(a.y);
        if (vector && is_three_by_three(g)) {
            launch_tiles<T, false>({a.x, a.w, a.bias, a.y, a.activation, g.h, g.w, g.c, g.p, g.q, g.top, g.left,
                                    Divisor(1), Divisor(1), Divisor(1)},
                                   g.n, stream);
        } else if (vector) {
            launch_plain<Depthwise>(depthwise_fwd_kernel<T, kVector<T>>, a, g.p, g.q, kVector<T>, stream);
        } else {
            launch_plain<Depthwise>(depthwise_fwd_kernel<T, 1>, a, g.p, g.q, 1, stream);
        }
    });
}

void depthwise_dgrad(const DepthwiseDgrad& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    check(g);
    by_float_type(a.dtype, "depthwise", [&]<class T>(T) {
        const bool vector = g.c % kVector<T> == 0 && is_aligned(a.dy) && is_aligned(a.w) && is_aligned(a.dx);
        if (vector && is_three_by_three(g)) {
            // dx(h) = sum of dy(h + top - r) w(r) = sum of dy(h - (2 - top) + r') w(2 - r')
            launch_tiles<T, true>({a.dy, a.w, nullptr, a.dx, Activation::kNone, g.p, g.q, g.c, g.h, g.w, 2 - g.top,
                                   2 - g.left, Divisor(1), Divisor(1), Divisor(1)},
                                  g.n, stream);
        } else if (vector) {
            launch_plain<DepthwiseDgrad>(depthwise_dgrad_kernel<T, kVector<T>>, a, g.h, g.w, kVector<T>, stream);
        } else {
            launch_plain<DepthwiseDgrad>(depthwise_dgrad_kernel<T, 1>, a, g.h, g.w, 1, stream);
        }
    });
}

}  // namespace fer::FER_PORT
