// The second stage of reductions over blocks: what the blocks of a first kernel left in its workspace, added in order.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

///     out[i] = partials[0][i] + partials[1][i] + ... + partials[parts-1][i]
///
/// Eight threads share the parts of an element (thread t adds t, t + 8, ...), then their sums are added in order: the
/// same bits every time. Overwrites; parts = 0 gives zeros. f32 sums, stored as out_dtype.
struct SumPartials {
    const float* partials;  // parts rows of `pitch` floats, `count` of them used
    void* out;              // count elements
    int parts, count, pitch;
    DType out_dtype = DType::kF32;
};
void sum_partials(const SumPartials& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
