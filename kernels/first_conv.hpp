// The first convolution of a network: one to four input channels, so few that matrix units and the general kernels go
// to waste on it. Cross-correlation as in Keras, x zero outside its bounds:
//
//     y[n,p,q,k]  = act(bias[k] + sum over r,s,c of x[n, p*stride+r-top, q*stride+s-left, c] * w[r,s,c,k])
//     dw[r,s,c,k] = sum over n,p,q of x[n, p*stride+r-top, q*stride+s-left, c] * g[n,p,q,k];  dbias[k] = sum of g
//     g           = dy where the activation passes it, else 0
//
// Layout NHWC, weights HWIO. Any n, h, w, k, kernels up to 7x7, strides up to 4; c <= 4. Types: x, w, y, dy of `dtype`
// (f32, f16, bf16), sums in float32; bias, dbias float32. Tensors below 2^31 elements, any alignment; 16-byte accesses
// where k % 8 == 0 and the pointers allow. Overwrites; an empty sum is zero (and bias). No input may overlap an output.
// Deterministic: y sums over r, s, c in this order (bias first); dw is summed per block, then over blocks in order, the
// number of blocks a function of shape. NaN and infinity reach every sum that holds them, NaN passes the activations;
// padding takes part as 0, so a weight or gradient that is not finite makes NaN where the kernel meets the border.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"
#include "kernels/image.hpp"

namespace fer::FER_PORT {

struct FirstConvShape {
    int n, h, w, c;  // x (n, h, w, c)
    int kh, kw, k;   // weights (kh, kw, c, k)
    int stride = 1;  // of both axes
    int top = 0;     // rows of padding before the first
    int left = 0;    // columns of padding before the first
    int p, q;        // y (n, p, q, k)
};

struct FirstConv {
    FirstConvShape shape;
    const void* x = nullptr;  // or, with images:
    ImageBatch batch = {};    // x made here just as image_batch (image.hpp) makes it, and stored to batch.y, with the
                              // labels; c = 1, stride 1, outputs as many as pixels
    const void* w;
    const float* bias = nullptr;  // (k), or null
    void* y;
    Activation activation = Activation::kNone;
    DType dtype = DType::kF32;
};
void first_conv_fwd(const FirstConv& a, cudaStream_t stream);

/// What it needs of the activation is either its mask (relu.hpp; bits numbered as y) or y; with neither g = dy.
struct FirstConvWgrad {
    FirstConvShape shape;
    const void* x;
    const void* dy;
    const std::uint32_t* mask = nullptr;
    const void* y = nullptr;  // of dtype
    void* dw;
    float* dbias = nullptr;                     // (k), or null
    void* workspace = nullptr;                  // first_conv_wgrad_workspace() bytes, 4-byte aligned
    Activation activation = Activation::kNone;  // matters with y
    DType dtype = DType::kF32;
    DType dw_dtype = DType::kF32;
};
std::int64_t first_conv_wgrad_workspace(const FirstConvWgrad& a);
void first_conv_wgrad(const FirstConvWgrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
