#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/bias.hpp"
#include "kernels/dense.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

Dense dense_args(const OpDesc& op) {
    const auto& attrs = op.as<DenseAttrs>();
    return {.x = nullptr,
            .w = nullptr,
            .y = nullptr,
            .n = to_int(op.in[0].shape[0]),
            .k = to_int(op.in[1].shape[0]),
            .m = to_int(op.in[1].shape[1]),
            .activation = activation_of(attrs.activation),
            .dtype = op.in[0].dtype,
            .y_dtype = op.out[0].dtype,
            .tf32 = attrs.tf32};
}

Kernel forward(const OpDesc& op) {
    const bool bias = op.in.size() == 3;
    return [a = dense_args(op), bias](const Operands& t) mutable {
        a.x = t.in[0];
        a.w = t.in[1];
        a.bias = bias ? t.input<float>(2) : nullptr;
        a.y = t.out[0];
        a.workspace = t.workspace;
        dense_fwd(a, stream_of(t));
    };
}

DenseDgrad dgrad_args(const OpDesc& op) {
    return {.dy = nullptr,
            .w = nullptr,
            .dx = nullptr,
            .n = to_int(op.in[0].shape[0]),
            .k = to_int(op.in[1].shape[0]),
            .m = to_int(op.in[1].shape[1]),
            .dtype = op.in[0].dtype,
            .dx_dtype = op.out[0].dtype,
            .tf32 = op.as<DenseAttrs>().tf32};
}

Kernel data_gradient(const OpDesc& op) {
    return [a = dgrad_args(op)](const Operands& t) mutable {
        a.dy = t.in[0];
        a.w = t.in[1];
        a.dx = t.out[0];
        a.workspace = t.workspace;
        port::dense_dgrad(a, stream_of(t));
    };
}

DenseWgrad wgrad_args(const OpDesc& op) {
    return {.x = nullptr,
            .dy = nullptr,
            .dw = nullptr,
            .dbias = wanted(op.out.size() == 2),
            .n = to_int(op.in[0].shape[0]),
            .k = to_int(op.in[0].shape[1]),
            .m = to_int(op.in[1].shape[1]),
            .dtype = op.in[0].dtype,
            .dw_dtype = op.out[0].dtype,
            .tf32 = op.as<DenseAttrs>().tf32};
}

Kernel weight_gradient(const OpDesc& op) {
    const bool bias = op.out.size() == 2;
    return [a = wgrad_args(op), bias](const Operands& t) mutable {
        a.x = t.in[0];
        a.dy = t.in[1];
        a.dw = t.out[0];
        a.dbias = bias ? t.output<float>(1) : nullptr;
        a.workspace = t.workspace;
        port::dense_wgrad(a, stream_of(t));
    };
}

Kernel add_bias(const OpDesc& op) {
    Bias a{.x = nullptr,
           .b = nullptr,
           .y = nullptr,
           .dtype = op.in[0].dtype,
           .rows = rows_of(op.in[0].shape),
           .c = channels_of(op.in[0].shape)};
    return [a](const Operands& t) mutable {
        a.x = t.in[0];
        a.b = t.input<float>(1);
        a.y = t.out[0];
        bias_fwd(a, stream_of(t));
    };
}

Kernel bias_gradient(const OpDesc& op) {
    BiasGrad a{.dy = nullptr,
               .db = nullptr,
               .dtype = op.in[0].dtype,
               .rows = rows_of(op.in[0].shape),
               .c = channels_of(op.in[0].shape),
               .workspace = nullptr};
    return [a](const Operands& t) mutable {
        a.dy = t.in[0];
        a.db = t.output<float>(0);
        a.workspace = t.workspace;
        bias_bwd(a, stream_of(t));
    };
}

std::int64_t bias_workspace(const OpDesc& op) {
    return static_cast<std::int64_t>(bias_grad_workspace(rows_of(op.in[0].shape), channels_of(op.in[0].shape)));
}

constexpr std::array kForward{Implementation{
    "handwritten", refusal, [](const OpDesc& op) { return dense_fwd_workspace(dense_args(op)); }, forward}};
constexpr std::array kData{Implementation{
    "handwritten", refusal, [](const OpDesc& op) { return dense_dgrad_workspace(dgrad_args(op)); }, data_gradient}};
constexpr std::array kWeights{Implementation{
    "handwritten", refusal, [](const OpDesc& op) { return dense_wgrad_workspace(wgrad_args(op)); }, weight_gradient}};
constexpr std::array kBias{Implementation{"handwritten", refusal, nullptr, add_bias}};
constexpr std::array kBiasGrad{Implementation{"handwritten", refusal, bias_workspace, bias_gradient}};

}  // namespace

List dense() { return kForward; }
List dense_dgrad() { return kData; }
List dense_wgrad() { return kWeights; }
List bias() { return kBias; }
List bias_grad() { return kBiasGrad; }

}  // namespace fer::FER_PORT::handwritten
