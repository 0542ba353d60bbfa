// Shape rules of data and forward ops.
#include <algorithm>

#include "engine/graph/image_conv.hpp"
#include "engine/graph/rule_checks.hpp"

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

void expect_rank(const OpDesc& op, std::size_t input, int rank) {
    FER_CHECK(op.in[input].shape.rank() == rank, "input {} must have {} axes, got {}", input, rank,
              op.in[input].shape.str());
}

void expect_real(const OpDesc& op, std::size_t input = 0) {
    FER_CHECK(is_real(op.in[input].dtype), "input {} must be floating point, got {}", input,
              name_of(op.in[input].dtype));
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

// as gather, in one pass with what image_batch attributes say -> x (batch,h,w,1), labels i32 (batch)
Infos infer_image_batch(const OpDesc& op) {
    expect_inputs(op, 4, 4);
    expect_rank(op, 0, 3);
    expect_rank(op, 1, 1);
    expect_rank(op, 2, 1);
    const auto& attrs = op.as<ImageBatchAttrs>();
    FER_CHECK(attrs.batch > 0, "batch must be positive, got {}", attrs.batch);
    FER_CHECK(is_real(attrs.to), "gives floating point, not {}", name_of(attrs.to));
    const Shape& images = op.in[0].shape;
    return {{{attrs.batch, images[1], images[2], 1}, attrs.to}, {{attrs.batch}, DType::kI32}};
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
    FER_CHECK(op.kind != OpKind::kRescale || op.in[0].shape[3] <= 3, "has offsets for three channels, got {}",
              op.in[0].shape[3]);
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
    FER_CHECK(!attrs.gray_to_rgb || x[3] == 1, "needs one channel to repeat, got {}", x[3]);
    const DType from = op.in[0].dtype;
    const bool keeps = is_real(from) && from != DType::kF32;
    return {{{x[0], attrs.height, attrs.width, attrs.gray_to_rgb ? 3 : x[3]}, keeps ? from : attrs.to}};
}

Infos infer_gray_to_rgb(const OpDesc& op) {
    expect_inputs(op, 1, 1);
    expect_rank(op, 0, 4);
    const Shape& x = op.in[0].shape;
    FER_CHECK(x[3] == 1, "needs one channel, got {}", x[3]);
    return {{{x[0], x[1], x[2], 3}, op.in[0].dtype}};
}

// (x (n,h,w,c), w (kh,kw,c,k)[, b (k)[, residual as y]]) -> y; with statistics (; moving_mean, moving_variance) -> y,
// mean (k), biased variance (k)
Infos infer_conv2d(const OpDesc& op) {
    expect_inputs(op, 2, 4);
    expect_rank(op, 0, 4);
    expect_rank(op, 1, 4);
    expect_real(op);
    const Shape& x = op.in[0].shape;
    const Shape& w = op.in[1].shape;
    const auto& attrs = op.as<ConvAttrs>();
    FER_CHECK(x[3] == w[2], "input {} has {} channels but the kernel {} takes {}", x.str(), x[3], w.str(), w[2]);
    if (op.in.size() >= 3) {
        expect_shape(op, 2, {w[3]});
    }
    const TensorInfo y{conv_output(x, w, attrs, w[3]), op.in[0].dtype};
    if (op.in.size() == 4) {
        FER_CHECK(op.in[3] == y, "the residual must be {} {}, got {} {}", y.shape.str(), name_of(y.dtype),
                  op.in[3].shape.str(), name_of(op.in[3].dtype));
    }
    if (!attrs.statistics) {
        return {y};
    }
    FER_CHECK(op.state.size() == 2, "needs the two moving statistics, got {}", op.state.size());
    return {y, {{w[3]}, reduced(y.dtype)}, {{w[3]}, reduced(y.dtype)}};
}

// (images, labels, order, clock as image_batch; then w, b as conv2d) -> x, labels as image_batch; y, mean, variance as
// conv2d of x
Infos infer_image_conv(const OpDesc& op) {
    expect_inputs(op, 5, 6);
    OpDesc with_images = op;
    with_images.out = infer_image_batch(image_batch_of(op));
    const Infos convolved = infer_conv2d(conv2d_of(with_images));
    Infos infos = with_images.out;
    infos.insert(infos.end(), convolved.begin(), convolved.end());
    return infos;
}

// (x (n,h,w,c), w (kh,kw,c,1)) -> y
Infos infer_depthwise_conv(const OpDesc& op) {
    expect_inputs(op, 2, 3);
    expect_rank(op, 0, 4);
    expect_rank(op, 1, 4);
    expect_real(op);
    const Shape& x = op.in[0].shape;
    const Shape& w = op.in[1].shape;
    FER_CHECK(x[3] == w[2], "input {} has {} channels but the kernel {} takes {}", x.str(), x[3], w.str(), w[2]);
    FER_CHECK(w[3] == 1, "only depth multiplier 1 is supported, got {}", w[3]);
    if (op.in.size() == 3) {
        expect_shape(op, 2, {w[2]});
    }
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

// (x, gamma, beta[, residual]; moving_mean, moving_variance) -> y, batch mean, biased batch variance
Infos infer_batch_norm(const OpDesc& op) {
    expect_inputs(op, 3, 4);
    if (op.in.size() == 4) {
        expect_shape(op, 3, op.in[0].shape);
    }
    expect_real(op);
    FER_CHECK(op.state.size() == 2, "needs the two moving statistics, got {}", op.state.size());
    expect_shape(op, 1, channels(op));
    expect_shape(op, 2, channels(op));
    const DType stats = reduced(op.in[0].dtype);
    return {op.in[0], {channels(op), stats}, {channels(op), stats}};
}

// batch_norm and then a 2x2 max pool: (x, gamma, beta; moving_mean, moving_variance) -> p, argmax, mean, variance; with
// statistics that are given (x, gamma, beta, mean, variance) -> p, argmax
Infos infer_batch_norm_pool(const OpDesc& op) {
    expect_inputs(op, 3, 5);
    expect_rank(op, 0, 4);
    const Shape& x = op.in[0].shape;
    const Shape p{x[0], x[1] / 2, x[2] / 2, x[3]};
    if (op.in.size() == 5) {
        const Infos infos = infer_batch_norm_inference(op);
        return {{p, infos[0].dtype}, {p, DType::kU8}};
    }
    Infos infos = infer_batch_norm(op);
    infos[0].shape = p;
    infos.insert(infos.begin() + 1, {p, DType::kU8});
    return infos;
}

// (x, gamma, beta, mean, variance[, residual]) -> y
Infos infer_batch_norm_inference(const OpDesc& op) {
    expect_inputs(op, 5, 6);
    if (op.in.size() == 6) {
        expect_shape(op, 5, op.in[0].shape);
    }
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

// (logits (n,c), labels i32 (n), class_weights (c)[, dloss ()]) -> mean loss (), probabilities (n,c), hits (n) as 0/1
// [, dlogits (n,c)]
namespace {

/// The partners' labels and the shares of the own ones, from input `first` on.
void expect_mixed(const OpDesc& op, std::size_t first) {
    const Shape images{op.in[0].shape[0]};
    expect_shape(op, first, images);
    expect_shape(op, first + 1, images);
    FER_CHECK(op.in[first].dtype == DType::kI32 && op.in[first + 1].dtype == DType::kF32,
              "labels of the partners must be i32 and shares f32, got {} and {}", name_of(op.in[first].dtype),
              name_of(op.in[first + 1].dtype));
}

}  // namespace

// (x, labels, clock) -> mixed x, the partners' labels, the share of the own image
Infos infer_mixup(const OpDesc& op) {
    expect_inputs(op, 3, 3);
    expect_rank(op, 0, 4);
    expect_shape(op, 1, {op.in[0].shape[0]});
    FER_CHECK(op.in[0].dtype == DType::kF32, "mixes float32 images, got {}", name_of(op.in[0].dtype));
    const auto& attrs = op.as<MixupAttrs>();
    FER_CHECK(attrs.alpha > 0 && attrs.alpha <= 1, "alpha must be in (0, 1], got {}", attrs.alpha);
    return {op.in[0], op.in[1], {op.in[1].shape, DType::kF32}};
}

Infos infer_softmax_xent(const OpDesc& op) {
    expect_inputs(op, 3, 6);
    expect_rank(op, 0, 2);
    expect_real(op);
    expect_shape(op, 1, {op.in[0].shape[0]});
    expect_shape(op, 2, {op.in[0].shape[1]});
    FER_CHECK(op.in[1].dtype == DType::kI32, "labels must be i32, got {}", name_of(op.in[1].dtype));
    const DType real = reduced(op.in[0].dtype);
    Infos infos{{Shape{}, real}, {op.in[0].shape, real}, {{op.in[0].shape[0]}, DType::kU8}};
    if (is_mixed(op.in)) {
        expect_mixed(op, 3);
    }
    if (takes_gradient(op.in)) {
        expect_shape(op, op.in.size() - 1, Shape{});
        infos.push_back(op.in[0]);
    }
    return infos;
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
    return {{op.as<ScalarAttrs>().shape, DType::kF32}};
}

}  // namespace rules
}  // namespace fer
