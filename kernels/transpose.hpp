// The transpose of a matrix, converting between storage types: f32, f16, bf16, any to any.
//
//     y[j, i] = x[i, j]
//
// A convolution kernel HWIO is the matrix (kh*kw*c, k); transposed it is k filters of (kh, kw, c), as cuDNN takes them.
// Rounds as cast does. Overwrites, deterministic. Tensors below 2^31 elements; x and y may not overlap.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

struct Transpose {
    const void* x;  // (rows, columns) of `from`
    void* y;        // (columns, rows) of `to`
    int rows, columns;
    DType from, to;
};
void transpose(const Transpose& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
