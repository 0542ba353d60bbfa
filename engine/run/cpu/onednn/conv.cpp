// Convolution and depthwise convolution by oneDNN. Weights stay HWIO outside; the primitive's own layout is made anew in
// scratch memory each step, because the optimizer has just changed them.
#include "engine/run/cpu/onednn/common.hpp"
#include "engine/run/cpu/onednn/implementations.hpp"

namespace fer::cpu::onednn {
namespace {

constexpr auto kIn = Call::Flow::kIn;
constexpr auto kOut = Call::Flow::kOut;

/// Everything a convolution primitive of any direction is described by.
struct Setup {
    Desc x, y, w_plain, w_any;
    Dims strides, before, after;
};

Setup setup(const Shape& x, const Shape& w, const Shape& y, const ConvAttrs& attrs, bool depthwise) {
    const Window rows = window_of(x[1], w[0], attrs.stride, attrs.padding);
    const Window cols = window_of(x[2], w[1], attrs.stride, attrs.padding);
    // A valid convolution may leave rows over: oneDNN wants the exact extent, so the surplus is negative padding.
    const auto rest = [&attrs](std::int64_t size, std::int64_t kernel, const Window& window) {
        return (window.out - 1) * attrs.stride + kernel - size - window.before;
    };
    Setup s{nhwc(x), nhwc(y), {}, {}, {attrs.stride, attrs.stride}, {rows.before, cols.before},
            {rest(x[1], w[0], rows), rest(x[2], w[1], cols)}};
    if (depthwise) {  // (kh, kw, c, 1) is hwigo with one input and one output channel per group
        const Dims dims{w[2], 1, 1, w[0], w[1]};
        s.w_plain = f32(dims, Tag::hwigo);
        s.w_any = f32(dims, Tag::any);
    } else {
        const Dims dims{w[3], w[2], w[0], w[1]};
        s.w_plain = f32(dims, Tag::hwio);
        s.w_any = f32(dims, Tag::any);
    }
    return s;
}

using Forward = dnnl::convolution_forward;
using Data = dnnl::convolution_backward_data;
using Weights = dnnl::convolution_backward_weights;

Forward::primitive_desc forward_desc(const Setup& s, std::int64_t bias, const dnnl::primitive_attr& attr) {
    const auto kind = dnnl::prop_kind::forward_training;
    const auto algorithm = dnnl::algorithm::convolution_direct;
    if (bias > 0) {
        return {Forward::desc(kind, algorithm, s.x, s.w_any, vector(bias), s.y, s.strides, s.before, s.after), attr, engine()};
    }
    return {Forward::desc(kind, algorithm, s.x, s.w_any, s.y, s.strides, s.before, s.after), attr, engine()};
}

std::shared_ptr<Call> forward(const OpDesc& op, bool depthwise) {
    const auto& attrs = op.as<ConvAttrs>();
    const Setup s = setup(op.in[0].shape, op.in[1].shape, op.out[0].shape, attrs, depthwise);
    dnnl::primitive_attr attr = planned_scratch();
    append_activation(attr, attrs.activation);
    const bool bias = op.in.size() == 3;
    const auto desc = forward_desc(s, bias ? op.out[0].shape[3] : 0, attr);
    auto call = Call::make<Forward>(desc);
    call->bind(DNNL_ARG_SRC, s.x, desc.src_desc(), kIn);
    call->bind(DNNL_ARG_WEIGHTS, s.w_plain, desc.weights_desc(), kIn);
    if (bias) {
        call->bind(DNNL_ARG_BIAS, vector(op.out[0].shape[3]), desc.bias_desc(), kIn);
    }
    call->bind(DNNL_ARG_DST, s.y, desc.dst_desc(), kOut);
    return call;
}

std::shared_ptr<Call> data_gradient(const OpDesc& op, bool depthwise) {
    const Setup s = setup(op.out[0].shape, op.in[1].shape, op.in[0].shape, op.as<ConvAttrs>(), depthwise);
    const auto hint = forward_desc(s, 0, planned_scratch());
    const Data::primitive_desc desc(
        Data::desc(dnnl::algorithm::convolution_direct, s.x, s.w_any, s.y, s.strides, s.before, s.after),
        planned_scratch(), engine(), hint);
    auto call = Call::make<Data>(desc);
    call->bind(DNNL_ARG_DIFF_DST, s.y, desc.diff_dst_desc(), kIn);
    call->bind(DNNL_ARG_WEIGHTS, s.w_plain, desc.weights_desc(), kIn);
    call->bind(DNNL_ARG_DIFF_SRC, s.x, desc.diff_src_desc(), kOut);
    return call;
}

std::shared_ptr<Call> weight_gradient(const OpDesc& op, bool depthwise) {
    const auto& attrs = op.as<ConvAttrs>();
    const Setup s = setup(op.in[0].shape, attrs.kernel, op.in[1].shape, attrs, depthwise);
    const std::int64_t bias = attrs.bias ? op.in[1].shape[3] : 0;
    const auto hint = forward_desc(s, bias, planned_scratch());
    const auto algorithm = dnnl::algorithm::convolution_direct;
    const Weights::desc description =
        attrs.bias ? Weights::desc(algorithm, s.x, s.w_any, vector(bias), s.y, s.strides, s.before, s.after)
                   : Weights::desc(algorithm, s.x, s.w_any, s.y, s.strides, s.before, s.after);
    const Weights::primitive_desc desc(description, planned_scratch(), engine(), hint);
    auto call = Call::make<Weights>(desc);
    call->bind(DNNL_ARG_SRC, s.x, desc.src_desc(), kIn);
    call->bind(DNNL_ARG_DIFF_DST, s.y, desc.diff_dst_desc(), kIn);
    call->bind(DNNL_ARG_DIFF_WEIGHTS, s.w_plain, desc.diff_weights_desc(), kOut);
    if (attrs.bias) {
        call->bind(DNNL_ARG_DIFF_BIAS, vector(bias), desc.diff_bias_desc(), kOut);
    }
    return call;
}

template <std::shared_ptr<Call> (*kBuild)(const OpDesc&, bool), bool kDepthwise>
std::shared_ptr<Call> build(const OpDesc& op) {
    return kBuild(op, kDepthwise);
}

}  // namespace

const Implementation kConv2d = in_order<build<forward, false>>();
const Implementation kConv2dDgrad = in_order<build<data_gradient, false>>();
const Implementation kConv2dWgrad = in_order<build<weight_gradient, false>>();
const Implementation kDepthwiseConv = in_order<build<forward, true>>();
const Implementation kDepthwiseDgrad = in_order<build<data_gradient, true>>();
const Implementation kDepthwiseWgrad = in_order<build<weight_gradient, true>>();

}  // namespace fer::cpu::onednn
