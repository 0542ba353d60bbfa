#include "kernels/first_conv.hpp"

#include "kernels/augment.cuh"
#include "kernels/first_conv.cuh"

namespace fer::FER_PORT {
namespace {

constexpr int kPixels = kTilePixels / kTileSlots;  // per thread

struct Forward {
    ImageTiles tiles;
    ImageBatch batch;
    bool affine;  // the batch's images are turned, shifted or zoomed
    const void* w;
    const float* bias;
    void* y;
    Activation activation;
    bool vector;
};

/// The image under a tile out of the data set. A pixel lies under the halos of several tiles, but under the outputs of
/// one: that one stores it. All threads call, as with load_image_tile().
template <class T>
FER_DEVICE void make_image_tile(float* tile, const Forward& k, const TileOrigin& at) {
    FER_SHARED(ImageMap, map);
    const ImageBatch& a = k.batch;
    const FirstConvShape& g = k.tiles.g;
    const std::int64_t image = a.order[a.clock[kCursorWord] + at.n];
    if (threadIdx.x == 0) {
        draw_map(map, a.augmentation, k.affine, a.clock, static_cast<unsigned>(at.n), a.h, a.w);
        if (at.p == 0 && at.q == 0) {
            a.batch_labels[at.n] = a.labels[image];
        }
    }
    __syncthreads();
    const std::uint8_t* const from = a.images + image * (g.h * g.w);
    T* const y = static_cast<T*>(a.y) + at.n * g.h * g.w;
    const int total = k.tiles.height * k.tiles.width;
    for (int i = static_cast<int>(threadIdx.x); i < total; i += static_cast<int>(kTileThreads)) {
        const int row = at.p - g.top + i / k.tiles.width;
        const int column = at.q - g.left + i % k.tiles.width;
        float value = 0.0f;
        if (row >= 0 && row < g.h && column >= 0 && column < g.w) {
            const T made = batch_pixel<T>(map, a, from, row, column);
            value = to_float(made);
            if (row >= at.p && row < at.p + kTileRows && column >= at.q && column < at.q + kTileColumns) {
                y[row * g.w + column] = made;
            }
        }
        tile[i] = value;
    }
}

/// What a thread computes: kTileOwn channels of kPixels pixels.
using Share = float[kPixels][kTileOwn];

/// Weights of kTileChannels outputs from `first` on, as (taps, kTileChannels), zeros beyond the last.
template <class T>
FER_DEVICE void load_weights(float* weights, const Forward& k, int taps, int first) {
    const int outputs = k.tiles.g.k;
    for (int i = static_cast<int>(threadIdx.x); i < taps * kTileChannels; i += static_cast<int>(kTileThreads)) {
        const int channel = first + i % kTileChannels;
        const int from = i / kTileChannels * outputs + channel;
        weights[i] = channel < outputs ? to_float(static_cast<const T*>(k.w)[from]) : 0.0f;
    }
}

FER_DEVICE void start_with_bias(Share& sum, const Forward& k, int channel) {
#pragma unroll
    for (int v = 0; v < kTileOwn; ++v) {
        const float bias = k.bias != nullptr && channel + v < k.tiles.g.k ? k.bias[channel + v] : 0.0f;
#pragma unroll
        for (int j = 0; j < kPixels; ++j) {
            sum[j][v] = bias;
        }
    }
}

/// Per kernel place 2 + kPixels reads of shared memory for kPixels * kTileOwn products.
template <int kSide, int kDepth>
FER_DEVICE void add_products(Share& sum, const Forward& k, const float* tile, const float* weight, int slot) {
    const FirstConvShape& g = k.tiles.g;
    const int kh = kSide > 0 ? kSide : g.kh;
    const int row_taps = kSide > 0 ? kSide * kDepth : g.kw * g.c;
    const int c = kDepth > 0 ? kDepth : g.c;
    const int width = k.tiles.width * c;
    int start[kPixels];  // of a pixel's window in the tile
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
        const int pixel = slot + j * kTileSlots;
        start[j] = (pixel / kTileColumns * width + pixel % kTileColumns * c) * g.stride;
    }
    for (int r = 0; r < kh; ++r) {
#pragma unroll(kSide > 0 ? kSide * kDepth : 1)
        for (int i = 0; i < row_taps; ++i) {
            float w[kTileOwn];
            load_floats(w, weight);
            weight += kTileChannels;
#pragma unroll
            for (int j = 0; j < kPixels; ++j) {
                const float x = tile[start[j] + r * width + i];
#pragma unroll
                for (int v = 0; v < kTileOwn; ++v) {
                    sum[j][v] = fmaf(x, w[v], sum[j][v]);
                }
            }
        }
    }
}

template <class T>
FER_DEVICE void store_share(Share& sum, const Forward& k, const TileOrigin& at, int slot, int channel) {
    const FirstConvShape& g = k.tiles.g;
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
        const int pixel = slot + j * kTileSlots;
        const int p = at.p + pixel / kTileColumns;
        const int q = at.q + pixel % kTileColumns;
        if (p < g.p && q < g.q && channel < g.k) {
#pragma unroll
            for (int v = 0; v < kTileOwn; ++v) {
                sum[j][v] = activate(sum[j][v], k.activation);
            }
            T* y = static_cast<T*>(k.y) + ((at.n * g.p + p) * g.q + q) * g.k + channel;
            k.vector ? store_floats(y, sum[j]) : store_floats(y, sum[j], g.k - channel);
        }
    }
}

/// A block computes a tile of outputs, kTileChannels at a time, from one copy of the image under it.
/// kSide, kDepth: kernel side and input channels where they are known, else 0. kMakes: the image is made here.
template <class T, int kSide, int kDepth, bool kMakes = false>
__global__ void __launch_bounds__(kTileThreads) first_conv_fwd_kernel(Forward k) {
    wait_for_previous();
    FER_DYNAMIC_SHARED(float, memory);
    const FirstConvShape& g = k.tiles.g;
    const int taps = g.kh * g.kw * g.c;
    float* weights = memory;                      // (taps, kTileChannels)
    float* tile = memory + taps * kTileChannels;  // (height, width, c)
    const int group = static_cast<int>(threadIdx.x) % kTileGroups * kTileOwn;
    const int slot = static_cast<int>(threadIdx.x) / kTileGroups;

    const TileOrigin at = tile_origin(k.tiles, blockIdx.x);
    if constexpr (kMakes) {
        make_image_tile<T>(tile, k, at);
    } else {
        load_image_tile<T>(tile, k.tiles, at);
    }
    for (int first = 0; first < g.k; first += kTileChannels) {
        __syncthreads();  // the weights of the last round were read
        load_weights<T>(weights, k, taps, first);
        __syncthreads();
        Share sum;
        start_with_bias(sum, k, first + group);
        add_products<kSide, kDepth>(sum, k, tile, weights + group, slot);
        store_share<T>(sum, k, at, slot, first + group);
    }
}

}  // namespace

void first_conv_fwd(const FirstConv& a, cudaStream_t stream) {
    const FirstConvShape& g = a.shape;
    const ImageBatch& batch = a.batch;
    const bool makes = batch.images != nullptr;
    FER_CHECK(!makes || (g.c == 1 && g.stride == 1 && g.p == g.h && g.q == g.w && g.top < g.kh && g.left < g.kw),
              "first_conv makes images of one channel for as many outputs as pixels, not {}x{}x{} for {}x{}", g.h, g.w,
              g.c, g.p, g.q);
    FER_CHECK(!makes || (batch.batch == g.n && batch.h == g.h && batch.w == g.w && batch.to == a.dtype),
              "first_conv takes {} images of {}x{}, not {} of {}x{} in another type", g.n, g.h, g.w, batch.batch,
              batch.h, batch.w);
    const ImageTiles tiles = image_tiles(g, a.x);
    by_float_type(a.dtype, "first_conv", [&]<class T>(T) {
        const bool square3 = g.kh == 3 && g.kw == 3;
        const auto kernel = makes && square3      ? first_conv_fwd_kernel<T, 3, 1, true>
                            : makes               ? first_conv_fwd_kernel<T, 0, 0, true>
                            : square3 && g.c == 1 ? first_conv_fwd_kernel<T, 3, 1>
                            : square3 && g.c == 3 ? first_conv_fwd_kernel<T, 3, 3>
                                                  : first_conv_fwd_kernel<T, 0, 0>;
        const auto floats = static_cast<unsigned>(g.kh * g.kw * g.c * kTileChannels + tiles.floats());
        const Launch shape{.grid = dim3(g.k > 0 ? tiles.count : 0),
                           .block = dim3(kTileThreads),
                           .dynamic_shared = floats * static_cast<unsigned>(sizeof(float))};
        const bool vector = g.k % kTileOwn == 0 && is_aligned(a.y);
        launch(kernel, shape, stream,
               {tiles, batch, any_affine(batch.augmentation), a.w, a.bias, a.y, a.activation, vector});
    });
}

}  // namespace fer::FER_PORT
