// Batch normalization over all axes but the last, Keras 2.15, with what stands around it in one pass.
//
//     y = act(gamma * (x - mean) / sqrt(variance + epsilon) + beta [+ residual])    [2x2 max pool of that]
//
// Layout (rows, c), NHWC for images: rows = n*h*w. x, y, dy, ... are of `dtype` (f32, f16, bf16); statistics, gamma,
// beta and their gradients are float32. Any channel count; 16-byte vectors where c and the pointers allow.
// Outputs are overwritten. Deterministic: partial results per part of the rows, added in order. A NaN spoils its
// channel. Needs no zeroed memory. No rows: nothing is written. All pointers are device memory, null where optional.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// What a part of the rows leaves behind for each channel.
enum class Moments : std::uint8_t {
    kMeanM2,  // mean, sum of squares about it: keeps its precision however large the mean is
    kSums,    // sum, sum of squares: what a convolution's epilogue has; loses (mean/std)^2 * 2^-24 of the variance
};

/// partials (parts, 2, c) -> mean, biased variance, and the moving statistics moved:
///     moving = moving * momentum + batch * (1 - momentum)
/// with the unbiased variance (n/(n-1), n > 1) where `unbiased`: Keras 2.15 has it for images, not for vectors.
/// Part p covers rows p*rows_per_part up to the next part or the end. In double from the partials on.
struct BatchNormFinalize {
    const float* partials;  // (parts, 2, c)
    Moments moments = Moments::kMeanM2;
    std::int64_t rows;
    std::int64_t rows_per_part;
    int c;
    float* mean;                       // (c)
    float* variance;                   // (c)
    float* moving_mean = nullptr;      // (c) in place, or both null
    float* moving_variance = nullptr;  // (c)
    double momentum = 0.99;
    bool unbiased = false;
};
void batch_norm_finalize(const BatchNormFinalize& a, cudaStream_t stream);

/// x -> mean, variance, moving statistics: Welford's update in each thread, merged in float32, parts added in double.
struct BatchNormStats {
    const void* x;  // (rows, c)
    DType dtype = DType::kF32;
    std::int64_t rows;
    int c;
    float* mean;
    float* variance;
    float* moving_mean = nullptr;
    float* moving_variance = nullptr;
    double momentum = 0.99;
    bool unbiased = false;
    void* workspace;  // batch_norm_workspace(rows, c) bytes, 16-byte aligned
};
void batch_norm_stats(const BatchNormStats& a, cudaStream_t stream);

/// For BatchNormStats and BatchNormGrad.
std::size_t batch_norm_workspace(std::int64_t rows, int c);

/// y from given statistics: the batch's in training, the moving ones in inference. May work in place (y == x, or
/// y == residual). y is rounded to dtype before ReLU's mask and the pool's comparison are taken: fused = unfused.
struct BatchNormApply {
    const void* x;  // (rows, c)
    const float* mean;
    const float* variance;
    const float* gamma;
    const float* beta;
    const void* residual = nullptr;  // (rows, c) or null
    void* y;                         // (rows, c)
    DType dtype = DType::kF32;
    std::int64_t rows;
    int c;
    float epsilon = 1e-3f;
    Activation activation = Activation::kNone;
};
void batch_norm_apply(const BatchNormApply& a, cudaStream_t stream);

/// The same followed by a 2x2 max pool of stride 2 without padding; y itself is not stored. An odd last row or column
/// belongs to no window. argmax is the winner's place 0..3, row by row: the first of equals, a NaN before numbers.
struct BatchNormPool {
    const void* x;  // (n, h, w, c)
    const float* mean;
    const float* variance;
    const float* gamma;
    const float* beta;
    void* p;                         // (n, h/2, w/2, c); not x
    std::uint8_t* argmax = nullptr;  // (n, h/2, w/2, c), or null for inference
    DType dtype = DType::kF32;
    int n, h, w, c;
    float epsilon = 1e-3f;
    Activation activation = Activation::kNone;
};
void batch_norm_pool(const BatchNormPool& a, cudaStream_t stream);

/// Gradient of training-mode batch normalization. With dz = dy where the activation lets it through (0 < y, < 6),
///     xhat = (x - mean) / sqrt(variance + epsilon)
///     dbeta = sum dz,  dgamma = sum dz * xhat
///     dx = gamma / sqrt(variance + epsilon) * (dz - dbeta/rows - xhat * dgamma/rows)
/// Three launches: partial sums, their total, dx. dx may be dy; dresidual may be dy, but not both.
struct BatchNormGrad {
    const void* dy;           // (rows, c)
    const void* x;            // (rows, c)
    const void* y = nullptr;  // (rows, c), the forward output; needed with an activation after a residual, else null:
                              // then the mask comes from x, with the very arithmetic of the forward pass
    const float* mean;
    const float* variance;
    const float* gamma;
    const float* beta;          // read for the mask alone
    void* dx;                   // (rows, c)
    void* dresidual = nullptr;  // (rows, c) = dz, or null
    float* dgamma;              // (c)
    float* dbeta;               // (c)
    DType dtype = DType::kF32;
    std::int64_t rows;
    int c;
    float epsilon = 1e-3f;
    Activation activation = Activation::kNone;
    bool x_is_relu = false;  // x is the output of a ReLU, whose gradient is taken too: dx = 0 where x <= 0
    void* workspace;         // batch_norm_workspace(rows, c) bytes, 16-byte aligned
};
void batch_norm_bwd(const BatchNormGrad& a, cudaStream_t stream);

/// Gradient of BatchNormPool. The sums run over the pooled tensors, a quarter of the memory traffic: dz is zero but at
/// the winners, and xhat there is (p - beta) / gamma. That division magnifies the rounding of p by |beta/gamma|, so a
/// channel with |gamma| <= |beta| / 16 or |gamma| < 2^-20 reads x at the winners instead.
struct BatchNormPoolGrad {
    const void* dp;              // (n, h/2, w/2, c)
    const void* p;               // (n, h/2, w/2, c), the forward output
    const std::uint8_t* argmax;  // (n, h/2, w/2, c)
    const void* x;               // (n, h, w, c)
    const float* mean;
    const float* variance;
    const float* gamma;
    const float* beta;
    void* dx;  // (n, h, w, c); may be x
    float* dgamma;
    float* dbeta;
    DType dtype = DType::kF32;
    int n, h, w, c;
    float epsilon = 1e-3f;
    Activation activation = Activation::kNone;
    bool x_is_relu = false;
    void* workspace;  // batch_norm_workspace(n*h*w, c) bytes, 16-byte aligned
};
void batch_norm_pool_bwd(const BatchNormPoolGrad& a, cudaStream_t stream);

/// Gradient of inference-mode batch normalization: dx = dy * gamma / sqrt(variance + epsilon). In place if dx == dy.
struct BatchNormInferenceGrad {
    const void* dy;  // (rows, c)
    const float* variance;
    const float* gamma;
    void* dx;
    DType dtype = DType::kF32;
    std::int64_t rows;
    int c;
    float epsilon = 1e-3f;
};
void batch_norm_inference_bwd(const BatchNormInferenceGrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
