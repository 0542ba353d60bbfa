// The forward convolution: (n*p*q, r*s*c) x (r*s*c, k).
#include "kernels/conv2d_host.cuh"

namespace fer::FER_PORT {
namespace {

template <class Math, class Block, bool Wide>
__global__ void __launch_bounds__(Block::kThreads, Block::kResident) conv2d_fwd_kernel(GemmArgs g) {
    wait_for_previous();
    conv2d_tile<Direction::kForward, Math, Block, Wide>(g);
}

std::int64_t rows_of(const Conv2dShape& s) { return std::int64_t{s.n} * s.p * s.q; }

}  // namespace

GemmPlan conv2d_fwd_plan(const Conv2d& a) {
    const Conv2dShape& s = a.shape;
    check_conv2d("conv2d", s, a.dtype, a.y_dtype, a.tf32);
    return plan_gemm({.m = rows_of(s),
                      .n = s.k,
                      .k = std::int64_t{s.kh} * s.kw * s.c,
                      .k_tile = tile_k(a.dtype),
                      .narrow = !whole_rows(s.c, a.dtype) || !whole_rows(s.k, a.dtype),
                      .may_split = a.moments == nullptr},
                     a.choice);
}

std::int64_t conv2d_fwd_workspace(const Conv2d& a) {
    return split_bytes(conv2d_fwd_plan(a), rows_of(a.shape), a.shape.k);
}

void conv2d_fwd(const Conv2d& a, cudaStream_t stream) {
    const Conv2dShape& s = a.shape;
    const GemmPlan plan = conv2d_fwd_plan(a);
    if (rows_of(s) * s.k == 0) {
        return;
    }
    check_aligned("conv2d", a.x, a.w, a.residual, a.y, a.workspace);
    static_cast<void>(conv2d_fwd_workspace(a));
    GemmArgs g{.a = a.x, .b = a.w, .out = a.y, .bias = a.bias, .residual = a.residual, .moments = a.moments};
    g.gather = {.pixels = divisor_of(s.p * s.q),
                .columns = divisor_of(s.q),
                .channels = divisor_of(s.c),
                .taps = divisor_of(s.kw),
                .height = s.h,
                .width = s.w,
                .depth = s.c,
                .step = s.stride,
                .base_h = -s.top,
                .base_w = -s.left,
                .turn = 1};
    g.m = static_cast<unsigned>(rows_of(s));
    g.n = static_cast<unsigned>(s.k);
    g.k = static_cast<unsigned>(s.kh * s.kw * s.c);
    g.wide_a = whole_rows(s.c, a.dtype);
    g.wide_b = g.wide_out = whole_rows(s.k, a.dtype);
    g.out_is_f32 = a.y_dtype == DType::kF32;
    g.activation = a.activation;
    apply_plan(g, plan, a.workspace);
    run_gemm<Direction::kForward>("conv2d", g, plan, a.dtype, a.tf32, stream, []<class V>(V) {
        return conv2d_fwd_kernel<typename V::Math, typename V::Block, V::kWide>;
    });
}

}  // namespace fer::FER_PORT
