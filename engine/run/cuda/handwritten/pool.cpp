#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/pad.hpp"
#include "kernels/pool.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

/// MaxPool, MaxPoolGrad, AvgPool and AvgPoolGrad have these fields alike.
template <class A>
A pool_args(const Shape& x, const Shape& y, const OpDesc& op) {
    const auto& attrs = op.as<PoolAttrs>();
    A a{};
    a.n = to_int(x[0]), a.h = to_int(x[1]), a.w = to_int(x[2]), a.c = to_int(x[3]);
    a.out_h = to_int(y[1]), a.out_w = to_int(y[2]);
    a.window = attrs.window;
    a.stride = attrs.stride;
    a.top = to_int(window_of(x[1], attrs.window, attrs.stride, attrs.padding).before);
    a.left = to_int(window_of(x[2], attrs.window, attrs.stride, attrs.padding).before);
    a.dtype = op.in[0].dtype;
    return a;
}

template <class A>
A forward_args(const OpDesc& op) {
    return pool_args<A>(op.in[0].shape, op.out[0].shape, op);
}
template <class A>
A gradient_args(const OpDesc& op) {
    return pool_args<A>(op.out[0].shape, op.in[0].shape, op);
}

Refusal large_window(const OpDesc& op) {
    const int window = op.as<PoolAttrs>().window;
    return window > 15 ? Refusal(fmt::format("a window of {}, the kernel takes up to 15", window)) : refusal(op);
}

Kernel max_forward(const OpDesc& op) {
    return [a = forward_args<MaxPool>(op)](const Operands& t) mutable {
        a.x = t.in[0];
        a.y = t.out[0];
        a.argmax = t.output<std::uint8_t>(1);
        max_pool_fwd(a, stream_of(t));
    };
}

Kernel max_backward(const OpDesc& op) {
    return [a = gradient_args<MaxPoolGrad>(op)](const Operands& t) mutable {
        a.dy = t.in[0];
        a.argmax = t.input<std::uint8_t>(1);
        a.dx = t.out[0];
        max_pool_bwd(a, stream_of(t));
    };
}

Kernel average_forward(const OpDesc& op) {
    return [a = forward_args<AvgPool>(op)](const Operands& t) mutable {
        a.x = t.in[0];
        a.y = t.out[0];
        avg_pool_fwd(a, stream_of(t));
    };
}

Kernel average_backward(const OpDesc& op) {
    return [a = gradient_args<AvgPoolGrad>(op)](const Operands& t) mutable {
        a.dy = t.in[0];
        a.dx = t.out[0];
        avg_pool_bwd(a, stream_of(t));
    };
}

Kernel global_forward(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    return
        [n = to_int(x[0]), places = to_int(x[1] * x[2]), c = to_int(x[3]), dtype = op.in[0].dtype](const Operands& t) {
            global_avg_pool_fwd({t.in[0], t.out[0], n, places, c, dtype}, stream_of(t));
        };
}

Kernel global_backward(const OpDesc& op) {
    const Shape& x = op.out[0].shape;
    return
        [n = to_int(x[0]), places = to_int(x[1] * x[2]), c = to_int(x[3]), dtype = op.in[0].dtype](const Operands& t) {
            global_avg_pool_bwd({t.in[0], t.out[0], n, places, c, dtype}, stream_of(t));
        };
}

/// ZeroPad and Crop, alike too.
template <class A>
A pad_args(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    const auto& pad = op.as<PadAttrs>();
    return {.x = nullptr,
            .y = nullptr,
            .n = to_int(x[0]),
            .h = to_int(x[1]),
            .w = to_int(x[2]),
            .c = to_int(x[3]),
            .top = pad.top,
            .bottom = pad.bottom,
            .left = pad.left,
            .right = pad.right,
            .dtype = op.in[0].dtype};
}

Kernel pad(const OpDesc& op) {
    return [a = pad_args<ZeroPad>(op)](const Operands& t) mutable {
        a.x = t.in[0];
        a.y = t.out[0];
        zero_pad_fwd(a, stream_of(t));
    };
}

Kernel cut(const OpDesc& op) {
    return [a = pad_args<Crop>(op)](const Operands& t) mutable {
        a.x = t.in[0];
        a.y = t.out[0];
        crop_fwd(a, stream_of(t));
    };
}

constexpr std::array kMax{Implementation{"handwritten", large_window, nullptr, max_forward}};
constexpr std::array kMaxGrad{Implementation{"handwritten", large_window, nullptr, max_backward}};
constexpr std::array kAverage{Implementation{"handwritten", refusal, nullptr, average_forward}};
constexpr std::array kAverageGrad{Implementation{"handwritten", refusal, nullptr, average_backward}};
constexpr std::array kGlobal{Implementation{"handwritten", refusal, nullptr, global_forward}};
constexpr std::array kGlobalGrad{Implementation{"handwritten", refusal, nullptr, global_backward}};
constexpr std::array kPad{Implementation{"handwritten", refusal, nullptr, pad}};
constexpr std::array kCrop{Implementation{"handwritten", refusal, nullptr, cut}};

}  // namespace

List max_pool() { return kMax; }
List max_pool_grad() { return kMaxGrad; }
List avg_pool() { return kAverage; }
List avg_pool_grad() { return kAverageGrad; }
List global_avg_pool() { return kGlobal; }
List global_avg_pool_grad() { return kGlobalGrad; }
List zero_pad() { return kPad; }
List crop() { return kCrop; }

}  // namespace fer::FER_PORT::handwritten
