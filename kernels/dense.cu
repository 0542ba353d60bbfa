// No kernels of its own: 1x1 convolutions of images of one pixel.
#include "kernels/dense.hpp"

namespace fer::FER_PORT {
namespace {

Conv2dShape shape_of(int n, int k, int m) {
    return {.n = n, .h = 1, .w = 1, .c = k, .kh = 1, .kw = 1, .k = m, .p = 1, .q = 1};
}

Conv2d as_conv2d(const Dense& a) {
    return {.shape = shape_of(a.n, a.k, a.m),
            .x = a.x,
            .w = a.w,
            .bias = a.bias,
            .y = a.y,
            .workspace = a.workspace,
            .activation = a.activation,
            .dtype = a.dtype,
            .y_dtype = a.y_dtype,
            .tf32 = a.tf32,
            .choice = a.choice};
}

Conv2dDgrad as_conv2d(const DenseDgrad& a) {
    return {.shape = shape_of(a.n, a.k, a.m),
            .dy = a.dy,
            .w = a.w,
            .dx = a.dx,
            .workspace = a.workspace,
            .dtype = a.dtype,
            .dx_dtype = a.dx_dtype,
            .tf32 = a.tf32,
            .choice = a.choice};
}

Conv2dWgrad as_conv2d(const DenseWgrad& a) {
    return {.shape = shape_of(a.n, a.k, a.m),
            .x = a.x,
            .dy = a.dy,
            .dw = a.dw,
            .dbias = a.dbias,
            .workspace = a.workspace,
            .dtype = a.dtype,
            .dw_dtype = a.dw_dtype,
            .tf32 = a.tf32,
            .choice = a.choice};
}

}  // namespace

GemmPlan dense_fwd_plan(const Dense& a) { return conv2d_fwd_plan(as_conv2d(a)); }
std::int64_t dense_fwd_workspace(const Dense& a) { return conv2d_fwd_workspace(as_conv2d(a)); }
void dense_fwd(const Dense& a, cudaStream_t stream) { conv2d_fwd(as_conv2d(a), stream); }

GemmPlan dense_dgrad_plan(const DenseDgrad& a) { return conv2d_dgrad_plan(as_conv2d(a)); }
std::int64_t dense_dgrad_workspace(const DenseDgrad& a) { return conv2d_dgrad_workspace(as_conv2d(a)); }
void dense_dgrad(const DenseDgrad& a, cudaStream_t stream) { conv2d_dgrad(as_conv2d(a), stream); }

GemmPlan dense_wgrad_plan(const DenseWgrad& a) { return conv2d_wgrad_plan(as_conv2d(a)); }
std::int64_t dense_wgrad_workspace(const DenseWgrad& a) { return conv2d_wgrad_workspace(as_conv2d(a)); }
void dense_wgrad(const DenseWgrad& a, cudaStream_t stream) { conv2d_wgrad(as_conv2d(a), stream); }

}  // namespace fer::FER_PORT
