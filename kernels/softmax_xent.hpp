// Softmax and its cross-entropy with class weights and label smoothing, in the fused, stable form.
//
//     p[i,c]    = exp(x[i,c] - top_i) / sum over c of the same,   top_i = max over c of x[i,c]
//     target    = onehot(label) * (1 - smoothing) + smoothing / classes
//     loss      = 1/n * sum_i weights[label_i] * sum_c target[i,c] * (log sum_i + top_i - x[i,c])
//     dx[i,c]   = dloss * loss_scale * weights[label_i] / n * (p[i,c] - target[i,c])
//
// With mixup an image counts by share_i for its label and by 1 - share_i for its partner's: weight and weighted target
// are share_i * weights[label_i] * (1, target of the label) plus the same of the partner. A hit is one on the own
// label.
//
// n is the batch, not the sum of the weights, as in Keras. A target of 0 contributes 0 even where p is 0. A hit is
// label == argmax, the lowest index of equals; NaN is never greater. NaN or only -inf in a row: p, loss, dx are NaN.
// Logits and dx are of `dtype`, p is float32; arithmetic in float32, the mean over the batch in double and in a fixed
// order. Labels must be in [0, classes). Everything is overwritten; an empty batch writes nothing.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// Loss, probabilities, hits and the gradient in one pass over the logits; one launch up to 2048 rows.
struct SoftmaxXent {
    const void* x;                           // (n, classes)
    const std::int32_t* labels;              // (n)
    const float* weights = nullptr;          // (classes), or null: all 1
    const std::int32_t* partners = nullptr;  // (n), or null: no mixup
    const float* share = nullptr;            // (n), with partners
    const float* dloss = nullptr;            // one number on the device, or null: 1
    const float* loss_scale = nullptr;       // the same
    float* loss;                             // one number
    float* p = nullptr;                      // (n, classes), or null
    std::uint8_t* hits = nullptr;            // (n), or null
    void* dx = nullptr;                      // (n, classes), or null for evaluation; may be x
    DType dtype = DType::kF32;
    int n, classes;
    float smoothing = 0;
    void* workspace = nullptr;  // softmax_xent_workspace(n) bytes, 4-byte aligned; may be null if that is 0
};
void softmax_xent(const SoftmaxXent& a, cudaStream_t stream);
std::size_t softmax_xent_workspace(int n);

/// dx from the probabilities, for a step whose forward and backward nodes are apart.
struct SoftmaxXentGrad {
    const float* p;                          // (n, classes)
    const std::int32_t* labels;              // (n)
    const float* weights = nullptr;          // (classes), or null
    const std::int32_t* partners = nullptr;  // (n), or null: no mixup
    const float* share = nullptr;            // (n), with partners
    const float* dloss = nullptr;            // one number, or null
    const float* loss_scale = nullptr;       // the same
    void* dx;                                // (n, classes)
    DType dtype = DType::kF32;
    int n, classes;
    float smoothing = 0;
};
void softmax_xent_bwd(const SoftmaxXentGrad& a, cudaStream_t stream);

/// p = softmax(x) along the rows.
struct Softmax {
    const void* x;  // (n, classes)
    float* p;       // (n, classes)
    DType dtype = DType::kF32;
    int n, classes;
};
void softmax_fwd(const Softmax& a, cudaStream_t stream);

/// dx = p * (dp - sum over c of dp * p). dx may be dp if both are float32.
struct SoftmaxGrad {
    const float* dp;  // (n, classes)
    const float* p;   // (n, classes)
    void* dx;         // (n, classes)
    DType dtype = DType::kF32;
    int n, classes;
};
void softmax_bwd(const SoftmaxGrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
