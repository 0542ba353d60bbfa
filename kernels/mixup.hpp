// Mixup: every image of a batch is blended with the one that stands as far from the other end.
//
//     y_i = share_i * x_i + (1 - share_i) * x_(n-1-i),   partners_i = labels_(n-1-i)
//
// share_i = max(b, 1 - b) with b from Beta(alpha, alpha), drawn for image i of RandomStream(seed, step, stream) by
// engine/core/beta.hpp; 1 from step `until` on (negative: never), and then y is x. In float32, every product rounded on
// its own; NHWC or any other layout. Everything is overwritten and deterministic; y must not overlap x. A batch of 0
// does nothing. All pointers are device memory.
#pragma once

#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

struct Mixup {
    const float* x;              // (n, pixels)
    const std::int32_t* labels;  // (n)
    const std::int64_t* clock;   // clock.hpp: seed and step
    float* y;                    // (n, pixels)
    std::int32_t* partners;      // (n)
    float* share;                // (n), in [1/2, 1]
    int n, pixels;
    float alpha;  // in (0, 1]
    std::int64_t until = -1;
    std::uint32_t stream = 0;
};
void mixup(const Mixup& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
