#include "kernels/depthwise.hpp"

#include "bench/kernels/conv_layer.hpp"
#include "bench/kernels/families.hpp"
#include "engine/graph/op_table.hpp"
#include "kernels/separable.hpp"
#include "kernels/sum_partials.hpp"

namespace fer::FER_PORT {
namespace {

std::int64_t x_count(const DepthwiseShape& s) { return std::int64_t{s.n} * s.h * s.w * s.c; }
std::int64_t w_count(const DepthwiseShape& s) { return std::int64_t{s.kh} * s.kw * s.c; }
std::int64_t y_count(const DepthwiseShape& s) { return std::int64_t{s.n} * s.p * s.q * s.c; }

Case start(const char* family, const Arithmetic& how, const bench::LayerShape& at) {
    return {.family = family,
            .arithmetic = how,
            .where = at.where,
            .shape = conv_text(at.op),
            .flops = flops_of(at.op),
            .tensor = false,
            .exact = true,
            .equals = {},
            .prepare = {}};
}

Case fwd(const bench::LayerShape& at, const DepthwiseShape& s, const Arithmetic& how) {
    Case c = start("depthwise_fwd", how, at);
    c.prepare = [s, type = how.dtype](Memory& m) {
        return launch_of(depthwise_fwd, {.shape = s,
                                         .x = m.input(x_count(s), type),
                                         .w = m.input(w_count(s), type),
                                         .y = m.output(y_count(s), type),
                                         .dtype = type});
    };
    return c;
}

Case dgrad(const bench::LayerShape& at, const DepthwiseShape& s, const Arithmetic& how) {
    Case c = start("depthwise_dgrad", how, at);
    c.prepare = [s, type = how.dtype](Memory& m) {
        return launch_of(depthwise_dgrad, {.shape = s,
                                           .dy = m.input(y_count(s), type),
                                           .w = m.input(w_count(s), type),
                                           .dx = m.output(x_count(s), type),
                                           .dtype = type});
    };
    return c;
}

Case wgrad(const bench::LayerShape& at, const DepthwiseShape& s, const Arithmetic& how) {
    Case c = start("depthwise_wgrad", how, at);
    c.prepare = [s, type = how.dtype](Memory& m) {
        DepthwiseWgrad a{.shape = s,
                         .x = m.input(x_count(s), type),
                         .dy = m.input(y_count(s), type),
                         .dw = m.output(w_count(s), DType::kF32),
                         .dtype = type};
        a.workspace = m.workspace(depthwise_wgrad_workspace(a));
        return launch_of(depthwise_wgrad, a);
    };
    return c;
}

/// The second stage of that gradient alone.
Case partials(const bench::LayerShape& at, const DepthwiseShape& s) {
    const auto row = static_cast<int>(w_count(s));
    const DepthwiseWgrad whole{.shape = s, .x = nullptr, .dy = nullptr, .dw = nullptr};
    const auto parts = static_cast<int>(depthwise_wgrad_workspace(whole) / (std::int64_t{row} * 4));
    Case c = start("sum_partials", kF32, at);
    c.shape = fmt::format("{} parts of {}", parts, row);
    c.flops = 0;
    c.prepare = [row, parts](Memory& m) {
        return launch_of(sum_partials, {.partials = m.floats(std::int64_t{parts} * row),
                                        .out = m.output_floats(row),
                                        .parts = parts,
                                        .count = row,
                                        .pitch = row});
    };
    return c;
}

/// A depthwise node and the pointwise one that reads it.
Case separable(const bench::LayerShape& depth, const bench::LayerShape& point, const DepthwiseShape& s,
               const Arithmetic& how) {
    const auto k = as_int(point.op.in[1].shape[3]);
    const bool bias = point.op.in.size() == 3;
    Case c = start("separable_fwd", how, depth);
    c.shape += fmt::format(" to {}{}", k, bias ? " bias" : "");
    c.flops += flops_of(point.op);
    c.tensor = true;
    c.prepare = [s, k, bias, activation = activation_of(point.op), how](Memory& m) {
        return launch_of(separable_fwd, {.shape = s,
                                         .k = k,
                                         .x = m.input(x_count(s), how.dtype),
                                         .depth = m.input(w_count(s), how.dtype),
                                         .point = m.input(std::int64_t{s.c} * k, how.dtype),
                                         .bias = bias ? m.floats(k) : nullptr,
                                         .middle = m.output(y_count(s), how.dtype),
                                         .y = m.output(std::int64_t{s.n} * s.p * s.q * k, how.dtype),
                                         .activation = activation,
                                         .dtype = how.dtype,
                                         .tf32 = how.tf32});
    };
    return c;
}

void add_separable(Cases& cases, const Layers& layers, const bench::LayerShape& depth, const DepthwiseShape& s) {
    const std::string layer = depth.where.substr(0, depth.where.rfind('/'));
    for (const bench::LayerShape& point : layers.of(OpKind::kConv2d)) {
        if (point.where != layer + "/pointwise") {
            continue;
        }
        for (const Arithmetic& how : kProducts) {
            if (separable_refusal(
                    {.shape = s, .k = 1, .x = {}, .depth = {}, .point = {}, .y = {}, .dtype = how.dtype}) == nullptr) {
                cases.add(separable(depth, point, s, how));
            }
        }
    }
}

}  // namespace

void add_depthwise(Cases& cases, const Layers& layers) {
    for (const bench::LayerShape& at : layers.all()) {
        const OpKind kind = at.op.kind;
        if (kind != OpKind::kDepthwiseConv && kind != OpKind::kDepthwiseDgrad && kind != OpKind::kDepthwiseWgrad) {
            continue;
        }
        const auto s = windows_of<DepthwiseShape>(x_of(at.op), w_of(at.op), at.op.as<ConvAttrs>());
        for (const Arithmetic& how : kStorage) {
            cases.add(kind == OpKind::kDepthwiseConv    ? fwd(at, s, how)
                      : kind == OpKind::kDepthwiseDgrad ? dgrad(at, s, how)
                                                        : wgrad(at, s, how));
        }
        if (kind == OpKind::kDepthwiseConv) {
            add_separable(cases, layers, at, s);
        }
        if (kind == OpKind::kDepthwiseWgrad) {
            cases.add(partials(at, s));
        }
    }
}

}  // namespace fer::FER_PORT
