#include <algorithm>

#include "kernels/depthwise.hpp"
#include "kernels/sum_partials.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kWarps = kThreads / kWarp;
constexpr int kTaps = 9;           // sums per channel in the registers of a thread; larger kernels take several blocks
constexpr int kSegment = 16;       // columns that a thread walks at most before it takes the next piece of work
constexpr unsigned kBlocks = 512;  // aimed at: four on each of 132 multiprocessors

/// The sum is cut into segments of rows of dy. Threads: `lanes` groups of V channels x kThreads / lanes segments at a
/// time.
struct WgradWork {
    DepthwiseWgrad a;
    unsigned lanes = 0;     // a power of two, at most 32
    unsigned segments = 0;  // of a row
    unsigned length = 0;    // columns of a segment
    unsigned units = 0;     // n * p * segments
    unsigned per_part = 0;  // units of a block
    unsigned parts = 0;     // blocks that share a sum
    unsigned groups = 0;    // of lanes * V channels
    unsigned chunks = 0;    // of kTaps kernel places
};

/// A segment: columns [begin, end) of output row p of image n.
struct Segment {
    int n, p, begin, end;
};
FER_DEVICE Segment segment_of(const WgradWork& k, unsigned unit) {
    const unsigned row = unit / k.segments;
    const int begin = static_cast<int>(unit % k.segments * k.length);
    const auto p = static_cast<unsigned>(k.a.shape.p);
    return {static_cast<int>(row / p), static_cast<int>(row % p), begin,
            min(k.a.shape.q, begin + static_cast<int>(k.length))};
}

template <class T, int V>
using Sums = float[kTaps][V];

template <class T, int V>
FER_DEVICE void load_or_zero(float (&out)[V], const T* base, unsigned offset, bool valid) {
    if (valid) {
        load_floats(out, base + offset);
    } else {
#pragma unroll
        for (int v = 0; v < V; ++v) {
            out[v] = 0.0f;
        }
    }
}

/// 3x3, stride 1: walks along the three rows of x under a row of dy. A column of x meets the three dy that were read
/// last, so four reads serve nine products.
template <class T, int V>
FER_DEVICE void add_segment_3x3(float (&sum)[kTaps][V], const WgradWork& k, const Segment& at, unsigned channel) {
    const DepthwiseShape& g = k.a.shape;
    const T* x = static_cast<const T*>(k.a.x) + channel;
    const T* dy = static_cast<const T*>(k.a.dy) + ((at.n * g.p + at.p) * g.q) * g.c + channel;
    const int row0 = at.p - g.top;
    float d[3][V] = {};  // d[s] meets x with kernel column s: dy of column iw + left - s
    for (int q = at.begin; q < at.end + 2; ++q) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
            d[2][v] = d[1][v];
            d[1][v] = d[0][v];
        }
        load_or_zero(d[0], dy, static_cast<unsigned>(q * g.c), q < at.end);
        const int column = q - g.left;
        if (column < 0 || column >= g.w) {
            continue;
        }
#pragma unroll
        for (int r = 0; r < 3; ++r) {
            const int row = row0 + r;
            float value[V];
            load_or_zero(value, x, static_cast<unsigned>(((at.n * g.h + row) * g.w + column) * g.c),
                         row >= 0 && row < g.h);
#pragma unroll
            for (int s = 0; s < 3; ++s) {
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    sum[r * 3 + s][v] = fmaf(value[v], d[s][v], sum[r * 3 + s][v]);
                }
            }
        }
    }
}

/// Any kernel and stride: kernel places first .. first + kTaps - 1.
template <class T, int V>
FER_DEVICE void add_segment(float (&sum)[kTaps][V], const WgradWork& k, const Segment& at, unsigned channel,
                            int first) {
    const DepthwiseShape& g = k.a.shape;
    const T* x = static_cast<const T*>(k.a.x) + channel;
    const T* dy = static_cast<const T*>(k.a.dy) + ((at.n * g.p + at.p) * g.q) * g.c + channel;
    for (int q = at.begin; q < at.end; ++q) {
        float d[V];
        load_floats(d, dy + q * g.c);
#pragma unroll
        for (int j = 0; j < kTaps; ++j) {
            const int tap = first + j;
            const int row = at.p * g.stride - g.top + tap / g.kw;
            const int column = q * g.stride - g.left + tap % g.kw;
            if (tap < g.kh * g.kw && row >= 0 && row < g.h && column >= 0 && column < g.w) {
                float value[V];
                load_floats(value, x + ((at.n * g.h + row) * g.w + column) * g.c);
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    sum[j][v] = fmaf(value[v], d[v], sum[j][v]);
                }
            }
        }
    }
}

/// Adds what the threads of a block have for the same channels: lanes by shuffles, then warps in order.
template <int V>
FER_DEVICE void write_partial(float (&sum)[kTaps][V], float (&shared)[kWarps][kTaps * V * kWarp], const WgradWork& k,
                              unsigned first_channel, int first_tap) {
    const DepthwiseShape& g = k.a.shape;
    const unsigned lanes = k.lanes;
#pragma unroll
    for (int j = 0; j < kTaps; ++j) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
            for (unsigned step = lanes; step < kWarp; step *= 2) {
                sum[j][v] += __shfl_xor_sync(kFullWarp, sum[j][v], step);
            }
            if (lane_id() < lanes) {
                shared[warp_id()][(j * lanes + lane_id()) * V + v] = sum[j][v];
            }
        }
    }
    __syncthreads();
    const unsigned width = lanes * V;  // channels of the block
    float* out = static_cast<float*>(k.a.workspace) + blockIdx.x * static_cast<unsigned>(g.kh * g.kw * g.c);
    for (unsigned i = threadIdx.x; i < kTaps * width; i += kThreads) {
        const unsigned tap = static_cast<unsigned>(first_tap) + i / width;
        const unsigned channel = first_channel + i % width;
        if (tap < static_cast<unsigned>(g.kh * g.kw) && channel < static_cast<unsigned>(g.c)) {
            float total = shared[0][i];
            for (unsigned warp = 1; warp < kWarps; ++warp) {
                total += shared[warp][i];
            }
            out[tap * static_cast<unsigned>(g.c) + channel] = total;
        }
    }
}

/// 2 blocks: for sm_80, ptxas 13.0 aims for 80 registers otherwise and spills one.
template <class T, int V, bool kThreeByThree>
__global__ void __launch_bounds__(kThreads, 2) depthwise_wgrad_kernel(WgradWork k) {
    wait_for_previous();
    FER_SHARED(float, shared, [kWarps][kTaps * V * kWarp]);
    const unsigned lane = threadIdx.x % k.lanes;
    const unsigned slot = threadIdx.x / k.lanes;
    const unsigned slots = kThreads / k.lanes;
    const unsigned first_channel = blockIdx.y * k.lanes * V;
    const unsigned channel = first_channel + lane * V;
    const int first_tap = static_cast<int>(blockIdx.z) * kTaps;
    const unsigned end = min(k.units, (blockIdx.x + 1) * k.per_part);

    float sum[kTaps][V] = {};
    for (unsigned unit = blockIdx.x * k.per_part + slot; channel < static_cast<unsigned>(k.a.shape.c) && unit < end;
         unit += slots) {
        const Segment segment = segment_of(k, unit);
        if constexpr (kThreeByThree) {
            add_segment_3x3<T, V>(sum, k, segment, channel);
        } else {
            add_segment<T, V>(sum, k, segment, channel, first_tap);
        }
    }
    write_partial<V>(sum, shared, k, first_channel, first_tap);
}

constexpr int kOwn = 4;  // channels per thread where they are aligned

WgradWork plan(const DepthwiseWgrad& a, int group) {
    const DepthwiseShape& g = a.shape;
    WgradWork k{.a = a};
    const auto vectors = static_cast<unsigned>((g.c + group - 1) / group);
    k.lanes = 1;
    while (k.lanes < vectors && k.lanes < kWarp) {
        k.lanes *= 2;
    }
    k.segments = static_cast<unsigned>((g.q + kSegment - 1) / kSegment);
    k.length = k.segments == 0 ? 0 : (static_cast<unsigned>(g.q) + k.segments - 1) / k.segments;
    k.units = static_cast<unsigned>(g.n * g.p) * k.segments;
    k.groups = (vectors + k.lanes - 1) / k.lanes;
    k.chunks = static_cast<unsigned>((g.kh * g.kw + kTaps - 1) / kTaps);
    const unsigned slots = kThreads / k.lanes;
    const unsigned most_parts = std::max(1u, kBlocks / (k.groups * k.chunks));
    const unsigned rounds = (k.units + slots * most_parts - 1) / (slots * most_parts);
    k.per_part = slots * std::max(1u, rounds);
    k.parts = (k.units + k.per_part - 1) / k.per_part;
    return k;
}

template <class T>
bool vectors(const DepthwiseWgrad& a) {
    return a.shape.c % kOwn == 0 && is_aligned(a.x, kOwn * sizeof(T)) && is_aligned(a.dy, kOwn * sizeof(T));
}

template <class T, int V>
void launch_wgrad(const WgradWork& k, cudaStream_t stream) {
    const DepthwiseShape& g = k.a.shape;
    const bool three_by_three = g.kh == 3 && g.kw == 3 && g.stride == 1;
    const Launch shape{.grid = dim3(k.parts, k.groups, k.chunks), .block = dim3(kThreads)};
    launch(three_by_three ? depthwise_wgrad_kernel<T, V, true> : depthwise_wgrad_kernel<T, V, false>, shape, stream, k);
}

}  // namespace

std::int64_t depthwise_wgrad_workspace(const DepthwiseWgrad& a) {
    // Whether the pointers are aligned may not be known yet: enough for either way.
    const unsigned parts = std::max(plan(a, 1).parts, a.shape.c % kOwn == 0 ? plan(a, kOwn).parts : 0);
    return std::int64_t{parts} * a.shape.kh * a.shape.kw * a.shape.c * static_cast<std::int64_t>(sizeof(float));
}

void depthwise_wgrad(const DepthwiseWgrad& a, cudaStream_t stream) {
    const DepthwiseShape& g = a.shape;
    FER_CHECK(g.kh >= 1 && g.kw >= 1 && g.stride >= 1, "depthwise by {}x{} moving by {}", g.kh, g.kw, g.stride);
    require_indexable(std::int64_t{g.n} * g.h * g.w * g.c);
    require_indexable(std::int64_t{g.n} * g.p * g.q * g.c);
    by_float_type(a.dtype, "depthwise", [&]<class T>(T) {
        const bool vector = vectors<T>(a);
        const WgradWork k = plan(a, vector ? kOwn : 1);
        vector ? launch_wgrad<T, kOwn>(k, stream) : launch_wgrad<T, 1>(k, stream);
        const int count = g.kh * g.kw * g.c;
        sum_partials({.partials = static_cast<const float*>(a.workspace),
                      .out = a.dw,
                      .parts = static_cast<int>(k.parts),
                      .count = count,
                      .pitch = count,
                      .out_dtype = a.dw_dtype},
                     stream);
    });
}

}  // namespace fer::FER_PORT
