// What one warp does with two tiles in shared memory: products of fragments into float32 accumulators. All kinds of
// arithmetic keep the accumulators in the layout of mma.m16n8 (kernels/port/matrix.hpp), so what follows is shared:
// acc[i][j][0..3] of lane 4g + t are rows 16i + g, 16i + g + 8 and columns 8j + 2t, 8j + 2t + 1.
#pragma once

#include "kernels/conv2d_load.cuh"

namespace fer::FER_PORT {

/// The part of a block's tile, Rows x Columns, that falls to each of its warps.
template <int Rows, int Columns, int WarpRows, int WarpColumns, int ResidentBlocks>
struct BlockTile {
    static constexpr int kRows = Rows;
    static constexpr int kColumns = Columns;
    static constexpr int kThreads = Rows / WarpRows * (Columns / WarpColumns) * 32;
    static constexpr int kMt = WarpRows / 16;
    static constexpr int kNt = WarpColumns / 8;
    static constexpr int kResident = ResidentBlocks;
    static constexpr int kStages = 4;
    using Accumulators = float[kMt][kNt][4];

    // Blocks are one-dimensional.
    FER_DEVICE static unsigned warp_row() { return threadIdx.x / kWarp % (Rows / WarpRows) * WarpRows; }
    FER_DEVICE static unsigned warp_column() { return threadIdx.x / kWarp / (Rows / WarpRows) * WarpColumns; }
};

// Per thread 64 and 32 accumulators: within the 128 registers that 2 blocks of 256 or 4 of 128 threads leave.
using Tile128x128 = BlockTile<128, 128, 64, 32, 2>;
using Tile64x64 = BlockTile<64, 64, 32, 32, 4>;
using Tile128x32 = BlockTile<128, 32, 32, 32, 4>;

/// f16 and bf16.
template <class T>
struct HalfMath {
    using Element = T;

    template <class A, int Mt>
    FER_DEVICE static void load_a(std::uint32_t (&a)[Mt][4], const T* tile, unsigned row, int k) {
        const unsigned lane = lane_id();
#pragma unroll
        for (int i = 0; i < Mt; ++i) {
            if constexpr (A::kInner) {
                ldmatrix_x4(a[i], tile + (row + 16 * i + lane % 16) * A::kPitch + k + lane / 16 * 8);
            } else {
                ldmatrix_x4_trans(a[i],
                                  tile + (k + lane / 16 * 8 + lane % 8) * A::kPitch + row + 16 * i + lane / 8 % 2 * 8);
            }
        }
    }
    template <class B, int Nt>
    FER_DEVICE static void load_b(std::uint32_t (&b)[Nt][2], const T* tile, unsigned column, int k) {
        const unsigned lane = lane_id();
#pragma unroll
        for (int j = 0; j < Nt; j += 2) {
            std::uint32_t pair[4];
            if constexpr (B::kInner) {
                ldmatrix_x4(pair,
                            tile + (column + 8 * j + lane / 16 * 8 + lane % 8) * B::kPitch + k + lane / 8 % 2 * 8);
            } else {
                ldmatrix_x4_trans(pair, tile + (k + lane % 16) * B::kPitch + column + 8 * j + lane / 16 * 8);
            }
            b[j][0] = pair[0];
            b[j][1] = pair[1];
            b[j + 1][0] = pair[2];
            b[j + 1][1] = pair[3];
        }
    }
    template <class Block, class A, class B>
    FER_DEVICE static void multiply(typename Block::Accumulators& acc, const T* tile_a, const T* tile_b) {
#pragma unroll
        for (int k = 0; k < kTileK<T>; k += 16) {
            std::uint32_t a[Block::kMt][4];
            std::uint32_t b[Block::kNt][2];
            load_a<A>(a, tile_a, Block::warp_row(), k);
            load_b<B>(b, tile_b, Block::warp_column(), k);
#pragma unroll
            for (int i = 0; i < Block::kMt; ++i) {
#pragma unroll
                for (int j = 0; j < Block::kNt; ++j) {
                    mma_m16n8k16<T>(acc[i][j], a[i], b[j]);
                }
            }
        }
    }
};

/// f32 operands rounded to tf32 as they enter the registers. ldmatrix moves 32-bit elements just as well, as long as it
/// need not transpose them.
struct Tf32Math {
    using Element = float;

    template <class A, int Mt>
    FER_DEVICE static void load_a(std::uint32_t (&a)[Mt][4], const float* tile, unsigned row, int k) {
        const unsigned lane = lane_id();
#pragma unroll
        for (int i = 0; i < Mt; ++i) {
            if constexpr (A::kInner) {
                ldmatrix_x4(a[i], tile + (row + 16 * i + lane % 16) * A::kPitch + k + lane / 16 * 4);
#pragma unroll
                for (std::uint32_t& bits : a[i]) {
                    bits = to_tf32(__uint_as_float(bits));
                }
            } else {
                const float* from = tile + (k + lane % 4) * A::kPitch + row + 16 * i + lane / 4;
                a[i][0] = to_tf32(from[0]);
                a[i][1] = to_tf32(from[8]);
                a[i][2] = to_tf32(from[4 * A::kPitch]);
                a[i][3] = to_tf32(from[4 * A::kPitch + 8]);
            }
        }
    }
    template <class B, int Nt>
    FER_DEVICE static void load_b(std::uint32_t (&b)[Nt][2], const float* tile, unsigned column, int k) {
        const unsigned lane = lane_id();
#pragma unroll
        for (int j = 0; j < Nt; j += 2) {
            if constexpr (B::kInner) {
                std::uint32_t pair[4];
                ldmatrix_x4(pair,
                            tile + (column + 8 * j + lane / 16 * 8 + lane % 8) * B::kPitch + k + lane / 8 % 2 * 4);
                b[j][0] = to_tf32(__uint_as_float(pair[0]));
                b[j][1] = to_tf32(__uint_as_float(pair[1]));
                b[j + 1][0] = to_tf32(__uint_as_float(pair[2]));
                b[j + 1][1] = to_tf32(__uint_as_float(pair[3]));
            } else {
                const float* from = tile + (k + lane % 4) * B::kPitch + column + 8 * j + lane / 4;
                b[j][0] = to_tf32(from[0]);
                b[j][1] = to_tf32(from[4 * B::kPitch]);
                b[j + 1][0] = to_tf32(from[8]);
                b[j + 1][1] = to_tf32(from[4 * B::kPitch + 8]);
            }
        }
    }
    template <class Block, class A, class B>
    FER_DEVICE static void multiply(typename Block::Accumulators& acc, const float* tile_a, const float* tile_b) {
#pragma unroll
        for (int k = 0; k < kTileK<float>; k += 8) {
            std::uint32_t a[Block::kMt][4];
            std::uint32_t b[Block::kNt][2];
            load_a<A>(a, tile_a, Block::warp_row(), k);
            load_b<B>(b, tile_b, Block::warp_column(), k);
#pragma unroll
            for (int i = 0; i < Block::kMt; ++i) {
#pragma unroll
                for (int j = 0; j < Block::kNt; ++j) {
                    mma_m16n8k8_tf32(acc[i][j], a[i], b[j]);
                }
            }
        }
    }
};

/// f32 by fused multiply-adds: every accumulator adds its products one by one in the order of k.
struct FloatMath {
    using Element = float;

    template <class Tile>
    FER_DEVICE static float at(const float* tile, unsigned outer, int k) {
        return Tile::kInner ? tile[outer * Tile::kPitch + k] : tile[k * Tile::kPitch + outer];
    }
    template <class Block, class A, class B>
    FER_DEVICE static void multiply(typename Block::Accumulators& acc, const float* tile_a, const float* tile_b) {
        const unsigned row = Block::warp_row() + lane_id() / 4;
        const unsigned column = Block::warp_column() + lane_id() % 4 * 2;
#pragma unroll 2
        for (int k = 0; k < kTileK<float>; ++k) {
            float a[2 * Block::kMt];
            float b[2 * Block::kNt];
#pragma unroll
            for (int i = 0; i < 2 * Block::kMt; ++i) {
                a[i] = at<A>(tile_a, row + 8 * i, k);
            }
#pragma unroll
            for (int j = 0; j < 2 * Block::kNt; ++j) {
                b[j] = at<B>(tile_b, column + j / 2 * 8 + j % 2, k);
            }
#pragma unroll
            for (int i = 0; i < Block::kMt; ++i) {
#pragma unroll
                for (int j = 0; j < Block::kNt; ++j) {
#pragma unroll
                    for (int e = 0; e < 4; ++e) {
                        acc[i][j][e] = fmaf(a[2 * i + e / 2], b[2 * j + e % 2], acc[i][j][e]);
                    }
                }
            }
        }
    }
};

}  // namespace fer::FER_PORT
