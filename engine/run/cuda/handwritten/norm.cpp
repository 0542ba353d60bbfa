#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/batch_norm.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

float epsilon_of(const OpDesc& op) { return static_cast<float>(op.as<BatchNormAttrs>().epsilon); }

/// The statistics, then the normalization with them.
Kernel train(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    BatchNormStats stats{.x = nullptr,
                         .dtype = op.in[0].dtype,
                         .rows = rows_of(x),
                         .c = channels_of(x),
                         .mean = nullptr,
                         .variance = nullptr,
                         .momentum = op.as<BatchNormAttrs>().momentum,
                         .unbiased = x.rank() == 4,
                         .workspace = nullptr};
    BatchNormApply apply{.x = nullptr,
                         .mean = nullptr,
                         .variance = nullptr,
                         .gamma = nullptr,
                         .beta = nullptr,
                         .y = nullptr,
                         .dtype = op.in[0].dtype,
                         .rows = rows_of(x),
                         .c = channels_of(x),
                         .epsilon = epsilon_of(op),
                         .activation = activation_of(op.as<BatchNormAttrs>().activation)};
    return [stats, apply, residual = op.in.size() == 4](const Operands& t) mutable {
        stats.x = t.in[0];
        stats.mean = t.output<float>(1);
        stats.variance = t.output<float>(2);
        stats.moving_mean = t.updated<float>(0);
        stats.moving_variance = t.updated<float>(1);
        stats.workspace = t.workspace;
        batch_norm_stats(stats, stream_of(t));
        apply.x = t.in[0];
        apply.mean = t.output<float>(1);
        apply.variance = t.output<float>(2);
        apply.gamma = t.input<float>(1);
        apply.beta = t.input<float>(2);
        apply.residual = residual ? t.in[3] : nullptr;
        apply.y = t.out[0];
        batch_norm_apply(apply, stream_of(t));
    };
}

Kernel infer(const OpDesc& op) {
    BatchNormApply a{.x = nullptr,
                     .mean = nullptr,
                     .variance = nullptr,
                     .gamma = nullptr,
                     .beta = nullptr,
                     .y = nullptr,
                     .dtype = op.in[0].dtype,
                     .rows = rows_of(op.in[0].shape),
                     .c = channels_of(op.in[0].shape),
                     .epsilon = epsilon_of(op),
                     .activation = activation_of(op.as<BatchNormAttrs>().activation)};
    return [a, residual = op.in.size() == 6](const Operands& t) mutable {
        a.x = t.in[0];
        a.residual = residual ? t.in[5] : nullptr;
        a.gamma = t.input<float>(1);
        a.beta = t.input<float>(2);
        a.mean = t.input<float>(3);
        a.variance = t.input<float>(4);
        a.y = t.out[0];
        batch_norm_apply(a, stream_of(t));
    };
}

Kernel gradient(const OpDesc& op) {
    BatchNormGrad a{.dy = nullptr,
                    .x = nullptr,
                    .mean = nullptr,
                    .variance = nullptr,
                    .gamma = nullptr,
                    .beta = nullptr,
                    .dx = nullptr,
                    .dgamma = nullptr,
                    .dbeta = nullptr,
                    .dtype = op.in[0].dtype,
                    .rows = rows_of(op.in[0].shape),
                    .c = channels_of(op.in[0].shape),
                    .epsilon = epsilon_of(op),
                    .activation = activation_of(op.as<BatchNormAttrs>().activation),
                    .workspace = nullptr};
    const bool residual = op.as<BatchNormAttrs>().residual;
    return [a, residual, fused = op.in.size() == 7](const Operands& t) mutable {
        a.dy = t.in[0];
        a.x = t.in[1];
        a.gamma = t.input<float>(2);
        a.mean = t.input<float>(3);
        a.variance = t.input<float>(4);
        // Loaded with the others; without an activation no result depends on it.
        a.beta = fused ? t.input<float>(5) : a.gamma;
        // The mask comes from x alone unless a residual was added.
        a.y = residual ? t.in[6] : nullptr;
        a.dresidual = residual ? t.out[3] : nullptr;
        a.dx = t.out[0];
        a.dgamma = t.output<float>(1);
        a.dbeta = t.output<float>(2);
        a.workspace = t.workspace;
        batch_norm_bwd(a, stream_of(t));
    };
}

Kernel inference_gradient(const OpDesc& op) {
    BatchNormInferenceGrad a{.dy = nullptr,
                             .variance = nullptr,
                             .gamma = nullptr,
                             .dx = nullptr,
                             .dtype = op.in[0].dtype,
                             .rows = rows_of(op.in[0].shape),
                             .c = channels_of(op.in[0].shape),
                             .epsilon = epsilon_of(op)};
    return [a](const Operands& t) mutable {
        a.dy = t.in[0];
        a.gamma = t.input<float>(1);
        a.variance = t.input<float>(2);
        a.dx = t.out[0];
        batch_norm_inference_bwd(a, stream_of(t));
    };
}

std::int64_t workspace(const OpDesc& op) {
    return static_cast<std::int64_t>(batch_norm_workspace(rows_of(op.in[0].shape), channels_of(op.in[0].shape)));
}

constexpr std::array kTrain{Implementation{"handwritten", refusal, workspace, train}};
constexpr std::array kInfer{Implementation{"handwritten", refusal, nullptr, infer}};
constexpr std::array kGradient{Implementation{"handwritten", refusal, workspace, gradient}};
constexpr std::array kInferenceGradient{Implementation{"handwritten", refusal, nullptr, inference_gradient}};

}  // namespace

List batch_norm() { return kTrain; }
List batch_norm_inference() { return kInfer; }
List batch_norm_grad() { return kGradient; }
List batch_norm_inference_grad() { return kInferenceGradient; }

}  // namespace fer::FER_PORT::handwritten
