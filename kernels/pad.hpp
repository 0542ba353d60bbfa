// Zero rows and columns around an image, and cropping them off again (the gradient of padding). NHWC, any element of
// 1, 2 or 4 bytes: bits are copied, NaN payloads included. Both overwrite all of y, are deterministic, need no
// workspace, and allow no overlap of x with y.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

///     y[n,i,j,c] = x[n, i - top, j - left, c] where that lies on the image, else 0
struct ZeroPad {
    const void* x;  // (n, h, w, c)
    void* y;        // (n, top + h + bottom, left + w + right, c)
    int n, h, w, c;
    int top, bottom, left, right;
    DType dtype = DType::kF32;
};
void zero_pad_fwd(const ZeroPad& a, cudaStream_t stream);

///     y[n,i,j,c] = x[n, i + top, j + left, c]
struct Crop {
    const void* x;  // (n, h, w, c)
    void* y;        // (n, h - top - bottom, w - left - right, c)
    int n, h, w, c;
    int top, bottom, left, right;
    DType dtype = DType::kF32;
};
void crop_fwd(const Crop& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
