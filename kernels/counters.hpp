// What a captured step counts on the device. In place; all pointers are device memory.
#pragma once

#include "kernels/clock.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// step += 1, cursor += batch.
struct Advance {
    std::int64_t* clock;  // clock.hpp
    std::int64_t batch;
};
void advance(const Advance& a, cudaStream_t stream);

/// sums += (loss * images, hits, images, 1 if the loss is not finite), as MetricField in engine/graph/op.hpp has them.
/// A loss that is not finite spoils its sum, and shows in the fourth.
struct Metrics {
    const float* loss;         // one number
    const std::uint8_t* hits;  // (images)
    double* sums;              // (4)
    int images;
};
void metrics(const Metrics& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
