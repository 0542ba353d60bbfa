// The operands of the convolutions' matrix products on their way from tensors to shared memory.
//
// A tile of an operand is an array of rows of 16-byte chunks. "KInner" tiles are [outer][k], the others [k][outer],
// whichever way the tensor itself is contiguous. A thread keeps its chunk column and visits every few rows, so what
// belongs to the column (a place in the kernel and a channel) is worked out once per tile.
#pragma once

#include "kernels/activation.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {

/// Elements of the sum in a tile: 64 bytes.
template <class T>
inline constexpr int kTileK = static_cast<int>(64 / sizeof(T));

template <class T, int Outer, bool KInner>
struct OperandTile {
    static constexpr bool kInner = KInner;
    static constexpr int kRows = KInner ? Outer : kTileK<T>;
    static constexpr int kColumns = KInner ? kTileK<T> : Outer;
    // 16 bytes of padding put the 8 rows that an ldmatrix reads into different banks; the 32-bit types read [k][outer]
    // tiles 4 rows by 8 columns at a time, which 32 bytes keep apart.
    static constexpr int kPitch = kColumns + (KInner || sizeof(T) == 2 ? kVector<T> : 8);
    static constexpr int kElements = kRows * kPitch;
    static constexpr int kChunks = kColumns / kVector<T>;
};

/// Pixels that are computed, and where each of their kernel places is read:
///     row = p * step + base_h + r * turn
/// forward and weight gradient: step = stride, base = -top, turn = 1; data gradient, see conv2d_dgrad.cu: turn = -1.
struct ConvGather {
    Divisor pixels{1};   // computed per image
    Divisor columns{1};  // computed per row
    Divisor channels{1};
    Divisor taps{1};                       // kernel places per row
    int height = 0, width = 0, depth = 0;  // of the tensor read
    int step = 1, base_h = 0, base_w = 0, turn = 1;
};

struct GemmArgs {
    const void* a = nullptr;
    const void* b = nullptr;
    void* out = nullptr;
    float* partial = nullptr;  // (splits, rows, n) where splits > 1; rows = m, or m + 1 with dbias
    float* dbias = nullptr;
    const float* bias = nullptr;
    const void* residual = nullptr;
    float* moments = nullptr;
    ConvGather gather = {};
    unsigned m = 0, n = 0, k = 0;
    unsigned tiles_n = 0, k_tiles = 0, k_tiles_per_split = 0, splits = 1;
    bool wide_a = false, wide_b = false, wide_out = false;  // rows are multiples of 16 bytes
    bool out_is_f32 = false;
    Activation activation = Activation::kNone;
    // Data gradient: the kernel places of this class, and where the computed pixels lie in dx.
    int tap_step = 1, tap_h = 0, tap_w = 0, kernel_w = 1;
    int out_step = 1, out_h = 0, out_w = 0, out_height = 0, out_width = 0;
};

/// One element, where rows are not aligned: 4 bytes asynchronously, 2 bytes through a register.
template <class T>
FER_DEVICE void copy_element(T* to, const T* from, bool valid) {
    if constexpr (sizeof(T) == 4) {
        cp_async<4>(to, from, valid);
    } else {
        *to = valid ? *from : from_float<T>(0.0f);
    }
}

template <int Width, class T>
FER_DEVICE void copy_group(T* to, const T* from, bool valid) {
    if constexpr (Width == 1) {
        copy_element(to, from, valid);
    } else {
        cp_async<16>(to, from, valid);
    }
}

/// A place of the kernel and a channel: what an index r,s,c counts.
struct KernelTap {
    int r, s, channel;
};
FER_DEVICE KernelTap tap_at(const ConvGather& g, unsigned index) {
    const unsigned channel = g.channels.peel(index);
    const unsigned s = g.taps.peel(index);
    return {static_cast<int>(index), static_cast<int>(s), static_cast<int>(channel)};
}

/// Corner of the window of a pixel; out of reach for pixels past the last, so that no place of it is inside.
struct alignas(16) PixelWindow {
    unsigned image;  // first pixel of the image in the tensor read
    int h, w;
};
FER_DEVICE PixelWindow window_at(const ConvGather& g, unsigned pixel, bool exists) {
    const unsigned place = g.pixels.peel(pixel);
    unsigned row = place;
    const int column = static_cast<int>(g.columns.peel(row));
    return {pixel * static_cast<unsigned>(g.height * g.width),
            exists ? static_cast<int>(row) * g.step + g.base_h : -(1 << 30), column * g.step + g.base_w};
}

/// A group of elements to fetch; nothing to fetch where not valid.
struct Source {
    unsigned offset;
    bool valid;
};
FER_DEVICE Source source_of(const ConvGather& g, const PixelWindow& at, const KernelTap& tap, bool exists) {
    const auto h = static_cast<unsigned>(at.h + tap.r * g.turn);
    const auto w = static_cast<unsigned>(at.w + tap.s * g.turn);
    const bool valid = exists && h < static_cast<unsigned>(g.height) && w < static_cast<unsigned>(g.width);
    const unsigned offset = (at.image + h * static_cast<unsigned>(g.width) + w) * static_cast<unsigned>(g.depth) +
                            static_cast<unsigned>(tap.channel);
    return {valid ? offset : 0, valid};
}

/// What the loaders share: the place of a thread in a tile.
template <class T, class Tile, int Threads>
struct TilePlace {
    static constexpr int kRowStep = Threads / Tile::kChunks;
    static constexpr int kPasses = Tile::kRows / kRowStep;
    static_assert(Threads % Tile::kChunks == 0 && Tile::kRows % kRowStep == 0);

    FER_DEVICE static unsigned column() { return threadIdx.x % Tile::kChunks * kVector<T>; }
    FER_DEVICE static unsigned row(int pass) {
        return threadIdx.x / Tile::kChunks + static_cast<unsigned>(pass * kRowStep);
    }
    /// One group for every pass. The sources are known before the first copy is issued: for all the compiler knows a
    /// copy writes any memory, and what comes after it is worked out anew (28 more instructions in that loop).
    template <int Width>
    FER_DEVICE static void copy(T* tile, int j, const T* tensor, const Source (&sources)[kPasses]) {
        T* const to = tile + row(0) * Tile::kPitch + column() + j;
#pragma unroll
        for (int i = 0; i < kPasses; ++i) {
            copy_group<Width>(to + i * kRowStep * Tile::kPitch, tensor + sources[i].offset, sources[i].valid);
        }
    }
};

/// A of forward and data gradient, [pixel][r,s,c]. The windows lie in shared memory: from registers the compiler
/// prefers to work them out again for every tile of the sum (35 of the 207 instructions of the 128x128 loop; bf16,
/// sm_90a, CUDA 13.0).
template <class T, class Tile, int Threads>
struct PixelRows {
    using Place = TilePlace<T, Tile, Threads>;
    const PixelWindow* windows;

    /// A barrier for the block.
    FER_DEVICE void start(const GemmArgs& g, unsigned first) {
        FER_SHARED(PixelWindow, shared_windows, [Tile::kRows]);
        for (unsigned row = threadIdx.x; row < Tile::kRows; row += Threads) {
            shared_windows[row] = window_at(g.gather, first + row, first + row < g.m);
        }
        windows = shared_windows;
        __syncthreads();
    }
    template <int Width>
    FER_DEVICE void load(const GemmArgs& g, T* tile, unsigned first_k) const {
#pragma unroll 1
        for (int j = 0; j < kVector<T>; j += Width) {
            const unsigned k = first_k + Place::column() + static_cast<unsigned>(j);
            const KernelTap tap = tap_at(g.gather, k);
            Source sources[Place::kPasses];
#pragma unroll
            for (int i = 0; i < Place::kPasses; ++i) {
                sources[i] = source_of(g.gather, windows[Place::row(i)], tap, k < g.k);
            }
            Place::template copy<Width>(tile, j, static_cast<const T*>(g.a), sources);
        }
    }
};

/// A of the weight gradient, [pixel][r,s,c] too, but the sum runs over the pixels.
template <class T, class Tile, int Threads>
struct PixelColumns {
    using Place = TilePlace<T, Tile, Threads>;
    unsigned first_m;
    KernelTap first_tap;

    FER_DEVICE void start(const GemmArgs& g, unsigned first) {
        first_m = first + Place::column();
        first_tap = tap_at(g.gather, first_m);
    }
    template <int Width>
    FER_DEVICE void load(const GemmArgs& g, T* tile, unsigned first_k) const {
        PixelWindow windows[Place::kPasses];
#pragma unroll
        for (int i = 0; i < Place::kPasses; ++i) {
            const unsigned pixel = first_k + Place::row(i);
            windows[i] = window_at(g.gather, pixel, pixel < g.k);
        }
#pragma unroll 1
        for (int j = 0; j < kVector<T>; j += Width) {
            const unsigned m = first_m + static_cast<unsigned>(j);
            const KernelTap tap = j == 0 ? first_tap : tap_at(g.gather, m);
            Source sources[Place::kPasses];
#pragma unroll
            for (int i = 0; i < Place::kPasses; ++i) {
                sources[i] = source_of(g.gather, windows[i], tap, m < g.m);
            }
            Place::template copy<Width>(tile, j, static_cast<const T*>(g.a), sources);
        }
    }
};

/// B of forward and weight gradient: a plain (k, n) matrix.
template <class T, class Tile, int Threads>
struct MatrixRows {
    using Place = TilePlace<T, Tile, Threads>;
    unsigned first_n;

    FER_DEVICE void start(const GemmArgs&, unsigned first) { first_n = first + Place::column(); }
    template <int Width>
    FER_DEVICE void load(const GemmArgs& g, T* tile, unsigned first_k) const {
#pragma unroll 1
        for (int j = 0; j < kVector<T>; j += Width) {
            const unsigned n = first_n + static_cast<unsigned>(j);
            Source sources[Place::kPasses];
#pragma unroll
            for (int i = 0; i < Place::kPasses; ++i) {
                const unsigned k = first_k + Place::row(i);
                const bool valid = k < g.k && n < g.n;
                sources[i] = {valid ? k * g.n + n : 0, valid};
            }
            Place::template copy<Width>(tile, j, static_cast<const T*>(g.b), sources);
        }
    }
};

/// B of the data gradient: the weights (r, s, c, k) with the channel c outside and r, s, k inside.
template <class T, class Tile, int Threads>
struct TapRows {
    using Place = TilePlace<T, Tile, Threads>;
    unsigned first_n;

    FER_DEVICE void start(const GemmArgs&, unsigned first) { first_n = first; }
    template <int Width>
    FER_DEVICE void load(const GemmArgs& g, T* tile, unsigned first_k) const {
#pragma unroll 1
        for (int j = 0; j < kVector<T>; j += Width) {
            const unsigned k = first_k + Place::column() + static_cast<unsigned>(j);
            const KernelTap tap = tap_at(g.gather, k);
            const int place = (g.tap_h + g.tap_step * tap.r) * g.kernel_w + g.tap_w + g.tap_step * tap.s;
            Source sources[Place::kPasses];
#pragma unroll
            for (int i = 0; i < Place::kPasses; ++i) {
                const unsigned n = first_n + Place::row(i);
                const bool valid = k < g.k && n < g.n;
                const unsigned offset =
                    (static_cast<unsigned>(place) * g.n + n) * static_cast<unsigned>(g.gather.depth) +
                    static_cast<unsigned>(tap.channel);
                sources[i] = {valid ? offset : 0, valid};
            }
            Place::template copy<Width>(tile, j, static_cast<const T*>(g.b), sources);
        }
    }
};

}  // namespace fer::FER_PORT
