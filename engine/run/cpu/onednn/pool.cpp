// Pooling by oneDNN. Its workspace for max pooling is the place of the winner in its window, one byte each, which is
// what argmax holds: where the library would keep anything else, it refuses.
#include "engine/run/cpu/onednn/common.hpp"
#include "engine/run/cpu/onednn/implementations.hpp"

namespace fer::cpu::onednn {
namespace {

constexpr auto kIn = Call::Flow::kIn;
constexpr auto kOut = Call::Flow::kOut;
using Forward = dnnl::pooling_forward;
using Backward = dnnl::pooling_backward;

struct Setup {
    Desc x, y, argmax;
    Dims strides, window, before, after;
    dnnl::algorithm algorithm;
};

Setup setup(const Shape& x, const Shape& y, const PoolAttrs& attrs, bool max) {
    const Window rows = window_of(x[1], attrs.window, attrs.stride, attrs.padding);
    const Window cols = window_of(x[2], attrs.window, attrs.stride, attrs.padding);
    const auto rest = [&attrs](std::int64_t size, const Window& w) {
        return (w.out - 1) * attrs.stride + attrs.window - size - w.before;
    };
    return {nhwc(x),
            nhwc(y),
            Desc({y[0], y[3], y[1], y[2]}, dnnl::memory::data_type::u8, Tag::nhwc),
            {attrs.stride, attrs.stride},
            {attrs.window, attrs.window},
            {rows.before, cols.before},
            {rest(x[1], rows), rest(x[2], cols)},
            max ? dnnl::algorithm::pooling_max : dnnl::algorithm::pooling_avg_exclude_padding};
}

Forward::primitive_desc forward_desc(const Setup& s) {
    Forward::primitive_desc desc(
        Forward::desc(dnnl::prop_kind::forward_training, s.algorithm, s.x, s.y, s.strides, s.window, s.before, s.after),
        planned_scratch(), engine());
    if (s.algorithm == dnnl::algorithm::pooling_max && desc.workspace_desc() != s.argmax) {
        throw dnnl::error(dnnl_unimplemented, "its workspace is not one byte per window");
    }
    return desc;
}

template <bool kMax>
std::shared_ptr<Call> forward(const OpDesc& op) {
    const Setup s = setup(op.in[0].shape, op.out[0].shape, op.as<PoolAttrs>(), kMax);
    const auto desc = forward_desc(s);
    auto call = Call::make<Forward>(desc);
    call->bind(DNNL_ARG_SRC, s.x, desc.src_desc(), kIn);
    call->bind(DNNL_ARG_DST, s.y, desc.dst_desc(), kOut);
    if (kMax) {
        call->bind(DNNL_ARG_WORKSPACE, s.argmax, desc.workspace_desc(), kOut);
    }
    return call;
}

template <bool kMax>
std::shared_ptr<Call> gradient(const OpDesc& op) {
    const Setup s = setup(op.out[0].shape, op.in[0].shape, op.as<PoolAttrs>(), kMax);
    const Backward::primitive_desc desc(Backward::desc(s.algorithm, s.x, s.y, s.strides, s.window, s.before, s.after),
                                        planned_scratch(), engine(), forward_desc(s));
    auto call = Call::make<Backward>(desc);
    call->bind(DNNL_ARG_DIFF_DST, s.y, desc.diff_dst_desc(), kIn);
    if (kMax) {
        call->bind(DNNL_ARG_WORKSPACE, s.argmax, desc.workspace_desc(), kIn);
    }
    call->bind(DNNL_ARG_DIFF_SRC, s.x, desc.diff_src_desc(), kOut);
    return call;
}

}  // namespace

const Implementation kMaxPool = in_order<forward<true>>();
const Implementation kMaxPoolGrad = in_order<gradient<true>>();
const Implementation kAvgPool = in_order<forward<false>>();
const Implementation kAvgPoolGrad = in_order<gradient<false>>();

}  // namespace fer::cpu::onednn
