#include "kernels/conv2d_direct.hpp"

#include "kernels/conv2d_host.cuh"

namespace fer::FER_PORT {
namespace {

// One thread per output (n, p, q, k): neighbours share x and read neighbouring weights.
__global__ void __launch_bounds__(256) conv2d_direct_fwd_kernel(Conv2dDirect a) {
    wait_for_previous();
    const Conv2dShape& s = a.shape;
    const unsigned count = static_cast<unsigned>(s.n * s.p) * s.q * s.k;
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const int k = static_cast<int>(i % s.k);
        const int q = static_cast<int>(i / s.k % s.q);
        const int p = static_cast<int>(i / s.k / s.q % s.p);
        const int n = static_cast<int>(i / s.k / s.q / s.p);
        float sum = 0;
        for (int r = 0; r < s.kh; ++r) {
            const int h = p * s.stride + r - s.top;
            for (int t = 0; t < s.kw && h >= 0 && h < s.h; ++t) {
                const int w = q * s.stride + t - s.left;
                if (w >= 0 && w < s.w) {
                    const float* x = a.x + static_cast<unsigned>((n * s.h + h) * s.w + w) * s.c;
                    const float* weight = a.w + static_cast<unsigned>(r * s.kw + t) * s.c * s.k + k;
                    for (int c = 0; c < s.c; ++c) {
                        sum = fmaf(x[c], weight[static_cast<unsigned>(c) * s.k], sum);
                    }
                }
            }
        }
        sum += a.bias != nullptr ? a.bias[k] : 0.0f;
        sum += a.residual != nullptr ? a.residual[i] : 0.0f;
        a.y[i] = activate(sum, a.activation);
    }
}

// One thread per input (n, h, w, c), gathering: no two write the same place.
__global__ void __launch_bounds__(256) conv2d_direct_dgrad_kernel(Conv2dDirectDgrad a) {
    wait_for_previous();
    const Conv2dShape& s = a.shape;
    const unsigned count = static_cast<unsigned>(s.n * s.h) * s.w * s.c;
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const int c = static_cast<int>(i % s.c);
        const int w = static_cast<int>(i / s.c % s.w);
        const int h = static_cast<int>(i / s.c / s.w % s.h);
        const int n = static_cast<int>(i / s.c / s.w / s.h);
        float sum = 0;
        for (int r = 0; r < s.kh; ++r) {
            const int above = h + s.top - r;
            const int p = above / s.stride;
            const bool row = above >= 0 && above % s.stride == 0 && p < s.p;
            for (int t = 0; t < s.kw && row; ++t) {
                const int before = w + s.left - t;
                const int q = before / s.stride;
                if (before >= 0 && before % s.stride == 0 && q < s.q) {
                    const float* dy = a.dy + static_cast<unsigned>((n * s.p + p) * s.q + q) * s.k;
                    const float* weight = a.w + (static_cast<unsigned>(r * s.kw + t) * s.c + c) * s.k;
                    for (int k = 0; k < s.k; ++k) {
                        sum = fmaf(dy[k], weight[k], sum);
                    }
                }
            }
        }
        a.dx[i] = sum;
    }
}

// One thread per weight (r, s, c, k), and one per bias behind them.
__global__ void __launch_bounds__(256) conv2d_direct_wgrad_kernel(Conv2dDirectWgrad a) {
    wait_for_previous();
    const Conv2dShape& s = a.shape;
    const unsigned weights = static_cast<unsigned>(s.kh * s.kw) * s.c * s.k;
    const unsigned count = weights + (a.dbias != nullptr ? static_cast<unsigned>(s.k) : 0);
    for (unsigned i = grid_thread(); i < count; i += grid_threads()) {
        const bool is_bias = i >= weights;
        const int k = static_cast<int>(i % s.k);
        const int c = is_bias ? 0 : static_cast<int>(i / s.k % s.c);
        const int t = is_bias ? 0 : static_cast<int>(i / s.k / s.c % s.kw);
        const int r = is_bias ? 0 : static_cast<int>(i / s.k / s.c / s.kw);
        float total = 0;
        for (int row = 0; row < s.n * s.p; ++row) {
            const int h = row % s.p * s.stride + r - s.top;
            const bool inside = is_bias || (h >= 0 && h < s.h);
            const float* dy = a.dy + static_cast<unsigned>(row * s.q) * s.k + k;
            const unsigned image_row = static_cast<unsigned>(row / s.p * s.h + h);
            float sum = 0;
            for (int q = 0; q < s.q && inside; ++q) {
                const int w = q * s.stride + t - s.left;
                if (is_bias) {
                    sum += dy[static_cast<unsigned>(q) * s.k];
                } else if (w >= 0 && w < s.w) {
                    sum = fmaf(a.x[(image_row * s.w + w) * s.c + c], dy[static_cast<unsigned>(q) * s.k], sum);
                }
            }
            total += sum;
        }
        (is_bias ? a.dbias + k : a.dw + i)[0] = total;
    }
}

void check(const char* op, const Conv2dShape& s) { check_conv2d(op, s, DType::kF32, DType::kF32, false); }

}  // namespace

void conv2d_direct_fwd(const Conv2dDirect& a, cudaStream_t stream) {
    check("conv2d_direct", a.shape);
    const Conv2dShape& s = a.shape;
    launch(conv2d_direct_fwd_kernel, over(std::int64_t{s.n} * s.p * s.q * s.k), stream, a);
}

void conv2d_direct_dgrad(const Conv2dDirectDgrad& a, cudaStream_t stream) {
    check("conv2d_direct_dgrad", a.shape);
    const Conv2dShape& s = a.shape;
    launch(conv2d_direct_dgrad_kernel, over(std::int64_t{s.n} * s.h * s.w * s.c), stream, a);
}

void conv2d_direct_wgrad(const Conv2dDirectWgrad& a, cudaStream_t stream) {
    check("conv2d_direct_wgrad", a.shape);
    const Conv2dShape& s = a.shape;
    launch(conv2d_direct_wgrad_kernel, over(std::int64_t{s.kh} * s.kw * s.c * s.k + (a.dbias != nullptr ? s.k : 0)),
           stream, a);
}

}  // namespace fer::FER_PORT
