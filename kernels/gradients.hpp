// What happens to gradients between the backward pass and the optimizer: sums over several steps, clipping; and the
// learning rate of the update. In float32, every operation rounded on its own: the CPU's bits. Deterministic. All
// pointers are device memory. An empty block does nothing.
#pragma once

#include "engine/core/schedule.hpp"
#include "kernels/optimizer.hpp"

namespace fer::FER_PORT {

/// *y = *rate * schedule_factor(schedule, step - held), in double, rounded once.
struct ScheduledRate {
    const float* rate;
    const std::int64_t* clock;  // clock.hpp: step and held
    float* y;
    fer::Schedule schedule;  // the emulator has one of its own
};
void scheduled_rate(const ScheduledRate& a, cudaStream_t stream);

/// sums += batch * grads; with `take` grads = sums / (images + batch) and sums = 0 then. In place.
struct Accumulate {
    float* grads;  // (count)
    float* sums;   // (count)
    std::int64_t count;
    const float* images;  // in the sums so far
    float batch;
    bool take;
};
void accumulate(const Accumulate& a, cudaStream_t stream);

/// After all blocks: images += batch and held += 1, or with `take` images = 0.
struct Accumulated {
    float* images;
    std::int64_t* clock;  // clock.hpp
    float batch;
    bool take;
};
void accumulated(const Accumulated& a, cudaStream_t stream);

/// Sums of squares of stretches of the block, in double.
struct GradientSquares {
    const float* grads;  // (count)
    std::int64_t count;
    double* sums;  // gradient_squares_workspace(count) bytes
};
void gradient_squares(const GradientSquares& a, cudaStream_t stream);
std::size_t gradient_squares_workspace(std::int64_t count);

/// With norm > 0, N the root of the sum of `sums` divided by the loss scale: grads *= min(1, norm / N), and NaN where N
/// is not finite. Else grads is held within [-value, value] times the loss scale; NaN stays. In place.
struct ClipGradients {
    float* grads;  // (count)
    std::int64_t count;
    const double* sums;  // (parts)
    int parts;
    float norm, value;
    const LossScale* scale = nullptr;  // or null: 1
};
void clip_gradients(const ClipGradients& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
