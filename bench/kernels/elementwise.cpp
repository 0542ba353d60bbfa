#include <algorithm>

#include "bench/kernels/families.hpp"
#include "kernels/add.hpp"
#include "kernels/cast.hpp"
#include "kernels/dropout.hpp"
#include "kernels/pad.hpp"
#include "kernels/relu.hpp"
#include "kernels/transpose.hpp"

namespace fer::FER_PORT {
namespace {

Case start(const char* family, const Arithmetic& how, const std::string& where, std::string shape) {
    return {.family = family,
            .arithmetic = how,
            .where = where,
            .shape = std::move(shape),
            .flops = 0,
            .tensor = false,
            .exact = true,
            .equals = {},
            .prepare = {}};
}
Case start(const char* family, const Arithmetic& how, const bench::LayerShape& at) {
    return start(family, how, at.where, text_of(at.op.in[0].shape));
}

Case relu(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("relu_fwd", how, at);
    const Activation activation = at.op.kind == OpKind::kRelu6 ? Activation::kRelu6 : Activation::kRelu;
    c.prepare = [count = at.op.in[0].shape.count(), activation, type = how.dtype](Memory& m) {
        auto* mask = static_cast<std::uint32_t*>(m.output(mask_words(count) * 4, DType::kU8));
        return launch_of(relu_fwd, {.x = m.input(count, type),
                                    .y = m.output(count, type),
                                    .mask = mask,
                                    .count = count,
                                    .activation = activation,
                                    .dtype = type});
    };
    return c;
}

Case relu_grad(const bench::LayerShape& at, const Arithmetic& how, bool by_mask) {
    Case c = start("relu_bwd", how, at);
    const Activation activation = at.op.kind == OpKind::kRelu6Grad ? Activation::kRelu6 : Activation::kRelu;
    c.shape += by_mask ? " by mask" : " by y";
    c.prepare = [count = at.op.in[0].shape.count(), activation, by_mask, type = how.dtype](Memory& m) {
        return launch_of(relu_bwd, {.dy = m.input(count, type),
                                    .y = by_mask ? nullptr : m.input(count, type),
                                    .mask = by_mask ? m.bits(mask_words(count)) : nullptr,
                                    .dx = m.output(count, type),
                                    .count = count,
                                    .activation = activation,
                                    .dtype = type});
    };
    return c;
}

Case add(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("add_fwd", how, at);
    c.prepare = [count = at.op.in[0].shape.count(), type = how.dtype](Memory& m) {
        return launch_of(add_fwd, {.a = m.input(count, type),
                                   .b = m.input(count, type),
                                   .y = m.output(count, type),
                                   .mask = nullptr,
                                   .count = count,
                                   .dtype = type});
    };
    return c;
}

Case drop(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("dropout", how, at);
    c.prepare = [count = at.op.in[0].shape.count(), rate = at.op.as<DropoutAttrs>().rate, type = how.dtype](Memory& m) {
        return launch_of(dropout, {.x = m.input(count, type),
                                   .y = m.output(count, type),
                                   .clock = m.of<std::int64_t>({1, 4, 0, 0}),
                                   .count = count,
                                   .rate = rate,
                                   .stream = 7,
                                   .dtype = type});
    };
    return c;
}

Case convert(const std::string& where, std::int64_t count, DType from, const Arithmetic& to) {
    Case c = start("cast", to, where, fmt::format("{} of {}", count, name_of(from)));
    c.prepare = [count, from, type = to.dtype](Memory& m) {
        return launch_of(
            cast, {.x = m.input(count, from), .y = m.output(count, type), .count = count, .from = from, .to = type});
    };
    return c;
}

/// The filters of a convolution in the order that cuDNN takes.
Case turn(const bench::LayerShape& at, const Arithmetic& how) {
    const Shape w = at.op.in[1].shape;
    Case c = start("transpose", how, at.where, text_of(w));
    c.prepare = [w, type = how.dtype](Memory& m) {
        return launch_of(transpose, {.x = m.input(w.count(), type),
                                     .y = m.output(w.count(), type),
                                     .rows = as_int(w[0] * w[1] * w[2]),
                                     .columns = as_int(w[3]),
                                     .from = type,
                                     .to = type});
    };
    return c;
}

Case pad(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("zero_pad_fwd", how, at);
    c.prepare = [x = at.op.in[0].shape, y = at.op.out[0].shape, p = at.op.as<PadAttrs>(), type = how.dtype](Memory& m) {
        return launch_of(zero_pad_fwd, {.x = m.input(x.count(), type),
                                        .y = m.output(y.count(), type),
                                        .n = as_int(x[0]),
                                        .h = as_int(x[1]),
                                        .w = as_int(x[2]),
                                        .c = as_int(x[3]),
                                        .top = p.top,
                                        .bottom = p.bottom,
                                        .left = p.left,
                                        .right = p.right,
                                        .dtype = type});
    };
    return c;
}

/// Of a padding: its gradient, whether a network trains through it or not.
Case crop(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("crop_fwd", how, at.where, text_of(at.op.out[0].shape));
    c.prepare = [x = at.op.out[0].shape, y = at.op.in[0].shape, p = at.op.as<PadAttrs>(), type = how.dtype](Memory& m) {
        m.reads(y.count() * static_cast<std::int64_t>(size_of(type)));
        return launch_of(crop_fwd, {.x = m.table(x.count(), type),
                                    .y = m.output(y.count(), type),
                                    .n = as_int(x[0]),
                                    .h = as_int(x[1]),
                                    .w = as_int(x[2]),
                                    .c = as_int(x[3]),
                                    .top = p.top,
                                    .bottom = p.bottom,
                                    .left = p.left,
                                    .right = p.right,
                                    .dtype = type});
    };
    return c;
}

}  // namespace

void add_elementwise(Cases& cases, const Layers& layers) {
    for (const bench::LayerShape& at : layers.all()) {
        for (const Arithmetic& how : kStorage) {
            switch (at.op.kind) {
                case OpKind::kRelu:
                case OpKind::kRelu6:
                    cases.add(relu(at, how));
                    break;
                case OpKind::kReluGrad:
                case OpKind::kRelu6Grad:
                    cases.add(relu_grad(at, how, true));
                    cases.add(relu_grad(at, how, false));
                    break;
                case OpKind::kAdd:
                    cases.add(add(at, how));
                    break;
                case OpKind::kDropout:
                    cases.add(drop(at, how));
                    break;
                case OpKind::kConv2d:
                    cases.add(turn(at, how));
                    break;
                case OpKind::kZeroPad:
                    cases.add(pad(at, how));
                    cases.add(crop(at, how));
                    break;
                default:
                    break;
            }
        }
    }
    for (const Arithmetic& half : {kF16, kBF16}) {
        for (const Layers::Block& block : layers.blocks()) {  // the weights for a step, out of their float32 masters
            cases.add(convert(block.network, block.parameters, DType::kF32, half));
        }
        for (const bench::LayerShape& loss : layers.of(OpKind::kSoftmaxXent)) {  // the logits
            cases.add(convert(loss.where, loss.op.in[0].shape.count(), half.dtype, kF32));
        }
    }
}

}  // namespace fer::FER_PORT
