// Optimizers of Keras 2.15 over one flat block: parameters, gradients and moments of all tensors back to back, one
// launch for all of them. With g = gradient / loss_scale + 2 * lambda * w, t the number of updates including this one:
//     Adam     m += (g - m)(1 - b1);  v += (g^2 - v)(1 - b2);  w -= m * alpha / (sqrt(v) + eps),
//              alpha = lr * sqrt(1 - b2^t) / (1 - b1^t); eps is added to the uncorrected root
//     SGD      w -= lr g;  with momentum m = mu m - lr g, w += m, or with Nesterov w += mu m - lr g
//     RMSprop  v = rho v + (1 - rho) g^2;  d = lr g / sqrt(v + eps);  w -= d, or with momentum m = mu m + d, w -= m
//     EMA      average = decay * average + (1 - decay) * w; with a clock the decay of update t (from 0) is at most
//              (1 + t) / (10 + t), in double, rounded once
// All in float32 and in this order; alpha in double, rounded once. In place. Deterministic. Pointers are device memory,
// 16-byte aligned for vector accesses and of any alignment otherwise. An empty block does nothing.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/l2.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// Dynamic loss scaling, all on the device: no step waits for the host to look at an overflow.
///     grads_check       sets `overflow` if a gradient is not finite
///     adam, sgd, ...    change nothing while `overflow` is set, moments and shadow included
///     loss_scale_update after the optimizer: on overflow scale /= 2 (not below least), skipped += 1, good = 0; else
///                       good += 1, and at `interval` good steps scale *= 2 (not above most), good = 0.
///                       Clears `overflow`.
/// Skipped steps are no updates: t = clock step + 1 - held - skipped.
struct LossScale {
    float scale = 65536;
    std::int32_t good = 0;
    std::uint32_t overflow = 0;
    std::uint32_t reserved = 0;
    std::int64_t skipped = 0;
};

struct GradsCheck {
    const float* grads;  // (count)
    std::int64_t count;
    LossScale* state;
};
void grads_check(const GradsCheck& a, cudaStream_t stream);

struct LossScaleUpdate {
    LossScale* state;
    int interval = 2000;
    float least = 1, most = 16777216;
};
void loss_scale_update(const LossScaleUpdate& a, cudaStream_t stream);

/// What every optimizer takes.
struct FlatBlock {
    const float* grads;      // (count)
    float* params;           // (count)
    void* shadow = nullptr;  // (count) the new parameters rounded to shadow_dtype, f16 or bf16, or null
    DType shadow_dtype = DType::kBF16;
    std::int64_t count;
    const float* rate;                    // the learning rate
    float rate_factor = 1;                // lr = rate * rate_factor, rounded once
    const std::int64_t* clock;            // clock.hpp: step - held is Adam's t - 1
    const LossScale* scale = nullptr;     // or null: gradients are not scaled and not checked
    const L2Segment* segments = nullptr;  // (segment_count), or null
    int segment_count = 0;
};

struct Adam {
    FlatBlock block;
    float* m;  // (count)
    float* v;  // (count)
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7;
};
void adam(const Adam& a, cudaStream_t stream);

struct Sgd {
    FlatBlock block;
    float* m = nullptr;  // (count), or null without momentum
    double momentum = 0;
    bool nesterov = false;
};
void sgd(const Sgd& a, cudaStream_t stream);

struct RmsProp {
    FlatBlock block;
    float* v;            // (count)
    float* m = nullptr;  // (count), or null without momentum
    double rho = 0.9, momentum = 0, epsilon = 1e-7;
};
void rmsprop(const RmsProp& a, cudaStream_t stream);

struct Ema {
    const float* w;  // (count)
    float* average;  // (count)
    std::int64_t count;
    float decay;
    const std::int64_t* clock = nullptr;  // clock.hpp: step and held; or null: the decay is the same in every update
};
void ema(const Ema& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
