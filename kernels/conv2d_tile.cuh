// One block's tile of a product: the pipeline from global memory through shared memory to accumulators, and its end.
//
//     stage 0 | stage 1 | stage 2 | stage 3      kStages - 1 tiles of the sum are on their way while one is multiplied
#pragma once

#include "kernels/conv2d_plan.hpp"
#include "kernels/conv2d_store.cuh"

namespace fer::FER_PORT {

enum class Direction : std::uint8_t { kForward, kDataGradient, kWeightGradient };

/// Which loaders serve a direction, and how they lay out their tiles.
template <Direction D, class T, class Block>
struct Operands {
    static constexpr bool kAInner = D != Direction::kWeightGradient;
    static constexpr bool kBInner = D == Direction::kDataGradient;
    using TileA = OperandTile<T, Block::kRows, kAInner>;
    using TileB = OperandTile<T, Block::kColumns, kBInner>;
    using LoaderA =
        std::conditional_t<kAInner, PixelRows<T, TileA, Block::kThreads>, PixelColumns<T, TileA, Block::kThreads>>;
    using LoaderB =
        std::conditional_t<kBInner, TapRows<T, TileB, Block::kThreads>, MatrixRows<T, TileB, Block::kThreads>>;

    static constexpr int kStageElements = TileA::kElements + TileB::kElements;
    static constexpr unsigned kBytes = static_cast<unsigned>(Block::kStages * kStageElements * sizeof(T));
    static_assert(kBytes >= Block::kRows * kResultPitch<Block> * sizeof(float), "results reuse the stages");
};

template <bool Wide, class T, class Loader>
FER_DEVICE void load_operand(const Loader& loader, const GemmArgs& g, T* tile, unsigned first_k, bool wide) {
    if (Wide || wide) {
        loader.template load<kVector<T>>(g, tile, first_k);
    } else {
        loader.template load<1>(g, tile, first_k);
    }
}

/// Adds up the columns of a [k][n] tile: the bias gradient, whose terms pass by in the weight gradient anyway. Over a
/// tile first, then over tiles: the error grows with the number of tiles only.
template <class Block, class Tile, class T>
FER_DEVICE void add_columns(float& sum, const T* tile) {
    float part = 0;
    for (unsigned k = threadIdx.x / Block::kColumns; k < Tile::kRows; k += Block::kThreads / Block::kColumns) {
        part += to_float(tile[k * Tile::kPitch + threadIdx.x % Block::kColumns]);
    }
    sum += part;
}

template <class Block>
FER_DEVICE void store_dbias(const GemmArgs& g, float sum, float* shared, unsigned first_n) {
    sum = sum_groups<Block>(sum, shared);
    const unsigned n = first_n + threadIdx.x;
    if (threadIdx.x < Block::kColumns && n < g.n) {
        float* const to = g.splits > 1 ? g.partial + (blockIdx.y * (g.m + 1) + g.m) * g.n : g.dbias;
        to[n] = sum;
    }
}

/// Grid: x over tiles, columns fastest, so that neighbours in time share rows of A; y over splits of the sum.
/// `Wide`: both operands by 16 bytes; otherwise each as its flag says.
template <Direction D, class Math, class Block, bool Wide>
FER_DEVICE void conv2d_tile(const GemmArgs& g) {
    using T = typename Math::Element;
    using Op = Operands<D, T, Block>;
    constexpr int kAhead = Block::kStages - 1;
    FER_DYNAMIC_SHARED(T, stages);
    FER_SHARED(float, shared, [Block::kThreads]);

    const unsigned first_m = blockIdx.x / g.tiles_n * Block::kRows;
    const unsigned first_n = blockIdx.x % g.tiles_n * Block::kColumns;
    const unsigned begin = min(g.k_tiles, blockIdx.y * g.k_tiles_per_split);
    const unsigned end = min(g.k_tiles, begin + g.k_tiles_per_split);
    typename Op::LoaderA a;
    typename Op::LoaderB b;
    a.start(g, first_m);
    b.start(g, first_n);
    const auto issue = [&](unsigned tile) {
        if (tile < end) {
            T* const stage = stages + (tile - begin) % Block::kStages * Op::kStageElements;
            load_operand<Wide>(a, g, stage, tile * kTileK<T>, g.wide_a);
            load_operand<Wide>(b, g, stage + Op::TileA::kElements, tile * kTileK<T>, g.wide_b);
        }
        cp_async_commit();  // empty groups too, so that the count of groups tells which tile has arrived
    };

    typename Block::Accumulators acc = {};
    float column_sum = 0;
#pragma unroll 1
    for (unsigned tile = begin; tile < begin + kAhead; ++tile) {
        issue(tile);
    }
#pragma unroll 1
    for (unsigned tile = begin; tile < end; ++tile) {
        cp_async_wait<kAhead - 1>();
        __syncthreads();  // this tile is there for all; and all have done with the stage that is filled next
        issue(tile + kAhead);
        const T* const stage = stages + (tile - begin) % Block::kStages * Op::kStageElements;
        Math::template multiply<Block, typename Op::TileA, typename Op::TileB>(acc, stage,
                                                                               stage + Op::TileA::kElements);
        if (D == Direction::kWeightGradient && g.dbias != nullptr && first_m == 0) {
            add_columns<Block, typename Op::TileB>(column_sum, stage + Op::TileA::kElements);
        }
    }
    cp_async_wait<0>();
    __syncthreads();

    float* const result = reinterpret_cast<float*>(stages);
    spill_accumulators<Block>(acc, result);
    __syncthreads();
    if (g.splits > 1) {
        store_partial<Block>(g, result, first_m, first_n);
    } else {
        store_results<T, Block>(g, result, first_m, first_n);
    }
    if (D == Direction::kForward && g.moments != nullptr) {
        store_moments<Block>(g, result, shared, first_m, first_n);
    }
    if (D == Direction::kWeightGradient && g.dbias != nullptr && first_m == 0) {
        store_dbias<Block>(g, column_sum, shared, first_n);
    }
}

/// Adds the parts of split sums in order and finishes them as an unsplit product would have been. conv2d_reduce.cu.
void conv2d_add_splits(const GemmArgs& g, DType dtype, cudaStream_t stream);

/// Names one instance of a kernel.
template <class M, class B, bool W>
struct Variant {
    using Math = M;
    using Block = B;
    static constexpr bool kWide = W;
};

/// body(Variant{}) for what the plan and the types ask for. Narrow rows have the smaller tiles only: their time is in
/// the loads.
template <class Math, class Body>
void by_tile(const GemmPlan& plan, bool wide, Body body) {
    if (plan.tile == GemmTile::k128x128) {
        body(Variant<Math, Tile128x128, true>{});
    } else if (plan.tile == GemmTile::k64x64) {
        wide ? body(Variant<Math, Tile64x64, true>{}) : body(Variant<Math, Tile64x64, false>{});
    } else {
        wide ? body(Variant<Math, Tile128x32, true>{}) : body(Variant<Math, Tile128x32, false>{});
    }
}
template <class Body>
void by_math(const GemmPlan& plan, DType dtype, bool tf32, bool wide, const char* op, Body body) {
    by_float_type(dtype, op, [&]<class T>(T) {
        if constexpr (!std::is_same_v<T, float>) {
            by_tile<HalfMath<T>>(plan, wide, body);
        } else if (tf32) {
            by_tile<Tf32Math>(plan, wide, body);
        } else {
            by_tile<FloatMath>(plan, wide, body);
        }
    });
}

}  // namespace fer::FER_PORT
