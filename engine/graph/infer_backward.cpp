// Shape rules of backward and update ops, and the costs.
#include "engine/graph/image_conv.hpp"
#include "engine/graph/rule_checks.hpp"

namespace fer::rules {

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

// (dy, x, gamma, mean, variance[, beta, y]) -> dx, dgamma, dbeta[, dresidual]; with an activation or a residual also
// what the forward pass added and gave
Infos infer_batch_norm_grad(const OpDesc& op) {
    const auto& attrs = op.as<BatchNormAttrs>();
    const std::size_t inputs = attrs.activation != Activation::kNone || attrs.residual ? 7 : 5;
    expect_inputs(op, inputs, inputs);
    expect_shape(op, 1, op.in[0].shape);
    if (inputs == 7) {
        expect_shape(op, 6, op.in[0].shape);
    }
    const DType real = reduced(op.in[0].dtype);
    Infos infos{op.in[0], {channels(op), real}, {channels(op), real}};
    if (attrs.residual) {
        infos.push_back(op.in[0]);
    }
    return infos;
}

// (dp, p, argmax, x, gamma, mean, variance, beta) -> dx, dgamma, dbeta
Infos infer_batch_norm_pool_grad(const OpDesc& op) {
    expect_inputs(op, 8, 8);
    expect_shape(op, 1, op.in[0].shape);
    expect_shape(op, 2, op.in[0].shape);
    const DType real = reduced(op.in[0].dtype);
    return {op.in[3], {channels(op), real}, {channels(op), real}};
}

// (dy, gamma, variance) -> dx
Infos infer_batch_norm_inference_grad(const OpDesc& op) {
    expect_inputs(op, 3, 3);
    const Shape& x = op.in[0].shape;
    const bool depthwise_kernel = x.rank() == 4 && x[3] == 1 && op.in[1].shape == Shape{x[2]};  // (kh, kw, c, 1)
    expect_shape(op, 1, depthwise_kernel ? Shape{x[2]} : channels(op));
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
    expect_inputs(op, 4, 6);
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

// (w, dloss) -> 2 * factor * dloss * w; or added to a gradient that is there already: (w, dloss; dw)
Infos infer_l2_grad(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    if (!op.state.empty()) {
        FER_CHECK(op.state.size() == 1 && op.state[0] == op.in[0], "adds to one gradient of {} {}",
                  op.in[0].shape.str(), name_of(op.in[0].dtype));
        return {};
    }
    return like_input(op);
}

namespace {

bool is_loss_scale(const TensorInfo& info) { return info.shape == Shape{kLossScaleWords} && info.dtype == DType::kI32; }

}  // namespace

// (learning_rate, clock) -> the rate of this update
Infos infer_schedule(const OpDesc& op) {
    expect_inputs(op, 2, 2);
    expect_shape(op, 0, Shape{});
    expect_shape(op, 1, {kClockFields});
    return {op.in[0]};
}

// (; gradient..., sum per gradient..., images in the sums, clock)
Infos infer_accumulate(const OpDesc& op) {
    FER_CHECK(op.in.empty() && op.state.size() >= 4 && op.state.size() % 2 == 0,
              "needs gradients and their sums, got {}", op.state.size());
    const std::size_t count = op.state.size() / 2 - 1;
    for (std::size_t i = 0; i < count; ++i) {
        FER_CHECK(op.state[i] == op.state[count + i], "sum {} does not match its gradient", i);
    }
    FER_CHECK(op.state[2 * count] == (TensorInfo{Shape{}, DType::kF32}) && op.state.back().shape == Shape{kClockFields},
              "needs the number of images and the clock last");
    FER_CHECK(op.as<AccumulateAttrs>().batch > 0, "needs images, got {}", op.as<AccumulateAttrs>().batch);
    return {};
}

// ([loss_scale]; gradient...)
Infos infer_clip_gradients(const OpDesc& op) {
    FER_CHECK(op.in.empty() || (op.in.size() == 1 && is_loss_scale(op.in[0])), "takes no input but the loss scale");
    FER_CHECK(!op.state.empty(), "needs at least one gradient");
    const auto& attrs = op.as<ClipAttrs>();
    FER_CHECK((attrs.norm > 0) != (attrs.value > 0), "clips to a norm or to a value, got {} and {}", attrs.norm,
              attrs.value);
    return {};
}

// (learning_rate, clock[, loss_scale], gradient...; parameter..., moment per parameter...[, 16-bit copy per
// parameter...])
Infos infer_optimizer(const OpDesc& op) {
    const std::size_t first = first_gradient(op.in);
    FER_CHECK(op.in.size() > first, "needs a learning rate, the clock and at least one gradient");
    FER_CHECK(first == 2 || is_loss_scale(op.in[2]), "input 2 must be the loss scale, got {}", op.in[2].shape.str());
    const std::size_t count = op.in.size() - first;
    FER_CHECK(op.state.size() % count == 0, "{} gradients, {} state tensors", count, op.state.size());
    for (std::size_t i = 0; i < op.state.size(); ++i) {
        FER_CHECK(op.state[i].shape == op.in[first + i % count].shape, "state {} does not match its gradient", i);
    }
    return {};
}

// (value...[, clock]; average...)
Infos infer_ema(const OpDesc& op) {
    const std::size_t values = op.in.size() - (ema_warms_up(op) ? 1 : 0);
    FER_CHECK(values == op.state.size(), "{} values, {} averages", values, op.state.size());
    return {};
}

// (loss_scale) -> its scale
Infos infer_loss_scale(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    FER_CHECK(is_loss_scale(op.in[0]), "needs the loss scale, got {}", op.in[0].shape.str());
    return {{Shape{}, DType::kF32}};
}

// (gradient...; loss_scale)
Infos infer_check_gradients(const OpDesc& op) {
    FER_CHECK(!op.in.empty(), "needs at least one gradient");
    FER_CHECK(op.state.size() == 1 && is_loss_scale(op.state[0]), "needs the loss scale");
    return {};
}

// (; loss_scale)
Infos infer_update_loss_scale(const OpDesc& op) {
    FER_CHECK(op.state.size() == 1 && is_loss_scale(op.state[0]), "needs the loss scale");
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

std::int64_t flops_image_conv(const OpDesc& op) { return flops_conv2d(conv2d_of(op)); }
std::int64_t flops_conv2d(const OpDesc& op) { return conv_flops(op.out[0].shape, op.in[1].shape); }
std::int64_t flops_conv2d_dgrad(const OpDesc& op) { return conv_flops(op.in[0].shape, op.in[1].shape); }
std::int64_t flops_conv2d_wgrad(const OpDesc& op) { return conv_flops(op.in[1].shape, op.out[0].shape); }
std::int64_t flops_depthwise(const OpDesc& op) { return depthwise_flops(op.out[0].shape, op.in[1].shape); }
std::int64_t flops_depthwise_dgrad(const OpDesc& op) { return depthwise_flops(op.in[0].shape, op.in[1].shape); }
std::int64_t flops_depthwise_wgrad(const OpDesc& op) { return depthwise_flops(op.in[1].shape, op.out[0].shape); }
std::int64_t flops_dense(const OpDesc& op) { return 2 * op.in[0].shape[0] * op.in[1].shape.count(); }
std::int64_t flops_dense_dgrad(const OpDesc& op) { return 2 * op.in[0].shape[0] * op.in[1].shape.count(); }
std::int64_t flops_dense_wgrad(const OpDesc& op) { return 2 * op.in[0].shape[0] * op.out[0].shape.count(); }

}  // namespace fer::rules
