// Blending of images, one block row per image.
#include "kernels/mixup.hpp"

#include <algorithm>

#include "engine/core/beta.hpp"
#include "kernels/clock.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kPerBlock = 1024;  // pixels: three blocks for an image of 48x48, as in image.cu

FER_DEVICE float draw_share(const Mixup& a, unsigned image) {
    const std::int64_t step = a.clock[kStepWord];
    if (a.until >= 0 && step >= a.until) {
        return 1.0f;
    }
    const RandomStream random(static_cast<std::uint64_t>(a.clock[kSeedWord]), static_cast<std::uint64_t>(step),
                              a.stream);
    const double b = symmetric_beta(random, image, static_cast<double>(a.alpha));
    return static_cast<float>(b > 0.5 ? b : 1 - b);
}

__global__ void __launch_bounds__(kThreads) mixup_kernel(Mixup a) {
    wait_for_previous();
    FER_SHARED(float, share);
    const unsigned image = blockIdx.x;
    if (threadIdx.x == 0) {
        share = draw_share(a, image);
    }
    __syncthreads();
    const float own = share;
    const unsigned other = static_cast<unsigned>(a.n) - 1 - image;
    const auto pixels = static_cast<unsigned>(a.pixels);
    const float* const x = a.x + image * pixels;
    const float* const z = a.x + other * pixels;
    float* const y = a.y + image * pixels;
    const unsigned first = blockIdx.y * kThreads + threadIdx.x;
    for (unsigned i = first; i < pixels; i += gridDim.y * kThreads) {
        y[i] = __fadd_rn(__fmul_rn(own, x[i]), __fmul_rn(1.0f - own, z[i]));
    }
    if (first == 0) {
        a.partners[image] = a.labels[other];
        a.share[image] = own;
    }
}

}  // namespace

void mixup(const Mixup& a, cudaStream_t stream) {
    require_indexable(std::int64_t{a.n} * a.pixels);
    FER_CHECK(a.alpha > 0 && a.alpha <= 1, "mixup needs alpha in (0, 1], got {}", a.alpha);
    const std::int64_t slices = std::clamp<std::int64_t>((a.pixels + kPerBlock - 1) / kPerBlock, 1, 65535);
    launch(mixup_kernel,
           {.grid = dim3(static_cast<unsigned>(a.n), static_cast<unsigned>(slices)), .block = dim3(kThreads)}, stream,
           a);
}

}  // namespace fer::FER_PORT
