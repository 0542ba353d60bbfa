#include "bench/kernels/conv_layer.hpp"
#include "bench/kernels/families.hpp"
#include "bench/kernels/images.hpp"
#include "engine/graph/op_table.hpp"
#include "kernels/conv2d_direct.hpp"
#include "kernels/first_conv.hpp"
#include "kernels/relu.hpp"

namespace fer::FER_PORT {
namespace {

// A layer with more would keep the plain kernels busy for seconds.
constexpr std::int64_t kMostDirectFlops = 20'000'000'000;

struct Layer {
    const bench::LayerShape& at;
    Conv2dShape s;
    Activation activation;
    bool bias;

    explicit Layer(const bench::LayerShape& layer)
        : at(layer),
          s(channels_of<Conv2dShape>(x_of(layer.op), w_of(layer.op), layer.op.as<ConvAttrs>())),
          activation(activation_of(layer.op)),
          bias(layer.op.kind == OpKind::kConv2d ? layer.op.in.size() == 3 : layer.op.out.size() == 2) {}

    Case start(const char* family, const Arithmetic& how) const {
        return {.family = family,
                .arithmetic = how,
                .where = at.where,
                .shape = fmt::format("{}{}{}", conv_text(at.op), bias ? " bias" : "", activation_text()),
                .flops = flops_of(at.op),
                .tensor = true,
                .exact = true,
                .equals = {},
                .prepare = {}};
    }
    const char* activation_text() const {
        return activation == Activation::kNone ? "" : activation == Activation::kRelu ? " relu" : " relu6";
    }
};

Case fwd(const Layer& layer, const Arithmetic& how) {
    Case c = layer.start("conv2d_fwd", how);
    c.prepare = [s = layer.s, bias = layer.bias, activation = layer.activation, how](Memory& m) {
        Conv2d a{.shape = s,
                 .x = m.input(count_x(s), how.dtype),
                 .w = m.input(count_w(s), how.dtype),
                 .bias = bias ? m.floats(s.k) : nullptr,
                 .y = m.output(count_y(s), how.dtype),
                 .activation = activation,
                 .dtype = how.dtype,
                 .tf32 = how.tf32};
        a.workspace = m.workspace(conv2d_fwd_workspace(a));
        return launch_of(conv2d_fwd, a);
    };
    return c;
}

Case dgrad(const Layer& layer, const Arithmetic& how) {
    Case c = layer.start("conv2d_dgrad", how);
    c.prepare = [s = layer.s, how](Memory& m) {
        Conv2dDgrad a{.shape = s,
                      .dy = m.input(count_y(s), how.dtype),
                      .w = m.input(count_w(s), how.dtype),
                      .dx = m.output(count_x(s), how.dtype),
                      .dtype = how.dtype,
                      .tf32 = how.tf32};
        a.workspace = m.workspace(conv2d_dgrad_workspace(a));
        return launch_of(conv2d_dgrad, a);
    };
    return c;
}

Case wgrad(const Layer& layer, const Arithmetic& how) {
    Case c = layer.start("conv2d_wgrad", how);
    c.prepare = [s = layer.s, bias = layer.bias, how](Memory& m) {
        Conv2dWgrad a{.shape = s,
                      .x = m.input(count_x(s), how.dtype),
                      .dy = m.input(count_y(s), how.dtype),
                      .dw = m.output(count_w(s), DType::kF32),
                      .dbias = bias ? m.output_floats(s.k) : nullptr,
                      .dtype = how.dtype,
                      .dw_dtype = DType::kF32,
                      .tf32 = how.tf32};
        a.workspace = m.workspace(conv2d_wgrad_workspace(a));
        return launch_of(conv2d_wgrad, a);
    };
    return c;
}

Case direct(const Layer& layer) {
    const Conv2dShape& s = layer.s;
    switch (layer.at.op.kind) {
        case OpKind::kConv2d: {
            Case c = layer.start("conv2d_direct_fwd", kF32);
            c.prepare = [s, bias = layer.bias, activation = layer.activation](Memory& m) {
                return launch_of(conv2d_direct_fwd, {.shape = s,
                                                     .x = m.floats(count_x(s)),
                                                     .w = m.floats(count_w(s)),
                                                     .bias = bias ? m.floats(s.k) : nullptr,
                                                     .y = m.output_floats(count_y(s)),
                                                     .activation = activation});
            };
            return c;
        }
        case OpKind::kConv2dDgrad: {
            Case c = layer.start("conv2d_direct_dgrad", kF32);
            c.prepare = [s](Memory& m) {
                return launch_of(conv2d_direct_dgrad, {.shape = s,
                                                       .dy = m.floats(count_y(s)),
                                                       .w = m.floats(count_w(s)),
                                                       .dx = m.output_floats(count_x(s))});
            };
            return c;
        }
        default: {
            Case c = layer.start("conv2d_direct_wgrad", kF32);
            c.prepare = [s, bias = layer.bias](Memory& m) {
                return launch_of(conv2d_direct_wgrad, {.shape = s,
                                                       .x = m.floats(count_x(s)),
                                                       .dy = m.floats(count_y(s)),
                                                       .dw = m.output_floats(count_w(s)),
                                                       .dbias = bias ? m.output_floats(s.k) : nullptr});
            };
            return c;
        }
    }
}

bool is_first(const Conv2dShape& s) { return s.c <= 4 && s.kh <= 7 && s.kw <= 7 && s.stride <= 4; }

/// With `images`, x is made of that many in the resident data set, as the captured step does it.
Case first_fwd(const Layer& layer, const Arithmetic& how, int images) {
    Case c = layer.start("first_conv_fwd", how);
    c.shape += images > 0 ? " augmented" : "";
    c.exact = c.exact && images == 0;
    c.tensor = false;
    const auto s = channels_of<FirstConvShape>(x_of(layer.at.op), w_of(layer.at.op), layer.at.op.as<ConvAttrs>());
    c.prepare = [s, layer = layer.s, bias = layer.bias, activation = layer.activation, how, images](Memory& m) {
        const Batch batch{{}, images, s.n, s.h, s.w};
        return launch_of(first_conv_fwd,
                         {.shape = s,
                          .x = images > 0 ? nullptr : m.input(count_x(layer), how.dtype),
                          .batch = images > 0 ? image_batch_args(m, batch, how.dtype, true) : ImageBatch{},
                          .w = m.input(count_w(layer), how.dtype),
                          .bias = bias ? m.floats(s.k) : nullptr,
                          .y = m.output(count_y(layer), how.dtype),
                          .activation = activation,
                          .dtype = how.dtype});
    };
    return c;
}

Case first_wgrad(const Layer& layer, const Arithmetic& how) {
    Case c = layer.start("first_conv_wgrad", how);
    c.tensor = false;
    const auto s = channels_of<FirstConvShape>(x_of(layer.at.op), w_of(layer.at.op), layer.at.op.as<ConvAttrs>());
    c.prepare = [s, layer = layer.s, bias = layer.bias, how](Memory& m) {
        FirstConvWgrad a{.shape = s,
                         .x = m.input(count_x(layer), how.dtype),
                         .dy = m.input(count_y(layer), how.dtype),
                         .mask = m.bits(mask_words(count_y(layer))),
                         .dw = m.output(count_w(layer), DType::kF32),
                         .dbias = bias ? m.output_floats(s.k) : nullptr,
                         .dtype = how.dtype};
        a.workspace = m.workspace(first_conv_wgrad_workspace(a));
        return launch_of(first_conv_wgrad, a);
    };
    return c;
}

void add_first(Cases& cases, const Layer& layer, int images) {
    for (const Arithmetic& how : kStorage) {
        if (layer.at.op.kind == OpKind::kConv2dWgrad) {
            cases.add(first_wgrad(layer, how));
            continue;
        }
        cases.add(first_fwd(layer, how, 0));
        if (layer.s.c == 1 && layer.s.h == 48) {
            cases.add(first_fwd(layer, how, images));
        }
    }
}

}  // namespace

void add_convolutions(Cases& cases, const Layers& layers) {
    const int images = layers.full() ? 28709 : 64;
    for (const bench::LayerShape& at : layers.all()) {
        const OpKind kind = at.op.kind;
        if (kind != OpKind::kConv2d && kind != OpKind::kConv2dDgrad && kind != OpKind::kConv2dWgrad) {
            continue;
        }
        const Layer layer(at);
        for (const Arithmetic& how : kProducts) {
            cases.add(kind == OpKind::kConv2d        ? fwd(layer, how)
                      : kind == OpKind::kConv2dDgrad ? dgrad(layer, how)
                                                     : wgrad(layer, how));
        }
        if (flops_of(at.op) <= kMostDirectFlops) {
            cases.add(direct(layer));
        }
        if (is_first(layer.s) && kind != OpKind::kConv2dDgrad) {
            add_first(cases, layer, images);
        }
    }
}

}  // namespace fer::FER_PORT
