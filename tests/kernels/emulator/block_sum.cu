#include "kernels/port/port.hpp"
#include "tests/kernels/emulator/defects.hpp"

namespace fer::FER_PORT {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

template <Defect D>
__global__ void __launch_bounds__(kThreads) block_sum_kernel(BlockSum a) {
    FER_SHARED(float, partial, [32]);
    const unsigned lane = lane_id();
    const unsigned warp = warp_id();

    float sum = 0;
    const int end = D == Defect::kReadsPastEnd ? a.n + 1 : a.n;
    for (int i = static_cast<int>(grid_thread()); i < end; i += static_cast<int>(grid_threads())) {
        sum += __ldg(a.x + i);
    }
    sum = warp_sum(sum);
    if (lane == 0) {
        // blockDim.x / 8 is 32, but not to the compiler, which would refuse the constant.
        partial[D == Defect::kSharedPastEnd ? warp + blockDim.x / 8 : warp] = sum;
    }
    if constexpr (D == Defect::kTwoBarriers) {
        if (warp < kWarps / 2) {
            __syncthreads();
        } else {
            __syncthreads();
        }
    } else if constexpr (D != Defect::kNoBarrier) {
        __syncthreads();
    }
    if constexpr (D == Defect::kEarlyReturn) {
        if (warp == 1) {
            return;
        }
        __syncthreads();
    }
    if (warp == 0) {
        sum = lane < (D == Defect::kReadsUnwritten ? 32 : kWarps) ? partial[lane] : 0.0f;
        if constexpr (D == Defect::kMaskWithoutCaller) {
            sum += __shfl_xor_sync(lane > 15 ? 0xffffu : kFullWarp, sum, 16);
        }
        sum = warp_sum(sum);
        if (lane == 0 || D == Defect::kAllLanesWrite) {
            a.out[blockIdx.x] = sum;
        }
    }
}

// Two sums with one buffer: the largest deviation of a block's elements from their mean.
template <Defect D>
__global__ void __launch_bounds__(kThreads) spread_kernel(BlockSum a) {
    FER_SHARED(float, partial, [kWarps]);
    const float x = a.x[grid_thread()];
    float mean = 0;
    for (int round = 0; round < 2; ++round) {
        const float v = round == 0 ? x / kThreads : fabsf(x - mean) / kThreads;
        const float in_warp = warp_sum(v);
        if constexpr (D != Defect::kNoReuseBarrier) {
            __syncthreads();
        }
        if (lane_id() == 0) {
            partial[warp_id()] = in_warp;
        }
        __syncthreads();
        mean = 0;
        for (int w = 0; w < kWarps; ++w) {
            mean += partial[w];
        }
    }
    if (threadIdx.x == 0) {
        a.out[blockIdx.x] = mean;
    }
}

}  // namespace

void block_sum(const BlockSum& a, Defect defect, cudaStream_t stream) {
    const Launch shape{.grid = dim3(static_cast<unsigned>(a.blocks)), .block = dim3(kThreads)};
    if (defect == Defect::kNoReuseBarrier) {
        launch(spread_kernel<Defect::kNoReuseBarrier>, shape, stream, a);
        return;
    }
    using enum Defect;
    with_defect<kNoBarrier, kReadsPastEnd, kSharedPastEnd, kEarlyReturn, kReadsUnwritten, kMaskWithoutCaller,
                kAllLanesWrite, kTwoBarriers>(defect,
                                              [&]<Defect D>() { launch(block_sum_kernel<D>, shape, stream, a); });
}

}  // namespace fer::FER_PORT
