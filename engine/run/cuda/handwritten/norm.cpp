#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/batch_norm.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

float epsilon_of(const OpDesc& op) { return static_cast<float>(op.as<BatchNormAttrs>().epsilon); }

BatchNormStats stats_args(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    return {.x = nullptr,
            .dtype = op.in[0].dtype,
            .rows = rows_of(x),
            .c = channels_of(x),
            .mean = nullptr,
            .variance = nullptr,
            .momentum = op.as<BatchNormAttrs>().momentum,
            .unbiased = x.rank() == 4,
            .workspace = nullptr};
}

/// The batch's mean is output `first`, its variance the next one.
void take_statistics(BatchNormStats a, const Operands& t, std::size_t first) {
    a.x = t.in[0];
    a.mean = t.output<float>(first);
    a.variance = t.output<float>(first + 1);
    a.moving_mean = t.updated<float>(0);
    a.moving_variance = t.updated<float>(1);
    a.workspace = t.workspace;
    batch_norm_stats(a, stream_of(t));
}

/// The statistics, then the normalization with them.
Kernel train(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
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
    return [stats = stats_args(op), apply, residual = op.in.size() == 4](const Operands& t) mutable {
        take_statistics(stats, t, 1);
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

/// The same, pooled; statistics may be given.
Kernel train_and_pool(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    BatchNormPool apply{.x = nullptr,
                        .mean = nullptr,
                        .variance = nullptr,
                        .gamma = nullptr,
                        .beta = nullptr,
                        .p = nullptr,
                        .dtype = op.in[0].dtype,
                        .n = to_int(x[0]),
                        .h = to_int(x[1]),
                        .w = to_int(x[2]),
                        .c = to_int(x[3]),
                        .epsilon = epsilon_of(op),
                        .activation = activation_of(op.as<BatchNormAttrs>().activation)};
    return [stats = stats_args(op), apply, given = op.state.empty()](const Operands& t) mutable {
        if (!given) {
            take_statistics(stats, t, 2);
        }
        apply.x = t.in[0];
        apply.mean = given ? t.input<float>(3) : t.output<float>(2);
        apply.variance = given ? t.input<float>(4) : t.output<float>(3);
        apply.gamma = t.input<float>(1);
        apply.beta = t.input<float>(2);
        apply.p = t.out[0];
        apply.argmax = t.output<std::uint8_t>(1);
        port::batch_norm_pool(apply, stream_of(t));
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
                    .x_is_relu = op.as<BatchNormAttrs>().relu_input,
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

Kernel pooled_gradient(const OpDesc& op) {
    const Shape& x = op.in[3].shape;
    BatchNormPoolGrad a{.dp = nullptr,
                        .p = nullptr,
                        .argmax = nullptr,
                        .x = nullptr,
                        .mean = nullptr,
                        .variance = nullptr,
                        .gamma = nullptr,
                        .beta = nullptr,
                        .dx = nullptr,
                        .dgamma = nullptr,
                        .dbeta = nullptr,
                        .dtype = op.in[0].dtype,
                        .n = to_int(x[0]),
                        .h = to_int(x[1]),
                        .w = to_int(x[2]),
                        .c = to_int(x[3]),
                        .epsilon = epsilon_of(op),
                        .activation = activation_of(op.as<BatchNormAttrs>().activation),
                        .x_is_relu = op.as<BatchNormAttrs>().relu_input,
                        .workspace = nullptr};
    return [a](const Operands& t) mutable {
        a.dp = t.in[0];
        a.p = t.in[1];
        a.argmax = t.input<std::uint8_t>(2);
        a.x = t.in[3];
        a.gamma = t.input<float>(4);
        a.mean = t.input<float>(5);
        a.variance = t.input<float>(6);
        a.beta = t.input<float>(7);
        a.dx = t.out[0];
        a.dgamma = t.output<float>(1);
        a.dbeta = t.output<float>(2);
        a.workspace = t.workspace;
        batch_norm_pool_bwd(a, stream_of(t));
    };
}

Kernel inference_gradient(const OpDesc& op) {
    const std::int64_t channels = op.in[1].shape.count();
    BatchNormInferenceGrad a{.dy = nullptr,
                             .variance = nullptr,
                             .gamma = nullptr,
                             .dx = nullptr,
                             .dtype = op.in[0].dtype,
                             .rows = op.in[0].shape.count() / channels,
                             .c = to_int(channels),
                             .epsilon = epsilon_of(op)};
    return [a](const Operands& t) mutable {
        a.dy = t.in[0];
        a.gamma = t.input<float>(1);
        a.variance = t.input<float>(2);
        a.dx = t.out[0];
        batch_norm_inference_bwd(a, stream_of(t));
    };
}

std::int64_t workspace_for(const Shape& x) {
    return static_cast<std::int64_t>(batch_norm_workspace(rows_of(x), channels_of(x)));
}
std::int64_t workspace(const OpDesc& op) { return op.state.empty() ? 0 : workspace_for(op.in[0].shape); }
std::int64_t gradient_workspace(const OpDesc& op) { return workspace_for(op.in[0].shape); }
std::int64_t pooled_workspace(const OpDesc& op) { return workspace_for(op.in[3].shape); }

constexpr std::array kTrain{Implementation{"handwritten", refusal, workspace, train}};
constexpr std::array kPool{Implementation{"handwritten", refusal, workspace, train_and_pool}};
constexpr std::array kPoolGrad{Implementation{"handwritten", refusal, pooled_workspace, pooled_gradient}};
constexpr std::array kInfer{Implementation{"handwritten", refusal, nullptr, infer}};
constexpr std::array kGradient{Implementation{"handwritten", refusal, gradient_workspace, gradient}};
constexpr std::array kInferenceGradient{Implementation{"handwritten", refusal, nullptr, inference_gradient}};

}  // namespace

List batch_norm() { return kTrain; }
List batch_norm_pool() { return kPool; }
List batch_norm_pool_grad() { return kPoolGrad; }
List batch_norm_inference() { return kInfer; }
List batch_norm_grad() { return kGradient; }
List batch_norm_inference_grad() { return kInferenceGradient; }

}  // namespace fer::FER_PORT::handwritten
