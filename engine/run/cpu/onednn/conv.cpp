// Convolution and depthwise convolution by oneDNN. Weights stay HWIO outside; the primitive's own layout is made anew
// in scratch memory each step where the optimizer has just changed them, and kept where nothing changes them.
#include <algorithm>

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
    Setup s{nhwc(x),
            nhwc(y),
            {},
            {},
            {attrs.stride, attrs.stride},
            {rows.before, cols.before},
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
        return {Forward::desc(kind, algorithm, s.x, s.w_any, vector(bias), s.y, s.strides, s.before, s.after), attr,
                engine()};
    }
    return {Forward::desc(kind, algorithm, s.x, s.w_any, s.y, s.strides, s.before, s.after), attr, engine()};
}

std::shared_ptr<Call> forward(const OpDesc& op, bool depthwise) {
    const auto& attrs = op.as<ConvAttrs>();
    const Setup s = setup(op.in[0].shape, op.in[1].shape, op.out[0].shape, attrs, depthwise);
    dnnl::primitive_attr attr = planned_scratch();
    const bool bias = op.in.size() >= 3;
    const bool residual = op.in.size() == 4;
    append_behind(attr, attrs.activation, residual);
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

// The data gradient of a convolution of stride 1 is a convolution of dy with the kernel turned by 180 degrees and its
// channels swapped, padded by what is left of the kernel: the library's forward primitive is the faster one.
// 512 -> 512 channels at 11x11, batch 64, 2 cores with AVX-512: 66 ms against 94 ms.
struct TurnedGradient {
    Shape kernel;  // turned: (kh, kw, k, c)
    std::shared_ptr<Call> call;

    explicit TurnedGradient(const OpDesc& op) {
        const auto& attrs = op.as<ConvAttrs>();
        const Shape& w = op.in[1].shape;
        const Shape& x = op.out[0].shape;
        kernel = {w[0], w[1], w[3], w[2]};
        const auto pads = [&](int axis) {
            const std::int64_t before = w[axis] - 1 - window_of(x[1 + axis], w[axis], 1, attrs.padding).before;
            return std::pair(before, x[1 + axis] - op.in[0].shape[1 + axis] + w[axis] - 1 - before);
        };
        const auto [top, bottom] = pads(0);
        const auto [left, right] = pads(1);
        const Dims dims{kernel[3], kernel[2], kernel[0], kernel[1]};
        const Setup s{nhwc(op.in[0].shape), nhwc(x),        f32(dims, Tag::hwio), f32(dims, Tag::any), {1, 1},
                      {top, left},          {bottom, right}};
        const auto desc = forward_desc(s, 0, planned_scratch());
        call = Call::make<Forward>(desc);
        call->bind(DNNL_ARG_SRC, s.x, desc.src_desc(), kIn);
        call->bind(DNNL_ARG_WEIGHTS, s.w_plain, desc.weights_desc(), kIn);
        call->bind(DNNL_ARG_DST, s.y, desc.dst_desc(), kOut);
    }

    std::int64_t turned_bytes() const { return (kernel.count() * 4 + 63) / 64 * 64; }

    void turn(const float* w, float* turned) const {
        const std::int64_t places = kernel[0] * kernel[1];
        const std::int64_t k = kernel[2];
        const std::int64_t c = kernel[3];
        constexpr std::int64_t kTile = 16;  // one cache line each way
        const std::int64_t tiles = (c + kTile - 1) / kTile;
#pragma omp parallel for schedule(static)
        for (std::int64_t i = 0; i < places * tiles; ++i) {
            const float* from = w + i / tiles * c * k;
            float* to = turned + (places - 1 - i / tiles) * c * k;
            const std::int64_t first = i % tiles * kTile;
            for (std::int64_t ik = 0; ik < k; ++ik) {
                for (std::int64_t ic = first; ic < std::min(c, first + kTile); ++ic) {
                    to[ik * c + ic] = from[ic * k + ik];
                }
            }
        }
    }
};

Refusal refuse_turned(const OpDesc& op) {
    if (op.as<ConvAttrs>().stride != 1) {
        return "stride is not 1";
    }
    return refuse_unless_built(op, [](const OpDesc& o) { TurnedGradient{o}; });
}

std::int64_t turned_workspace(const OpDesc& op) {
    const TurnedGradient gradient(op);
    return gradient.turned_bytes() + gradient.call->scratch_bytes();
}

Kernel make_turned(const OpDesc& op) {
    return [gradient = TurnedGradient(op)](const Operands& t) {
        auto* turned = static_cast<float*>(t.workspace);
        gradient.turn(t.input<float>(1), turned);
        gradient.call->run({t.in[0], turned, t.out[0]}, static_cast<char*>(t.workspace) + gradient.turned_bytes());
    };
}

// oneDNN 2.6.3 on two threads with AVX-512: 8 channels at 48x48 to 16 by a pixel of stride 2 came out with other bits
// in every run; 16, 32 and 64 channels did not.
Refusal refuse_weight_gradient(const OpDesc& op) {
    const auto& attrs = op.as<ConvAttrs>();
    constexpr std::int64_t kLanes = 16;
    const bool pixel = attrs.kernel[0] == 1 && attrs.kernel[1] == 1;
    if (pixel && attrs.stride > 1 && attrs.kernel[2] % kLanes != 0) {
        return "the bits of a 1x1 of stride 2 depend on the threads' timing unless its channels fill vectors";
    }
    return refuse_unless_built(op, [](const OpDesc& o) { return weight_gradient(o, false); });
}

std::shared_ptr<Call> convolution(const OpDesc& op) {
    auto call = forward(op, false);
    call->keep(op.fixed);
    return call;
}

// The residual is added by the library, which wants it where the sum goes: there it lies if nobody else reads it. Given
// as an operand of its own it would cost the better kernel of 1x1 convolutions: 64 -> 256 channels at 56x56, batch 32,
// two shared cores with AVX-512: 44 ms without a residual, 100 ms with one so given.
Kernel make_convolution(const OpDesc& op) {
    const std::int64_t count = op.out[0].shape.count();
    return [count, residual = op.in.size() == 4, call = convolution(op)](const Operands& t) {
        std::vector<void*> addresses(t.in.begin(), t.in.end() - (residual ? 1 : 0));
        addresses.push_back(t.out[0]);
        if (residual && t.in[3] != t.out[0]) {
            const auto* from = t.input<float>(3);
            auto* to = t.output<float>(0);
#pragma omp parallel for simd schedule(static)
            for (std::int64_t i = 0; i < count; ++i) {
                to[i] = from[i];
            }
        }
        call->run(addresses, t.workspace, t.generation);
    };
}

template <std::shared_ptr<Call> (*kBuild)(const OpDesc&, bool), bool kDepthwise>
std::shared_ptr<Call> build(const OpDesc& op) {
    return kBuild(op, kDepthwise);
}

}  // namespace

const Implementation kConv2d{"onednn",
                             [](const OpDesc& op) { return refuse_unless_built(op, convolution); },
                             [](const OpDesc& op) { return convolution(op)->scratch_bytes(); },
                             make_convolution,
                             nullptr,
                             3};
const Implementation kConv2dDgradTurned{"onednn_turned", refuse_turned, turned_workspace, make_turned};
const Implementation kConv2dDgrad = in_order<build<data_gradient, false>>();
const Implementation kConv2dWgrad = in_order<build<weight_gradient, false>>("onednn", refuse_weight_gradient);
const Implementation kDepthwiseConv = in_order<build<forward, true>>();
const Implementation kDepthwiseDgrad = in_order<build<data_gradient, true>>();
const Implementation kDepthwiseWgrad = in_order<build<weight_gradient, true>>();

}  // namespace fer::cpu::onednn
