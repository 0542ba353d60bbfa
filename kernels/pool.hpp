// Pooling. NHWC; windows of `window` x `window` moving by `stride` start at row p * stride - top and column
// q * stride - left. Places of a window outside the image do not exist: max ignores them, the average leaves them out
// of its count. f32, f16, bf16, arithmetic in float. Any n, h, w, c; 16-byte accesses where c and the pointers allow.
//
// All kernels overwrite, are deterministic, need no workspace, and allow no overlap of inputs with outputs. Gradients
// gather: each thread owns elements of dx and adds what its windows send, rows of windows first, so no atomics.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

///     y[n,p,q,c] = max over the window of x,  argmax[n,p,q,c] = its place in the window, row by row
///
/// The first of equals wins; NaN wins over numbers, the first NaN over later ones. window <= 15.
/// A window without any place on the image gives 0 and argmax 255.
struct MaxPool {
    const void* x;         // (n, h, w, c)
    void* y;               // (n, out_h, out_w, c)
    std::uint8_t* argmax;  // (n, out_h, out_w, c), or null for inference
    int n, h, w, c;
    int out_h, out_w;
    int window = 2, stride = 2;
    int top = 0, left = 0;
    DType dtype = DType::kF32;
};
void max_pool_fwd(const MaxPool& a, cudaStream_t stream);

///     dx[n,i,j,c] = sum of dy[n,p,q,c] over the windows (p,q) that cover (i,j) and whose argmax it is
struct MaxPoolGrad {
    const void* dy;              // (n, out_h, out_w, c)
    const std::uint8_t* argmax;  // (n, out_h, out_w, c)
    void* dx;                    // (n, h, w, c)
    int n, h, w, c;
    int out_h, out_w;
    int window = 2, stride = 2;
    int top = 0, left = 0;
    DType dtype = DType::kF32;
};
void max_pool_bwd(const MaxPoolGrad& a, cudaStream_t stream);

///     y[n,p,q,c] = sum over the window of x / number of its places on the image
struct AvgPool {
    const void* x;  // (n, h, w, c)
    void* y;        // (n, out_h, out_w, c)
    int n, h, w, c;
    int out_h, out_w;
    int window = 2, stride = 2;
    int top = 0, left = 0;
    DType dtype = DType::kF32;
};
void avg_pool_fwd(const AvgPool& a, cudaStream_t stream);

///     dx[n,i,j,c] = sum over the windows (p,q) that cover (i,j) of dy[n,p,q,c] / number of their places on the image
struct AvgPoolGrad {
    const void* dy;  // (n, out_h, out_w, c)
    void* dx;        // (n, h, w, c)
    int n, h, w, c;
    int out_h, out_w;
    int window = 2, stride = 2;
    int top = 0, left = 0;
    DType dtype = DType::kF32;
};
void avg_pool_bwd(const AvgPoolGrad& a, cudaStream_t stream);

///     y[n,c] = sum over i of x[n,i,c] / places
struct GlobalAvgPool {
    const void* x;  // (n, places, c)
    void* y;        // (n, c)
    int n, places, c;
    DType dtype = DType::kF32;
};
void global_avg_pool_fwd(const GlobalAvgPool& a, cudaStream_t stream);

///     dx[n,i,c] = dy[n,c] / places
struct GlobalAvgPoolGrad {
    const void* dy;  // (n, c)
    void* dx;        // (n, places, c)
    int n, places, c;
    DType dtype = DType::kF32;
};
void global_avg_pool_bwd(const GlobalAvgPoolGrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
