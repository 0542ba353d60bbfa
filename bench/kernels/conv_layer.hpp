// A convolution node of a graph as the kernels' geometry.
#pragma once

#include "bench/kernels/case.hpp"
#include "kernels/conv2d.hpp"

namespace fer::FER_PORT {

/// `Geometry` is one of Conv2dShape, FirstConvShape, DepthwiseShape: the fields they share.
template <class Geometry>
Geometry windows_of(const Shape& x, const Shape& w, const ConvAttrs& attrs) {
    const Window rows = window_of(x[1], w[0], attrs.stride, attrs.padding);
    const Window columns = window_of(x[2], w[1], attrs.stride, attrs.padding);
    Geometry g{};
    g.n = as_int(x[0]);
    g.h = as_int(x[1]);
    g.w = as_int(x[2]);
    g.c = as_int(x[3]);
    g.kh = as_int(w[0]);
    g.kw = as_int(w[1]);
    g.stride = attrs.stride;
    g.top = as_int(rows.before);
    g.left = as_int(columns.before);
    g.p = as_int(rows.out);
    g.q = as_int(columns.out);
    return g;
}
template <class Geometry>
Geometry channels_of(const Shape& x, const Shape& w, const ConvAttrs& attrs) {
    Geometry g = windows_of<Geometry>(x, w, attrs);
    g.k = as_int(w[3]);
    return g;
}

/// x and weights of a convolution or of one of its gradients.
inline const Shape& x_of(const OpDesc& op) {
    return op.kind == OpKind::kConv2dDgrad || op.kind == OpKind::kDepthwiseDgrad ? op.as<ConvAttrs>().input
                                                                                 : op.in[0].shape;
}
inline const Shape& w_of(const OpDesc& op) {
    return op.kind == OpKind::kConv2dWgrad || op.kind == OpKind::kDepthwiseWgrad ? op.as<ConvAttrs>().kernel
                                                                                 : op.in[1].shape;
}

inline Activation activation_of(const OpDesc& op) { return static_cast<Activation>(op.as<ConvAttrs>().activation); }

/// "64x24x24x128 by 3x3x256", "64x112x112x96 by 3x3/2"
inline std::string conv_text(const OpDesc& op) {
    const Shape& w = w_of(op);
    const auto& attrs = op.as<ConvAttrs>();
    const bool depthwise =
        w[3] == 1 && op.kind != OpKind::kConv2d && op.kind != OpKind::kConv2dDgrad && op.kind != OpKind::kConv2dWgrad;
    std::string text = fmt::format("{} by {}x{}", text_of(x_of(op)), w[0], w[1]);
    if (!depthwise) {
        text += fmt::format("x{}", w[3]);
    }
    if (attrs.stride != 1) {
        text += fmt::format("/{}", attrs.stride);
    }
    return text + (attrs.padding == Padding::kValid && w[0] > 1 ? " valid" : "");
}

inline std::int64_t count_x(const Conv2dShape& s) { return std::int64_t{s.n} * s.h * s.w * s.c; }
inline std::int64_t count_w(const Conv2dShape& s) { return std::int64_t{s.kh} * s.kw * s.c * s.k; }
inline std::int64_t count_y(const Conv2dShape& s) { return std::int64_t{s.n} * s.p * s.q * s.k; }

}  // namespace fer::FER_PORT
