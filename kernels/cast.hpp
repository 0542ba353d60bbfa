// Conversion between storage types: f32, f16, bf16, u8, any to any.
//
// To a shorter float: nearest, ties to even; beyond the largest finite value infinity; NaN stays NaN. To u8: nearest,
// ties to even, clamped to 0..255; NaN becomes 0. From f16 to bf16 by way of float32, which is exact.
// Overwrites, deterministic. May work in place where both types have the same size.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

struct Cast {
    const void* x;  // (count) of `from`
    void* y;        // (count) of `to`
    std::int64_t count;
    DType from, to;
};
void cast(const Cast& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
