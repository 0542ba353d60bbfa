// Small kernels in a correct form and with one defect each, of the kinds that reviews miss.
#pragma once

#include "kernels/port/config.hpp"

struct __half;

namespace fer::FER_PORT {

enum class Defect {
    kNone,
    // block_sum
    kNoBarrier,          // reads the partial sums while others still write them
    kReadsPastEnd,       // one element too many
    kSharedPastEnd,      // partial[warp + 32]
    kEarlyReturn,        // a warp leaves before the barrier
    kReadsUnwritten,     // partial sums of warps that do not exist
    kMaskWithoutCaller,  // a shuffle whose mask does not name the calling lane
    kAllLanesWrite,      // every lane stores the same result
    kTwoBarriers,        // the halves of the block wait at different barriers
    kNoReuseBarrier,     // a second round overwrites the partial sums that others still read
    // transpose
    kNoTileBarrier,
    // multiply
    kNoArrivalBarrier,  // after the wait for one's own copies
    kWaitsTooLittle,    // one group too few
    kNoStageBarrier,    // before a stage is overwritten
    kNoColumnBound,
    // copy_vectors
    kMisalignedCast,  // float4 by reinterpret_cast
    kMisalignedLoad,  // load<4>()
    // rotate_in_warp
    kNoWarpBarrier,
    kPartialWarpBarrier,  // __syncwarp over the wrong half of the lanes
    kWarpExit,            // half of the lanes leave before the shuffle
    kWarpDivergence,      // the halves of a warp meet in different shuffles under one mask
    // sum_of_blocks
    kNoTicket,        // counts the blocks by hand, without making their results visible
    kBlocksOverlap,   // neighbouring blocks write one element both
    kReadsNeighbour,  // in place, from what another block overwrites
    // trap
    kDivision,
    kStackOverflow,
    kWritesSlack,  // a few bytes past the end, short of the guard page
};

/// out[block] = sum of x over the block's part.
struct BlockSum {
    const float* x;
    float* out;
    int n, blocks;
};
void block_sum(const BlockSum& a, Defect defect, cudaStream_t stream);

/// out (cols, rows) = in (rows, cols) transposed.
struct Transpose {
    const float* in;
    float* out;
    int rows, cols;
};
void transpose(const Transpose& a, Defect defect, cudaStream_t stream);

/// c (m, n) = a (m, k) * b (n, k) transposed; k a multiple of 8. Double-buffered cp.async, ldmatrix, mma.sync.
struct Multiply {
    const __half* a;
    const __half* b;
    float* c;
    int m, n, k;
};
void multiply(const Multiply& a, Defect defect, cudaStream_t stream);

/// y[i] = x[i] for n elements, n a multiple of 4.
struct CopyVectors {
    const float* x;
    float* y;
    int n;
};
void copy_vectors(const CopyVectors& a, Defect defect, cudaStream_t stream);

/// The same for n a multiple of 3, as structs of three.
void copy_triples(const CopyVectors& a, cudaStream_t stream);

/// y[i] = x[(i + 1) % 16] in each half of a warp, through shared memory; 64 elements.
struct RotateInWarp {
    const int* x;
    int* y;
};
void rotate_in_warp(const RotateInWarp& a, Defect defect, cudaStream_t stream);

/// out[0] = sum of x, by the last of `blocks` blocks; `partial` has one element per block, `counter` is zero.
struct SumOfBlocks {
    float* x;
    float* out;
    float* partial;
    unsigned* counter;
    int n, blocks;
};
void sum_of_blocks(const SumOfBlocks& a, Defect defect, cudaStream_t stream);

/// out[0] += sum of x by float atomics: right, and different from run to run.
struct AtomicSum {
    const float* x;
    float* out;
    int n;
};
void atomic_sum(const AtomicSum& a, cudaStream_t stream = nullptr);

/// x[i] += 1 for n elements, and something forbidden.
struct Trap {
    int* x;
    int n;
};
void trap(const Trap& a, Defect defect, cudaStream_t stream);

/// Calls body.operator()<defect>() if it is one of `All`; otherwise as if there were none.
template <Defect... All, class Body>
void with_defect(Defect defect, Body body) {
    if (!((defect == All ? (body.template operator()<All>(), true) : false) || ...)) {
        body.template operator()<Defect::kNone>();
    }
}

}  // namespace fer::FER_PORT
