// The weight gradient of the convolution: (r*s*c, n*p*q) x (n*p*q, k), and the bias gradient.
//
// The product is small and the sum is long (conv3 of custom_cnn at batch 64: 576 x 128 over 36,864), so the sum is what
// is divided among the blocks. Their float32 parts are added in order by a second kernel.
#include "kernels/conv2d_host.cuh"

namespace fer::FER_PORT {
namespace {

template <class Math, class Block, bool Wide>
__global__ void __launch_bounds__(Block::kThreads, Block::kResident) conv2d_wgrad_kernel(GemmArgs g) {
    wait_for_previous();
    conv2d_tile<Direction::kWeightGradient, Math, Block, Wide>(g);
}

std::int64_t rows_of(const Conv2dShape& s) { return std::int64_t{s.kh} * s.kw * s.c; }

}  // namespace

GemmPlan conv2d_wgrad_plan(const Conv2dWgrad& a) {
    const Conv2dShape& s = a.shape;
    check_conv2d("conv2d_wgrad", s, a.dtype, a.dw_dtype, a.tf32);
    // A bias gradient without weights (c == 0) still needs a row of tiles to be added up in.
    return plan_gemm({.m = std::max<std::int64_t>(rows_of(s), a.dbias != nullptr ? 1 : 0),
                      .n = s.k,
                      .k = std::int64_t{s.n} * s.p * s.q,
                      .k_tile = tile_k(a.dtype),
                      .narrow = !whole_rows(s.c, a.dtype) || !whole_rows(s.k, a.dtype),
                      .may_split = true},
                     a.choice);
}

std::int64_t conv2d_wgrad_workspace(const Conv2dWgrad& a) {
    return split_bytes(conv2d_wgrad_plan(a), rows_of(a.shape) + (a.dbias != nullptr ? 1 : 0), a.shape.k);
}

void conv2d_wgrad(const Conv2dWgrad& a, cudaStream_t stream) {
    const Conv2dShape& s = a.shape;
    const GemmPlan plan = conv2d_wgrad_plan(a);
    static_cast<void>(conv2d_wgrad_workspace(a));
    if (plan.blocks() == 0) {
        return;
    }
    check_aligned("conv2d_wgrad", a.x, a.dy, a.dw, a.workspace);
    GemmArgs g{.a = a.x, .b = a.dy, .out = a.dw, .dbias = a.dbias};
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
    g.k = static_cast<unsigned>(s.n * s.p * s.q);
    g.wide_a = whole_rows(s.c, a.dtype);
    g.wide_b = g.wide_out = whole_rows(s.k, a.dtype);
    g.out_is_f32 = a.dw_dtype == DType::kF32;
    apply_plan(g, plan, a.workspace);
    run_gemm<Direction::kWeightGradient>("conv2d_wgrad", g, plan, a.dtype, a.tf32, stream, []<class V>(V) {
        return conv2d_wgrad_kernel<typename V::Math, typename V::Block, V::kWide>;
    });
}

}  // namespace fer::FER_PORT
