// Accumulation and clipping of gradients, and the scheduled learning rate.
#include "kernels/gradients.hpp"

#include "kernels/clock.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kTile = 16384;  // elements of one sum: 13 million weights leave 800 to add up

__global__ void __launch_bounds__(32) scheduled_rate_kernel(ScheduledRate a) {
    wait_for_previous();
    if (threadIdx.x == 0) {
        const std::int64_t update = a.clock[kStepWord] - a.clock[kHeldWord];
        *a.y = static_cast<float>(static_cast<double>(*a.rate) * schedule_factor(a.schedule, update));
    }
}

__global__ void __launch_bounds__(kThreads) accumulate_kernel(Accumulate a) {
    wait_for_previous();
    const auto count = static_cast<unsigned>(a.count);
    const float all = *a.images + a.batch;
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const float sum = __fadd_rn(a.sums[i], __fmul_rn(a.batch, a.grads[i]));
        if (a.take) {
            a.grads[i] = sum / all;
        }
        a.sums[i] = a.take ? 0.0f : sum;
    }
}

__global__ void __launch_bounds__(32) accumulated_kernel(Accumulated a) {
    wait_for_previous();
    if (threadIdx.x == 0) {
        *a.images = a.take ? 0.0f : *a.images + a.batch;
        a.clock[kHeldWord] += a.take ? 0 : 1;
    }
}

__global__ void __launch_bounds__(kThreads) gradient_squares_kernel(GradientSquares a) {
    wait_for_previous();
    FER_SHARED(double, shared, [kThreads / kWarp]);
    const std::int64_t begin = std::int64_t{blockIdx.x} * kTile;
    const std::int64_t end = begin + kTile < a.count ? begin + kTile : a.count;
    double sum = 0;
#pragma unroll 4
    for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
        const auto g = static_cast<double>(a.grads[i]);
        sum += g * g;
    }
    sum = block_sum<kThreads>(sum, shared);
    if (threadIdx.x == 0) {
        a.sums[blockIdx.x] = sum;
    }
}

/// By all threads of a block: what the gradients are multiplied by.
FER_DEVICE float norm_factor(const ClipGradients& a, double scale, double* shared) {
    double squares = 0;
    for (int i = static_cast<int>(threadIdx.x); i < a.parts; i += kThreads) {
        squares += a.sums[i];
    }
    const double norm = sqrt(block_sum<kThreads>(squares, shared)) / scale;
    const auto limit = static_cast<double>(a.norm);
    const double factor = norm > limit ? limit / norm : 1.0;
    return static_cast<float>(norm < static_cast<double>(INFINITY) ? factor : static_cast<double>(NAN));
}

__global__ void __launch_bounds__(kThreads) clip_to_norm_kernel(ClipGradients a) {
    wait_for_previous();
    FER_SHARED(double, shared, [kThreads / kWarp]);
    const double scale = a.scale == nullptr ? 1.0 : static_cast<double>(a.scale->scale);
    const float factor = norm_factor(a, scale, shared);
    const auto count = static_cast<unsigned>(a.count);
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        a.grads[i] *= factor;
    }
}

__global__ void __launch_bounds__(kThreads) clip_to_value_kernel(ClipGradients a) {
    wait_for_previous();
    const float most = a.value * (a.scale == nullptr ? 1.0f : a.scale->scale);
    const auto count = static_cast<unsigned>(a.count);
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const float g = a.grads[i];
        a.grads[i] = g < -most ? -most : (g > most ? most : g);
    }
}

}  // namespace

void scheduled_rate(const ScheduledRate& a, cudaStream_t stream) {
    launch(scheduled_rate_kernel, {.grid = dim3(1), .block = dim3(32)}, stream, a);
}

void accumulate(const Accumulate& a, cudaStream_t stream) { launch(accumulate_kernel, over(a.count), stream, a); }

void accumulated(const Accumulated& a, cudaStream_t stream) {
    launch(accumulated_kernel, {.grid = dim3(1), .block = dim3(32)}, stream, a);
}

std::size_t gradient_squares_workspace(std::int64_t count) {
    return sizeof(double) * static_cast<std::size_t>((count + kTile - 1) / kTile);
}

void gradient_squares(const GradientSquares& a, cudaStream_t stream) {
    const auto blocks = static_cast<unsigned>(gradient_squares_workspace(a.count) / sizeof(double));
    launch(gradient_squares_kernel, {.grid = dim3(blocks), .block = dim3(kThreads)}, stream, a);
}

void clip_gradients(const ClipGradients& a, cudaStream_t stream) {
    FER_CHECK((a.norm > 0) != (a.value > 0), "gradients are clipped to a norm or to a value, got {} and {}", a.norm,
              a.value);
    launch(a.norm > 0 ? clip_to_norm_kernel : clip_to_value_kernel, over(a.count), stream, a);
}

}  // namespace fer::FER_PORT
