// Shape rules and costs of the op table.
#include <algorithm>

#include "engine/graph/rules.hpp"

namespace fer {

Window window_of(std::int64_t size, std::int64_t kernel, std::int64_t stride, Padding padding) {
    FER_CHECK(kernel > 0 && stride > 0, "window {} and stride {} must be positive", kernel, stride);
    if (padding == Padding::kValid) {
        FER_CHECK(size >= kernel, "window {} does not fit into {} without padding", kernel, size);
        return {.out = (size - kernel) / stride + 1};
    }
    const std::int64_t out = (size + stride - 1) / stride;
    const std::int64_t total = std::max<std::int64_t>((out - 1) * stride + kernel - size, 0);
    return {.out = out, .before = total / 2, .after = total - total / 2};
}

namespace rules {
namespace {

bool is_real(DType t) { return t == DType::kF32 || t == DType::kF64 || t == DType::kF16 || t == DType::kBF16; }

void expect_inputs(const OpDesc& op, std::size_t least, std::size_t most) {
    FER_CHECK(op.in.size() >= least && op.in.size() <= most, "takes {}{} inputs, got {}", least,
              most > least ? fmt::format(" to {}", most) : "", op.in.size());
}

void expect_rank(const OpDesc& op, std::size_t input, int rank) {
    FER_CHECK(op.in[input].shape.rank() == rank, "input {} must have {} axes, got {}", input, rank,
              op.in[input].shape.str());
}

void expect_shape(const OpDesc& op, std::size_t input, const Shape& shape) {
    FER_CHECK(op.in[input].shape == shape, "input {} must be {}, got {}", input, shape.str(), op.in[input].shape.str());
}

void expect_real(const OpDesc& op, std::size_t input = 0) {
    FER_CHECK(is_real(op.in[input].dtype), "input {} must be floating point, got {}", input,
              name_of(op.in[input].dtype));
}

Shape channels(const OpDesc& op) { return {op.in[0].shape.back()}; }

/// Statistics, losses and reductions are at least float32.
DType reduced(DType t) { return t == DType::kF64 ? DType::kF64 : DType::kF32; }

Infos like_input(const OpDesc& op, std::size_t input = 0) { return {op.in[input]}; }

Shape conv_output(const Shape& x, const Shape& w, const ConvAttrs& attrs, std::int64_t out_channels) {
    return {x[0], window_of(x[1], w[0], attrs.stride, attrs.padding).out,
            window_of(x[2], w[1], attrs.stride, attrs.padding).out, out_channels};
}

Infos infer_pool(const OpDesc& op, bool argmax) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 4);
    expect_real(op);
    const auto& attrs = op.as<PoolAttrs>();
    FER_CHECK(!argmax || attrs.window * attrs.window <= 256, "a window of {} has more places than a byte can name",
              attrs.window);
    const Shape& x = op.in[0].shape;
    const Shape y{x[0], window_of(x[1], attrs.window, attrs.stride, attrs.padding).out,
                  window_of(x[2], attrs.window, attrs.stride, attrs.padding).out, x[3]};
    Infos infos{{y, op.in[0].dtype}};
    if (argmax) {
        infos.push_back({y, DType::kU8});
    }
    return infos;
}

}  // namespace

// (images u8 (n,h,w), labels i32 (n), order i32 (m), clock) -> x u8 (batch,h,w,1), labels i32 (batch)
Infos infer_gather(const OpDesc& op) {
    expect_inputs(op, 4, 4);
    expect_rank(op, 0, 3);
    expect_rank(op, 1, 1);
    expect_rank(op, 2, 1);
    const std::int64_t batch = op.as<GatherAttrs>().batch;
    FER_CHECK(batch > 0, "batch must be positive, got {}", batch);
    const Shape& images = op.in[0].shape;
    return {{{batch, images[1], images[2], 1}, DType::kU8}, {{batch}, DType::kI32}};
}

// (x, clock) -> y float, 0..255
Infos infer_augment(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    expect_rank(op, 0, 4);
    return {{op.in[0].shape, is_real(op.in[0].dtype) ? op.in[0].dtype : DType::kF32}};
}

Infos infer_to_float(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 4);
    return {{op.in[0].shape, is_real(op.in[0].dtype) ? op.in[0].dtype : DType::kF32}};
}

Infos infer_same(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_real(op);
    return like_input(op);
}

Infos infer_resize(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 4);
    const auto& attrs = op.as<ResizeAttrs>();
    const Shape& x = op.in[0].shape;
    FER_CHECK(attrs.height > 0 && attrs.width > 0, "cannot resize to {}x{}", attrs.height, attrs.width);
    return {{{x[0], attrs.height, attrs.width, x[3]}, is_real(op.in[0].dtype) ? op.in[0].dtype : DType::kF32}};
}

Infos infer_gray_to_rgb(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 4);
    const Shape& x = op.in[0].shape;
    FER_CHECK(x[3] == 1, "needs one channel, got {}", x[3]);
    return {{{x[0], x[1], x[2], 3}, op.in[0].dtype}};
}

// (x (n,h,w,c), w (kh,kw,c,k)[, b (k)]) -> y
Infos infer_conv2d(const OpDesc& op) {
    expect_inputs(op, 2, 3);
    expect_rank(op, 0, 4);
    expect_rank(op, 1, 4);
    expect_real(op);
    const Shape& x = op.in[0].shape;
    const Shape& w = op.in[1].shape;
    FER_CHECK(x[3] == w[2], "input {} has {} channels but the kernel {} takes {}", x.str(), x[3], w.str(), w[2]);
    if (op.in.size() == 3) {
        expect_shape(op, 2, {w[3]});
    }
    return {{conv_output(x, w, op.as<ConvAttrs>(), w[3]), op.in[0].dtype}};
}

// (x (n,h,w,c), w (kh,kw,c,1)) -> y
Infos infer_depthwise_conv(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    expect_rank(op, 0, 4);
    expect_rank(op, 1, 4);
    expect_real(op);
    const Shape& x = op.in[0].shape;
    const Shape& w = op.in[1].shape;
    FER_CHECK(x[3] == w[2], "input {} has {} channels but the kernel {} takes {}", x.str(), x[3], w.str(), w[2]);
    FER_CHECK(w[3] == 1, "only depth multiplier 1 is supported, got {}", w[3]);
    return {{conv_output(x, w, op.as<ConvAttrs>(), x[3]), op.in[0].dtype}};
}

// (x (n,k), w (k,m)[, b (m)]) -> y
Infos infer_dense(const OpDesc& op) {
    expect_inputs(op, 2, 3);
    expect_rank(op, 0, 2);
    expect_rank(op, 1, 2);
    expect_real(op);
    const Shape& x = op.in[0].shape;
    const Shape& w = op.in[1].shape;
    FER_CHECK(x[1] == w[0], "input {} has {} features but the kernel {} takes {}", x.str(), x[1], w.str(), w[0]);
    if (op.in.size() == 3) {
        expect_shape(op, 2, {w[1]});
    }
    return {{{x[0], w[1]}, op.in[0].dtype}};
}

Infos infer_bias(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    expect_real(op);
    expect_shape(op, 1, channels(op));
    return like_input(op);
}

// (x, gamma, beta; moving_mean, moving_variance) -> y, batch mean, biased batch variance
Infos infer_batch_norm(const OpDesc& op) {
    expect_inputs(op, 3, 3);
    expect_real(op);
    FER_CHECK(op.state.size() == 2, "needs the two moving statistics, got {}", op.state.size());
    expect_shape(op, 1, channels(op));
    expect_shape(op, 2, channels(op));
    const DType stats = reduced(op.in[0].dtype);
    return {op.in[0], {channels(op), stats}, {channels(op), stats}};
}

// (x, gamma, beta, mean, variance) -> y
Infos infer_batch_norm_inference(const OpDesc& op) {
    expect_inputs(op, 5, 5);
    expect_real(op);
    for (std::size_t i = 1; i < 5; ++i) {
        expect_shape(op, i, channels(op));
    }
    return like_input(op);
}

Infos infer_softmax(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 2);
    expect_real(op);
    return like_input(op);
}

// (logits (n,c), labels i32 (n), class_weights (c)) -> mean loss (), probabilities (n,c), hits (n) as 0/1
Infos infer_softmax_xent(const OpDesc& op) {
    expect_inputs(op, 3, 3);
    expect_rank(op, 0, 2);
    expect_real(op);
    expect_shape(op, 1, {op.in[0].shape[0]});
    expect_shape(op, 2, {op.in[0].shape[1]});
    FER_CHECK(op.in[1].dtype == DType::kI32, "labels must be i32, got {}", name_of(op.in[1].dtype));
    const DType real = reduced(op.in[0].dtype);
    return {{Shape{}, real}, {op.in[0].shape, real}, {{op.in[0].shape[0]}, DType::kU8}};
}

Infos infer_max_pool(const OpDesc& op) { return infer_pool(op, true); }
Infos infer_avg_pool(const OpDesc& op) { return infer_pool(op, false); }

Infos infer_global_avg_pool(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 4);
    expect_real(op);
    return {{{op.in[0].shape[0], op.in[0].shape[3]}, op.in[0].dtype}};
}

Infos infer_zero_pad(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 4);
    const auto& pad = op.as<PadAttrs>();
    FER_CHECK(pad.top >= 0 && pad.bottom >= 0 && pad.left >= 0 && pad.right >= 0, "padding must not be negative");
    const Shape& x = op.in[0].shape;
    return {{{x[0], x[1] + pad.top + pad.bottom, x[2] + pad.left + pad.right, x[3]}, op.in[0].dtype}};
}

Infos infer_add(const OpDesc& op) {
    FER_CHECK(op.in.size() >= 2, "needs at least two inputs, got {}", op.in.size());
    expect_real(op);
    for (std::size_t i = 1; i < op.in.size(); ++i) {
        FER_CHECK(op.in[i] == op.in[0], "input {} is {}, input 0 is {}", i, op.in[i].shape.str(), op.in[0].shape.str());
    }
    return like_input(op);
}

Infos infer_flatten(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    const Shape& x = op.in[0].shape;
    FER_CHECK(x.rank() >= 1, "a scalar cannot be flattened");
    return {{{x[0], x[0] == 0 ? 0 : x.count() / x[0]}, op.in[0].dtype}};
}

// (x, clock) -> y
Infos infer_dropout(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    expect_real(op);
    const float rate = op.as<DropoutAttrs>().rate;
    FER_CHECK(rate >= 0 && rate < 1, "rate must be in [0, 1), got {}", rate);
    return like_input(op);
}

// factor * sum of the squares of all inputs
Infos infer_l2_penalty(const OpDesc& op) {
    FER_CHECK(!op.in.empty(), "needs at least one tensor");
    expect_real(op);
    FER_CHECK(op.as<ScalarAttrs>().value >= 0, "the factor must not be negative, got {}", op.as<ScalarAttrs>().value);
    return {{Shape{}, reduced(op.in[0].dtype)}};
}

Infos infer_cast(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    return {{op.in[0].shape, op.as<CastAttrs>().to}};
}

Infos infer_constant(const OpDesc& op) {
    expect_inputs(op, 0, 0);
    return {{Shape{}, DType::kF32}};
}

// (dy, w) -> dx
Infos infer_conv2d_dgrad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    const auto& attrs = op.as<ConvAttrs>();
    expect_shape(op, 0, conv_output(attrs.input, op.in[1].shape, attrs, op.in[1].shape[3]));
    return {{attrs.input, op.in[0].dtype}};
}

// (x, dy) -> dw[, db]
Infos infer_conv2d_wgrad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    const auto& attrs = op.as<ConvAttrs>();
    expect_shape(op, 1, conv_output(op.in[0].shape, attrs.kernel, attrs, attrs.kernel[3]));
    const DType real = reduced(op.in[0].dtype);
    Infos infos{{attrs.kernel, real}};
    if (attrs.bias) {
        infos.push_back({{attrs.kernel[3]}, real});
    }
    return infos;
}

Infos infer_depthwise_dgrad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    const auto& attrs = op.as<ConvAttrs>();
    expect_shape(op, 0, conv_output(attrs.input, op.in[1].shape, attrs, attrs.input[3]));
    return {{attrs.input, op.in[0].dtype}};
}

Infos infer_depthwise_wgrad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    const auto& attrs = op.as<ConvAttrs>();
    expect_shape(op, 1, conv_output(op.in[0].shape, attrs.kernel, attrs, op.in[0].shape[3]));
    return {{attrs.kernel, reduced(op.in[0].dtype)}};
}

// (dy (n,m), w (k,m)) -> dx (n,k)
Infos infer_dense_dgrad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    expect_shape(op, 0, {op.in[0].shape[0], op.in[1].shape[1]});
    return {{{op.in[0].shape[0], op.in[1].shape[0]}, op.in[0].dtype}};
}

// (x (n,k), dy (n,m)) -> dw (k,m)[, db (m)]
Infos infer_dense_wgrad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    const DType real = reduced(op.in[0].dtype);
    Infos infos{{{op.in[0].shape[1], op.in[1].shape[1]}, real}};
    if (op.as<DenseAttrs>().bias) {
        infos.push_back({{op.in[1].shape[1]}, real});
    }
    return infos;
}

Infos infer_bias_grad(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    return {{channels(op), reduced(op.in[0].dtype)}};
}

// (dy, x, gamma, mean, variance) -> dx, dgamma, dbeta
Infos infer_batch_norm_grad(const OpDesc& op) {
    expect_inputs(op, 5, 5);
    expect_shape(op, 1, op.in[0].shape);
    const DType real = reduced(op.in[0].dtype);
    return {op.in[0], {channels(op), real}, {channels(op), real}};
}

// (dy, gamma, variance) -> dx
Infos infer_batch_norm_inference_grad(const OpDesc& op) {
    expect_inputs(op, 3, 3);
    expect_shape(op, 1, channels(op));
    return like_input(op);
}

// (dy, y) -> dx
Infos infer_relu_grad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    expect_shape(op, 1, op.in[0].shape);
    return like_input(op);
}

// (dy, y) -> dx
Infos infer_softmax_grad(const OpDesc& op) { return infer_relu_grad(op); }

// (probabilities, labels, class_weights, dloss) -> dlogits
Infos infer_softmax_xent_grad(const OpDesc& op) {
    expect_inputs(op, 4, 4);
    expect_shape(op, 3, Shape{});
    return like_input(op);
}

// max: (dy, argmax) -> dx; average: (dy) -> dx
Infos infer_pool_grad(const OpDesc& op) {
    expect_inputs(op, 1, 2);
    return {{op.as<PoolAttrs>().input, op.in[0].dtype}};
}

Infos infer_global_avg_pool_grad(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    return {{op.as<ShapeAttrs>().shape, op.in[0].dtype}};
}

Infos infer_crop(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    const auto& pad = op.as<PadAttrs>();
    const Shape& x = op.in[0].shape;
    return {{{x[0], x[1] - pad.top - pad.bottom, x[2] - pad.left - pad.right, x[3]}, op.in[0].dtype}};
}

Infos infer_unflatten(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    const Shape& shape = op.as<ShapeAttrs>().shape;
    FER_CHECK(shape.count() == op.in[0].shape.count(), "{} does not fit {}", op.in[0].shape.str(), shape.str());
    return {{shape, op.in[0].dtype}};
}

// (w, dloss) -> 2 * factor * dloss * w
Infos infer_l2_grad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    return like_input(op);
}

// (learning_rate, clock, gradient...; parameter..., moment per parameter...)
Infos infer_optimizer(const OpDesc& op) {
    FER_CHECK(op.in.size() >= 3, "needs a learning rate, the clock and at least one gradient");
    const std::size_t count = op.in.size() - 2;
    FER_CHECK(op.state.size() % count == 0, "{} gradients, {} state tensors", count, op.state.size());
    for (std::size_t i = 0; i < op.state.size(); ++i) {
        FER_CHECK(op.state[i].shape == op.in[2 + i % count].shape, "state {} does not match its gradient", i);
    }
    return {};
}

// (value...; average...)
Infos infer_ema(const OpDesc& op) {
    FER_CHECK(op.in.size() == op.state.size(), "{} values, {} averages", op.in.size(), op.state.size());
    return {};
}

// (loss, hits; metrics)
Infos infer_metrics(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    FER_CHECK(op.state.size() == 1 && op.state[0].shape == Shape{kMetricFields}, "needs the metrics tensor");
    return {};
}

// (; clock)
Infos infer_advance(const OpDesc& op) {
    FER_CHECK(op.state.size() == 1 && op.state[0].shape == Shape{kClockFields}, "needs the clock");
    return {};
}

namespace {

/// Two operations per output element, kernel place and input channel.
std::int64_t conv_flops(const Shape& y, const Shape& w) { return 2 * y.count() * w[0] * w[1] * w[2]; }
std::int64_t depthwise_flops(const Shape& y, const Shape& w) { return 2 * y.count() * w[0] * w[1]; }

}  // namespace

std::int64_t flops_conv2d(const OpDesc& op) { return conv_flops(op.out[0].shape, op.in[1].shape); }
std::int64_t flops_conv2d_dgrad(const OpDesc& op) { return conv_flops(op.in[0].shape, op.in[1].shape); }
std::int64_t flops_conv2d_wgrad(const OpDesc& op) { return conv_flops(op.in[1].shape, op.out[0].shape); }
std::int64_t flops_depthwise(const OpDesc& op) { return depthwise_flops(op.out[0].shape, op.in[1].shape); }
std::int64_t flops_depthwise_dgrad(const OpDesc& op) { return depthwise_flops(op.in[0].shape, op.in[1].shape); }
std::int64_t flops_depthwise_wgrad(const OpDesc& op) { return depthwise_flops(op.in[1].shape, op.out[0].shape); }
std::int64_t flops_dense(const OpDesc& op) { return 2 * op.in[0].shape[0] * op.in[1].shape.count(); }
std::int64_t flops_dense_dgrad(const OpDesc& op) { return 2 * op.in[0].shape[0] * op.in[1].shape.count(); }
std::int64_t flops_dense_wgrad(const OpDesc& op) { return 2 * op.in[0].shape[0] * op.out[0].shape.count(); }

}  // namespace rules
}  // namespace fer
