#include <algorithm>

#include "kernels/first_conv.cuh"
#include "kernels/first_conv.hpp"
#include "kernels/sum_partials.hpp"

namespace fer::FER_PORT {
namespace {

constexpr int kTaps = 9;           // sums per channel in the registers of a thread; larger kernels take several blocks
constexpr int kSums = kTaps + 1;   // and the bias
constexpr unsigned kBlocks = 512;  // that share a sum, at most: about four on each of 132 multiprocessors
constexpr unsigned kWarps = kTileThreads / kWarp;

struct Backward {
    ImageTiles tiles;
    FirstConvWgrad a;
    unsigned per_block;  // tiles
    bool vector;
};

/// The gradient of kTileOwn channels of a pixel, at `offset` in dy.
template <class T>
FER_DEVICE void load_gradient(float (&d)[kTileOwn], const Backward& k, unsigned offset, int valid) {
    const FirstConvWgrad& a = k.a;
    const T* dy = static_cast<const T*>(a.dy) + offset;
    k.vector ? load_floats(d, dy) : load_floats(d, dy, valid);
    unsigned bits = 0;
    if (a.mask != nullptr) {
        if (k.vector) {  // k % 8 == 0, so the channels are one byte of the mask
            bits = reinterpret_cast<const std::uint8_t*>(a.mask)[offset / kTileOwn];
        } else {
            for (int v = 0; v < valid && v < kTileOwn; ++v) {
                bits |= (a.mask[(offset + v) / 32] >> (offset + v) % 32 & 1u) << v;
            }
        }
    } else if (a.y != nullptr) {
        float y[kTileOwn];
        const T* from = static_cast<const T*>(a.y) + offset;
        k.vector ? load_floats(y, from) : load_floats(y, from, valid);
#pragma unroll
        for (int v = 0; v < kTileOwn; ++v) {
            bits |= passes(y[v], a.activation) ? 1u << v : 0u;
        }
    } else {
        return;
    }
#pragma unroll
    for (int v = 0; v < kTileOwn; ++v) {
        d[v] = (bits >> v & 1u) != 0 ? d[v] : 0.0f;
    }
}

/// Adds up a block's sums: pixels of a warp by shuffles, then the warps in order.
FER_DEVICE void write_partial(float (&sum)[kSums][kTileOwn], float (&shared)[kWarps][kSums * kTileChannels],
                              const Backward& k, int first_channel, int first_tap) {
    const FirstConvShape& g = k.tiles.g;
    const int taps = g.kh * g.kw * g.c;
#pragma unroll
    for (int j = 0; j < kSums; ++j) {
#pragma unroll
        for (int v = 0; v < kTileOwn; ++v) {
#pragma unroll
            for (int step = kTileGroups; step < static_cast<int>(kWarp); step *= 2) {
                sum[j][v] += __shfl_xor_sync(kFullWarp, sum[j][v], step);
            }
            if (lane_id() < kTileGroups) {
                shared[warp_id()][j * kTileChannels + static_cast<int>(lane_id()) * kTileOwn + v] = sum[j][v];
            }
        }
    }
    __syncthreads();
    float* out = static_cast<float*>(k.a.workspace) + blockIdx.x * static_cast<unsigned>((taps + 1) * g.k);
    for (int i = static_cast<int>(threadIdx.x); i < kSums * kTileChannels; i += static_cast<int>(kTileThreads)) {
        const int channel = first_channel + i % kTileChannels;
        const int j = i / kTileChannels;
        // The bias comes last in a row of the workspace, from the blocks of the first kernel places.
        const int tap = j < kTaps ? first_tap + j : taps;
        const bool wanted = j < kTaps ? tap < taps : first_tap == 0;
        if (wanted && channel < g.k) {
            float total = shared[0][i];
            for (unsigned warp = 1; warp < kWarps; ++warp) {
                total += shared[warp][i];
            }
            out[tap * g.k + channel] = total;
        }
    }
}

/// Blocks: x takes tiles, y kTileChannels channels, z kTaps kernel places. A thread keeps the sums of kTileOwn channels
/// for all of its pixels: 9 reads of shared memory and 16 bytes of dy for 80 additions.
template <class T>
__global__ void __launch_bounds__(kTileThreads, 4) first_conv_wgrad_kernel(Backward k) {
    wait_for_previous();
    FER_DYNAMIC_SHARED(float, tile);
    FER_SHARED(float, shared, [kWarps][kSums * kTileChannels]);
    const FirstConvShape& g = k.tiles.g;
    const int first_channel = static_cast<int>(blockIdx.y) * kTileChannels;
    const int first_tap = static_cast<int>(blockIdx.z) * kTaps;
    const int channel = first_channel + static_cast<int>(threadIdx.x) % kTileGroups * kTileOwn;
    const int slot = static_cast<int>(threadIdx.x) / kTileGroups;
    const int width = k.tiles.width * g.c;
    int offset[kTaps];  // of kernel places in the tile; those beyond the last read some place and are not written
#pragma unroll
    for (int j = 0; j < kTaps; ++j) {
        const int tap = min(first_tap + j, g.kh * g.kw * g.c - 1);
        offset[j] = tap / (g.kw * g.c) * width + tap % (g.kw * g.c);
    }
    float sum[kSums][kTileOwn] = {};
    const unsigned end = min(k.tiles.count, (blockIdx.x + 1) * k.per_block);
    for (unsigned index = blockIdx.x * k.per_block; index < end; ++index) {
        const TileOrigin at = tile_origin(k.tiles, index);
        __syncthreads();  // the last tile was read
        load_image_tile<T>(tile, k.tiles, at);
        __syncthreads();
        for (int pixel = slot; pixel < kTilePixels; pixel += kTileSlots) {
            const int p = pixel / kTileColumns;
            const int q = pixel % kTileColumns;
            if (at.p + p >= g.p || at.q + q >= g.q || channel >= g.k) {
                continue;
            }
            const unsigned from = ((at.n * g.p + at.p + p) * g.q + at.q + q) * g.k + channel;
            float d[kTileOwn];
            load_gradient<T>(d, k, from, g.k - channel);
            const float* x = tile + (p * width + q * g.c) * g.stride;
#pragma unroll
            for (int j = 0; j < kSums; ++j) {
                const float value = j < kTaps ? x[offset[j < kTaps ? j : 0]] : 1.0f;
#pragma unroll
                for (int v = 0; v < kTileOwn; ++v) {
                    sum[j][v] = fmaf(value, d[v], sum[j][v]);
                }
            }
        }
    }
    write_partial(sum, shared, k, first_channel, first_tap);
}

struct Split {
    unsigned per_block, blocks;
};
Split split(unsigned tiles) {
    const unsigned per_block = std::max(1u, (tiles + kBlocks - 1) / kBlocks);
    return {per_block, (tiles + per_block - 1) / per_block};
}

int row_floats(const FirstConvShape& g) { return (g.kh * g.kw * g.c + 1) * g.k; }

}  // namespace

std::int64_t first_conv_wgrad_workspace(const FirstConvWgrad& a) {
    const ImageTiles tiles = image_tiles(a.shape, a.x);
    return std::int64_t{split(tiles.count).blocks} * row_floats(a.shape) * static_cast<std::int64_t>(sizeof(float));
}

void first_conv_wgrad(const FirstConvWgrad& a, cudaStream_t stream) {
    const FirstConvShape& g = a.shape;
    const ImageTiles tiles = image_tiles(g, a.x);
    const Split s = split(tiles.count);
    const int taps = g.kh * g.kw * g.c;
    by_float_type(a.dtype, "first_conv", [&]<class T>(T) {
        const Launch shape{.grid = dim3(s.blocks, static_cast<unsigned>((g.k + kTileChannels - 1) / kTileChannels),
                                        static_cast<unsigned>((taps + kTaps - 1) / kTaps)),
                           .block = dim3(kTileThreads),
                           .dynamic_shared = static_cast<unsigned>(tiles.floats()) * 4};
        const bool vector = g.k % kTileOwn == 0 && is_aligned(a.dy) && (a.y == nullptr || is_aligned(a.y));
        launch(first_conv_wgrad_kernel<T>, shape, stream, {tiles, a, s.per_block, vector});
    });
    const auto* partials = static_cast<const float*>(a.workspace);
    SumPartials sums{.partials = partials,
                     .out = a.dw,
                     .parts = static_cast<int>(s.blocks),
                     .count = taps * g.k,
                     .pitch = row_floats(g),
                     .out_dtype = a.dw_dtype};
    sum_partials(sums, stream);
    if (a.dbias != nullptr) {
        sums.partials = partials + sums.count;
        sums.out = a.dbias;
        sums.count = g.k;
        sums.out_dtype = DType::kF32;
        sum_partials(sums, stream);
    }
}

}  // namespace fer::FER_PORT
