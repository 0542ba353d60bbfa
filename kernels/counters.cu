// Clock and metrics.
#include "kernels/counters.hpp"

#include "kernels/port/port.hpp"

namespace fer::FER_PORT {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(32) advance_kernel(Advance a) {
    wait_for_previous();
    if (threadIdx.x == 0) {
        a.clock[kStepWord] += 1;
        a.clock[kCursorWord] += a.batch;
    }
}

__global__ void __launch_bounds__(kThreads) metrics_kernel(Metrics a) {
    wait_for_previous();
    FER_SHARED(int, shared, [kThreads / kWarp]);
    int hits = 0;
    for (int i = static_cast<int>(threadIdx.x); i < a.images; i += kThreads) {
        hits += a.hits[i];
    }
    hits = block_sum<kThreads>(hits, shared);
    if (threadIdx.x == 0) {
        const auto loss = static_cast<double>(*a.loss);
        a.sums[0] += loss * a.images;
        a.sums[1] += hits;
        a.sums[2] += a.images;
        a.sums[3] += fabs(loss) < INFINITY ? 0.0 : 1.0;
    }
}

}  // namespace

void advance(const Advance& a, cudaStream_t stream) {
    launch(advance_kernel, {.grid = dim3(1), .block = dim3(32)}, stream, a);
}

void metrics(const Metrics& a, cudaStream_t stream) {
    launch(metrics_kernel, {.grid = dim3(1), .block = dim3(kThreads)}, stream, a);
}

}  // namespace fer::FER_PORT
