// Batch normalization by oneDNN; the moving statistics are updated here as the reference says.
#include <cmath>

#include "engine/run/cpu/onednn/common.hpp"
#include "engine/run/cpu/onednn/implementations.hpp"

namespace fer::cpu::onednn {
namespace {

constexpr auto kIn = Call::Flow::kIn;
constexpr auto kOut = Call::Flow::kOut;
using Forward = dnnl::batch_normalization_forward;
using Backward = dnnl::batch_normalization_backward;
using Flags = dnnl::normalization_flags;

const auto kAffine = Flags::use_scale | Flags::use_shift;

Forward::primitive_desc training_desc(const OpDesc& op, const Shape& x) {
    return {Forward::desc(dnnl::prop_kind::forward_training, activations(x),
                          static_cast<float>(op.as<BatchNormAttrs>().epsilon), kAffine),
            planned_scratch(), engine()};
}

std::shared_ptr<Call> training(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    const auto desc = training_desc(op, x);
    auto call = Call::make<Forward>(desc);
    call->bind(DNNL_ARG_SRC, activations(x), desc.src_desc(), kIn);
    call->bind(DNNL_ARG_SCALE, vector(x.back()), vector(x.back()), kIn);
    call->bind(DNNL_ARG_SHIFT, vector(x.back()), vector(x.back()), kIn);
    call->bind(DNNL_ARG_DST, activations(x), desc.dst_desc(), kOut);
    call->bind(DNNL_ARG_MEAN, vector(x.back()), desc.mean_desc(), kOut);
    call->bind(DNNL_ARG_VARIANCE, vector(x.back()), desc.variance_desc(), kOut);
    return call;
}

Kernel make_training(const OpDesc& op) {
    const auto& attrs = op.as<BatchNormAttrs>();
    const std::int64_t channels = op.in[0].shape.back();
    const auto rows = static_cast<double>(op.in[0].shape.count() / channels);
    const bool unbiased = op.in[0].shape.rank() == 4 && rows > 1;
    const auto correction = static_cast<float>(unbiased ? rows / (rows - 1) : 1.0);
    const auto momentum = static_cast<float>(attrs.momentum);
    const auto rate = static_cast<float>(1.0 - attrs.momentum);
    return [=, call = training(op)](const Operands& t) {
        call->run({t.in[0], t.in[1], t.in[2], t.out[0], t.out[1], t.out[2]}, t.workspace);
        for (std::int64_t k = 0; k < channels; ++k) {
            float& mean = t.updated<float>(0)[k];
            float& variance = t.updated<float>(1)[k];
            mean = mean * momentum + t.output<float>(1)[k] * rate;
            variance = variance * momentum + t.output<float>(2)[k] * correction * rate;
        }
    };
}

// (dy, x, gamma, mean, variance) -> dx, dgamma, dbeta
std::shared_ptr<Call> gradient(const OpDesc& op) {
    const Shape& x = op.in[1].shape;
    const Backward::primitive_desc desc(Backward::desc(dnnl::prop_kind::backward, activations(x), activations(x),
                                                       static_cast<float>(op.as<BatchNormAttrs>().epsilon), kAffine),
                                        planned_scratch(), engine(), training_desc(op, x));
    auto call = Call::make<Backward>(desc);
    call->bind(DNNL_ARG_DIFF_DST, activations(x), desc.diff_dst_desc(), kIn);
    call->bind(DNNL_ARG_SRC, activations(x), desc.src_desc(), kIn);
    call->bind(DNNL_ARG_SCALE, vector(x.back()), vector(x.back()), kIn);
    call->bind(DNNL_ARG_MEAN, vector(x.back()), desc.mean_desc(), kIn);
    call->bind(DNNL_ARG_VARIANCE, vector(x.back()), desc.variance_desc(), kIn);
    call->bind(DNNL_ARG_SHIFT, vector(x.back()), vector(x.back()), kIn);
    call->bind(DNNL_ARG_DIFF_SRC, activations(x), desc.diff_src_desc(), kOut);
    call->bind(DNNL_ARG_DIFF_SCALE, vector(x.back()), vector(x.back()), kOut);
    call->bind(DNNL_ARG_DIFF_SHIFT, vector(x.back()), vector(x.back()), kOut);
    return call;
}

// oneDNN asks for the shift but the gradient does not depend on it: gamma stands in.
Kernel make_gradient(const OpDesc& op) {
    return [call = gradient(op)](const Operands& t) {
        call->run({t.in[0], t.in[1], t.in[2], t.in[3], t.in[4], t.in[2], t.out[0], t.out[1], t.out[2]}, t.workspace);
    };
}

// (x, gamma, beta, mean, variance) -> y
std::shared_ptr<Call> inference(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    dnnl::primitive_attr attr = planned_scratch();
    append_behind(attr, op.as<BatchNormAttrs>().activation);
    const Forward::primitive_desc desc(
        Forward::desc(dnnl::prop_kind::forward_inference, activations(x),
                      static_cast<float>(op.as<BatchNormAttrs>().epsilon), kAffine | Flags::use_global_stats),
        attr, engine());
    auto call = Call::make<Forward>(desc);
    call->bind(DNNL_ARG_SRC, activations(x), desc.src_desc(), kIn);
    call->bind(DNNL_ARG_SCALE, vector(x.back()), vector(x.back()), kIn);
    call->bind(DNNL_ARG_SHIFT, vector(x.back()), vector(x.back()), kIn);
    call->bind(DNNL_ARG_MEAN, vector(x.back()), desc.mean_desc(), kIn);
    call->bind(DNNL_ARG_VARIANCE, vector(x.back()), desc.variance_desc(), kIn);
    call->bind(DNNL_ARG_DST, activations(x), desc.dst_desc(), kOut);
    return call;
}

}  // namespace

const Implementation kBatchNorm{"onednn", [](const OpDesc& op) { return refuse_unless_built(op, training); },
                                [](const OpDesc& op) { return training(op)->scratch_bytes(); }, make_training};
const Implementation kBatchNormGrad{"onednn", [](const OpDesc& op) { return refuse_unless_built(op, gradient); },
                                    [](const OpDesc& op) { return gradient(op)->scratch_bytes(); }, make_gradient};
const Implementation kBatchNormInference = in_order<inference>();

}  // namespace fer::cpu::onednn
