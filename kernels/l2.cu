// L2 penalty and its gradient.
#include "kernels/l2.cuh"

namespace fer::FER_PORT {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kLeastTile = 8192;  // elements of a block: 32 per thread
constexpr std::int64_t kMostBlocks = 1024;

/// Elements per block: a function of the count alone, and with it the order of the sums.
std::int64_t tile_of(std::int64_t count) {
    const std::int64_t wanted = (count + kMostBlocks - 1) / kMostBlocks;
    return wanted <= kLeastTile ? kLeastTile : (wanted + kThreads - 1) / kThreads * kThreads;
}
std::int64_t blocks_of(std::int64_t count) { return (count + tile_of(count) - 1) / tile_of(count); }

struct PenaltyArgs {
    L2Penalty a;
    unsigned count, tile, blocks;
};

__global__ void __launch_bounds__(kThreads) l2_penalty_kernel(PenaltyArgs s) {
    wait_for_previous();
    FER_SHARED(double, shared, [kThreads / kWarp]);
    const L2Penalty& a = s.a;
    const unsigned begin = blockIdx.x * s.tile;
    const unsigned end = begin + s.tile < s.count ? begin + s.tile : s.count;
    L2Stretch stretch{a.lambda, a.segments == nullptr ? end : 0};
    double sum = 0;
#pragma unroll 4
    for (unsigned i = begin + threadIdx.x; i < end; i += kThreads) {
        if (i >= stretch.until) {
            stretch = l2_stretch(a.segments, a.segment_count, i);
        }
        if (stretch.lambda != 0.0f) {  // 0 * infinity is no penalty
            const auto w = static_cast<double>(a.w[i]);
            sum += static_cast<double>(stretch.lambda) * (w * w);
        }
    }
    sum = block_sum<kThreads>(sum, shared);
    if (threadIdx.x == 0) {
        static_cast<double*>(a.workspace)[blockIdx.x] = sum;
    }
}

__global__ void __launch_bounds__(kThreads) l2_penalty_total_kernel(PenaltyArgs s) {
    wait_for_previous();
    FER_SHARED(double, shared, [kThreads / kWarp]);
    const auto* const partials = static_cast<const double*>(s.a.workspace);
    double sum = 0;
    for (unsigned i = threadIdx.x; i < s.blocks; i += kThreads) {
        sum += partials[i];
    }
    sum = block_sum<kThreads>(sum, shared);
    if (threadIdx.x == 0) {
        const double before = s.a.accumulate ? static_cast<double>(*s.a.penalty) : 0.0;
        *s.a.penalty = static_cast<float>(before + sum);
    }
}

__global__ void __launch_bounds__(256) l2_bwd_kernel(L2Grad a) {
    wait_for_previous();
    const auto count = static_cast<unsigned>(a.count);
    const float factor = 2.0f * a.lambda * (a.dloss == nullptr ? 1.0f : *a.dloss);
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const float d = factor * a.w[i];
        a.dw[i] = a.accumulate ? a.dw[i] + d : d;
    }
}

}  // namespace

std::size_t l2_penalty_workspace(std::int64_t count) {
    return sizeof(double) * static_cast<std::size_t>(blocks_of(count));
}

void l2_penalty(const L2Penalty& a, cudaStream_t stream) {
    require_indexable(a.count);
    const PenaltyArgs args{a, static_cast<unsigned>(a.count), static_cast<unsigned>(tile_of(a.count)),
                           static_cast<unsigned>(blocks_of(a.count))};
    launch(l2_penalty_kernel, {.grid = dim3(args.blocks), .block = dim3(kThreads)}, stream, args);
    launch(l2_penalty_total_kernel, {.grid = dim3(1), .block = dim3(kThreads)}, stream, args);
}

void l2_bwd(const L2Grad& a, cudaStream_t stream) { launch(l2_bwd_kernel, over(a.count), stream, a); }

}  // namespace fer::FER_PORT
