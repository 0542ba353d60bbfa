// L2 regularization over the flat block of parameters: penalty = sum over segments of lambda * sum w^2, added to the
// loss; gradient 2 * lambda * w. All pointers are device memory.
#pragma once

#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// Elements [begin, end) of the block have this factor. A table is sorted, its segments do not overlap; elements
/// between them have factor 0.
struct L2Segment {
    std::uint32_t begin, end;
    float lambda;
};

/// penalty = sum of lambda * w^2, or += with `accumulate`: the loss of the batch stands there already. Summed in double
/// in a fixed order. An empty block gives 0.
struct L2Penalty {
    const float* w;  // (count)
    std::int64_t count;
    const L2Segment* segments = nullptr;  // (segment_count), or null: all of the block has factor `lambda`
    int segment_count = 0;
    float lambda = 0;
    float* penalty;  // one number
    bool accumulate = false;
    void* workspace;  // l2_penalty_workspace(count) bytes, 8-byte aligned
};
void l2_penalty(const L2Penalty& a, cudaStream_t stream);
std::size_t l2_penalty_workspace(std::int64_t count);

/// dw = 2 * lambda * dloss * w, or += with `accumulate`. The optimizers take the segments themselves; this is for a
/// gradient that something else wants to see.
struct L2Grad {
    const float* w;                // (count)
    const float* dloss = nullptr;  // one number on the device, or null: 1
    float* dw;                     // (count)
    std::int64_t count;
    float lambda;
    bool accumulate = false;
};
void l2_bwd(const L2Grad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
