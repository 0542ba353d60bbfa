// The data gradient of the convolution: (n*h*w, r*s*k) x (r*s*k, c).
//
// With a stride, row h = stride * i + a of dx is read only through the kernel places r with (a + top - r) % stride ==
// 0. With r = r0 + stride * j, r0 = (a + top) % stride, the row of dy is p = i + (a + top - r0) / stride - j: within a
// class a of rows (and of columns) the gradient is a convolution of stride 1 that walks backwards.
#include "kernels/conv2d_host.cuh"

namespace fer::FER_PORT {
namespace {

template <class Math, class Block, bool Wide>
__global__ void __launch_bounds__(Block::kThreads, Block::kResident) conv2d_dgrad_kernel(GemmArgs g) {
    wait_for_previous();
    conv2d_tile<Direction::kDataGradient, Math, Block, Wide>(g);
}

/// One axis of one class.
struct AxisClass {
    int count;      // pixels of dx
    int taps;       // places of the kernel
    int first_tap;  // r0
    int base;       // row of dy for the first pixel and place
};
AxisClass axis_class(int size, int kernel, int stride, int before, int index) {
    const int first_tap = (index + before) % stride;
    return {.count = index < size ? (size - index + stride - 1) / stride : 0,
            .taps = first_tap < kernel ? (kernel - first_tap + stride - 1) / stride : 0,
            .first_tap = first_tap,
            .base = (index + before - first_tap) / stride};
}
AxisClass rows_of(const Conv2dShape& s, int index) { return axis_class(s.h, s.kh, s.stride, s.top, index); }
AxisClass columns_of(const Conv2dShape& s, int index) { return axis_class(s.w, s.kw, s.stride, s.left, index); }

void launch_class(const Conv2dDgrad& a, int row_class, int column_class, cudaStream_t stream) {
    const Conv2dShape& s = a.shape;
    const AxisClass rows = rows_of(s, row_class);
    const AxisClass columns = columns_of(s, column_class);
    const GemmPlan plan = conv2d_dgrad_plan(a, row_class, column_class);
    GemmArgs g{.a = a.dy, .b = a.w, .out = a.dx};
    g.gather = {.pixels = divisor_of(rows.count * columns.count),
                .columns = divisor_of(columns.count),
                .channels = divisor_of(s.k),
                .taps = divisor_of(columns.taps),
                .height = s.p,
                .width = s.q,
                .depth = s.k,
                .step = 1,
                .base_h = rows.base,
                .base_w = columns.base,
                .turn = -1};
    g.m = static_cast<unsigned>(s.n * rows.count * columns.count);
    g.n = static_cast<unsigned>(s.c);
    g.k = static_cast<unsigned>(rows.taps * columns.taps * s.k);
    g.wide_a = g.wide_b = whole_rows(s.k, a.dtype);
    g.wide_out = whole_rows(s.c, a.dtype);
    g.out_is_f32 = a.dx_dtype == DType::kF32;
    g.tap_step = g.out_step = s.stride;
    g.tap_h = rows.first_tap;
    g.tap_w = columns.first_tap;
    g.kernel_w = s.kw;
    g.out_h = row_class;
    g.out_w = column_class;
    g.out_height = s.h;
    g.out_width = s.w;
    apply_plan(g, plan, a.workspace);
    run_gemm<Direction::kDataGradient>("conv2d_dgrad", g, plan, a.dtype, a.tf32, stream, []<class V>(V) {
        return conv2d_dgrad_kernel<typename V::Math, typename V::Block, V::kWide>;
    });
}

/// body(row_class, column_class) for every class that has pixels.
template <class Body>
void for_classes(const Conv2dShape& s, Body body) {
    for (int i = 0; i < std::min(s.stride, s.h); ++i) {
        for (int j = 0; j < std::min(s.stride, s.w); ++j) {
            body(i, j);
        }
    }
}

}  // namespace

GemmPlan conv2d_dgrad_plan(const Conv2dDgrad& a, int row_class, int column_class) {
    const Conv2dShape& s = a.shape;
    check_conv2d("conv2d_dgrad", s, a.dtype, a.dx_dtype, a.tf32);
    const AxisClass rows = rows_of(s, row_class);
    const AxisClass columns = columns_of(s, column_class);
    return plan_gemm({.m = std::int64_t{s.n} * rows.count * columns.count,
                      .n = s.c,
                      .k = std::int64_t{rows.taps} * columns.taps * s.k,
                      .k_tile = tile_k(a.dtype),
                      .narrow = !whole_rows(s.k, a.dtype),
                      .may_split = true},
                     a.choice);
}

std::int64_t conv2d_dgrad_workspace(const Conv2dDgrad& a) {
    const Conv2dShape& s = a.shape;
    std::int64_t most = 0;
    for_classes(s, [&](int i, int j) {  // one after the other: they share
        const std::int64_t rows = std::int64_t{s.n} * rows_of(s, i).count * columns_of(s, j).count;
        most = std::max(most, split_bytes(conv2d_dgrad_plan(a, i, j), rows, s.c));
    });
    return most;
}

void conv2d_dgrad(const Conv2dDgrad& a, cudaStream_t stream) {
    const Conv2dShape& s = a.shape;
    static_cast<void>(conv2d_dgrad_workspace(a));
    if (std::int64_t{s.n} * s.c == 0) {
        return;
    }
    check_aligned("conv2d_dgrad", a.dy, a.w, a.dx, a.workspace);
    for_classes(s, [&](int i, int j) { launch_class(a, i, j, stream); });
}

}  // namespace fer::FER_PORT
