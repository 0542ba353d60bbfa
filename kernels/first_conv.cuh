// What the two directions of the first convolution share: the image under a tile of outputs, as floats in shared
// memory.
#pragma once

#include "kernels/first_conv.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {

inline constexpr int kTileRows = 8;      // of outputs
inline constexpr int kTileColumns = 16;  // a third of the 48 columns of a face
inline constexpr int kTilePixels = kTileRows * kTileColumns;
inline constexpr unsigned kTileThreads = 128;
inline constexpr int kTileGroups = 4;  // of channels side by side ...
inline constexpr int kTileOwn = 8;     // ... of which a thread owns this many: 16 bytes of a 16-bit type
inline constexpr int kTileChannels = kTileGroups * kTileOwn;
inline constexpr int kTileSlots = static_cast<int>(kTileThreads) / kTileGroups;  // pixels side by side

struct ImageTiles {
    FirstConvShape g;
    const void* x;
    Divisor columns, rows;  // tiles of an image
    unsigned count;         // tiles of the batch
    int height, width;      // of the image under a tile

    int floats() const { return height * width * g.c; }
};

inline ImageTiles image_tiles(const FirstConvShape& g, const void* x) {
    FER_CHECK(
        g.c >= 1 && g.c <= 4 && g.kh >= 1 && g.kh <= 7 && g.kw >= 1 && g.kw <= 7 && g.stride >= 1 && g.stride <= 4,
        "first_conv takes 1 to 4 channels, kernels up to 7x7 and strides up to 4, got {}, {}x{}, {}", g.c, g.kh, g.kw,
        g.stride);
    require_indexable(std::int64_t{g.n} * g.h * g.w * g.c);
    require_indexable(std::int64_t{g.n} * g.p * g.q * g.k);
    const auto columns = static_cast<unsigned>((g.q + kTileColumns - 1) / kTileColumns);
    const auto rows = static_cast<unsigned>((g.p + kTileRows - 1) / kTileRows);
    return {g,
            x,
            Divisor(columns),
            Divisor(rows),
            static_cast<unsigned>(g.n) * columns * rows,
            (kTileRows - 1) * g.stride + g.kh,
            (kTileColumns - 1) * g.stride + g.kw};
}

/// Where a tile lies.
struct TileOrigin {
    int n, p, q;
};
FER_DEVICE TileOrigin tile_origin(const ImageTiles& t, unsigned index) {
    const auto q = static_cast<int>(t.columns.peel(index)) * kTileColumns;
    const auto p = static_cast<int>(t.rows.peel(index)) * kTileRows;
    return {static_cast<int>(index), p, q};
}

/// All threads call; a barrier must follow before the tile is read, and precede if it was read before.
template <class T>
FER_DEVICE void load_image_tile(float* tile, const ImageTiles& t, const TileOrigin& at) {
    const FirstConvShape& g = t.g;
    const int row0 = at.p * g.stride - g.top;
    const int column0 = at.q * g.stride - g.left;
    const int width = t.width * g.c;
    const int total = t.height * width;
    for (int i = static_cast<int>(threadIdx.x); i < total; i += static_cast<int>(kTileThreads)) {
        const int row = row0 + i / width;
        const int inner = i % width;  // column and channel: neighbours in memory
        const int column = column0 * g.c + inner;
        float value = 0.0f;
        if (row >= 0 && row < g.h && column >= 0 && column < g.w * g.c) {
            value = to_float(static_cast<const T*>(t.x)[(at.n * g.h + row) * g.w * g.c + column]);
        }
        tile[i] = value;
    }
}

}  // namespace fer::FER_PORT
