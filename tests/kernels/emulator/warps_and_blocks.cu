#include "kernels/port/port.hpp"
#include "tests/kernels/emulator/defects.hpp"

namespace fer::FER_PORT {

namespace {

template <Defect D>
__global__ void rotate_in_warp_kernel(RotateInWarp a) {
    FER_SHARED(int, values, [64]);
    const unsigned i = threadIdx.x;
    const unsigned half = lane_id() / 16;
    const unsigned mine = half == 0 ? 0x0000ffffu : 0xffff0000u;

    if constexpr (D == Defect::kWarpExit) {
        if (half == 1) {
            return;
        }
        a.y[i] = __shfl_sync(kFullWarp, a.x[i], static_cast<int>(i + 1));
        return;
    }
    if constexpr (D == Defect::kWarpDivergence) {
        a.y[i] = half == 0 ? __shfl_sync(kFullWarp, a.x[i], 1) : __shfl_sync(kFullWarp, a.x[i], 17);
        return;
    }
    values[i] = a.x[i];
    if constexpr (D == Defect::kPartialWarpBarrier) {
        // Lanes 0..7 and 16..23 meet, 8..15 and 24..31 meet: each reads beyond those it has met.
        __syncwarp(lane_id() % 16 < 8 ? 0x00ff00ffu : 0xff00ff00u);
    } else if constexpr (D != Defect::kNoWarpBarrier) {
        __syncwarp(mine);
    }
    a.y[i] = values[i / 16 * 16 + (i + 1) % 16];
}

constexpr int kThreads = 64;

template <Defect D>
__global__ void __launch_bounds__(kThreads) sum_of_blocks_kernel(SumOfBlocks a) {
    FER_SHARED(float, shared, [kThreads / 32]);
    float sum = 0;
    for (unsigned i = grid_thread(); i < static_cast<unsigned>(a.n); i += grid_threads()) {
        sum += a.x[i];
        if constexpr (D == Defect::kReadsNeighbour) {
            a.x[i] = a.x[(i + 1) % static_cast<unsigned>(a.n)];
        }
    }
    sum = block_sum<kThreads>(sum, shared);
    if (threadIdx.x == 0) {
        a.partial[blockIdx.x] = sum;
        if constexpr (D == Defect::kBlocksOverlap) {
            a.partial[(blockIdx.x + 1) % gridDim.x] = sum;
        }
    }
    bool last = false;
    if constexpr (D == Defect::kNoTicket) {
        FER_SHARED(bool, flag);
        if (threadIdx.x == 0) {
            flag = atomicAdd(a.counter, 1u) == gridDim.x - 1;
        }
        __syncthreads();
        last = flag;
    } else {
        last = last_block_ticket(a.counter);
    }
    if (last && threadIdx.x == 0) {
        float total = 0;
        for (unsigned b = 0; b < gridDim.x; ++b) {
            total += a.partial[b];
        }
        a.out[0] = total;
    }
}

__global__ void atomic_sum_kernel(AtomicSum a) {
    for (unsigned i = grid_thread(); i < static_cast<unsigned>(a.n); i += grid_threads()) {
        atomicAdd(a.out, a.x[i]);
    }
}

// Deep enough for 256 KiB; the array keeps the compiler from turning the recursion into a loop.
__device__ int recurse(int depth) {
    volatile int ballast[256];
    ballast[depth % 256] = depth;
    return depth == 0 ? 0 : recurse(depth - 1) + ballast[depth % 256];
}

template <Defect D>
__global__ void trap_kernel(Trap a) {
    const unsigned i = grid_thread();
    if (i >= static_cast<unsigned>(a.n)) {
        return;
    }
    if constexpr (D == Defect::kDivision) {
        a.x[i] = 1000 / a.x[i];
    } else if constexpr (D == Defect::kStackOverflow) {
        a.x[i] = recurse(100000 + a.x[i]);
    } else {
        a.x[i] += 1;
        if (D == Defect::kWritesSlack && i == 0) {
            a.x[a.n] = 7;
        }
    }
}

}  // namespace

void rotate_in_warp(const RotateInWarp& a, Defect defect, cudaStream_t stream) {
    using enum Defect;
    with_defect<kNoWarpBarrier, kPartialWarpBarrier, kWarpExit, kWarpDivergence>(
        defect, [&]<Defect D>() { launch(rotate_in_warp_kernel<D>, {.block = dim3(64)}, stream, a); });
}

void sum_of_blocks(const SumOfBlocks& a, Defect defect, cudaStream_t stream) {
    const Launch shape{.grid = dim3(static_cast<unsigned>(a.blocks)), .block = dim3(kThreads)};
    using enum Defect;
    with_defect<kNoTicket, kBlocksOverlap, kReadsNeighbour>(
        defect, [&]<Defect D>() { launch(sum_of_blocks_kernel<D>, shape, stream, a); });
}

void atomic_sum(const AtomicSum& a, cudaStream_t stream) { launch(atomic_sum_kernel, over(a.n), stream, a); }

void trap(const Trap& a, Defect defect, cudaStream_t stream) {
    using enum Defect;
    with_defect<kDivision, kStackOverflow, kWritesSlack>(
        defect, [&]<Defect D>() { launch(trap_kernel<D>, over(a.n, 64), stream, a); });
}

}  // namespace fer::FER_PORT
