// What an operation is: its kind, its attributes and the descriptor that drives everything said about it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "engine/core/dtype.hpp"
#include "engine/core/error.hpp"
#include "engine/core/schedule.hpp"
#include "engine/core/shape.hpp"

namespace fer {

enum class OpKind : std::uint8_t {
    // data
    kGather,
    kAugment,
    kRescale,
    kStandardize,
    kResize,
    kGrayToRgb,
    kImageBatch,
    kImageConv,
    kMixup,
    // forward
    kConv2d,
    kDepthwiseConv,
    kDense,
    kBias,
    kBatchNorm,
    kBatchNormPool,
    kBatchNormInference,
    kRelu,
    kRelu6,
    kSoftmax,
    kSoftmaxXent,
    kMaxPool,
    kAvgPool,
    kGlobalAvgPool,
    kZeroPad,
    kAdd,
    kFlatten,
    kDropout,
    kL2Penalty,
    kCast,
    kConstant,
    // backward
    kConv2dDgrad,
    kConv2dWgrad,
    kDepthwiseDgrad,
    kDepthwiseWgrad,
    kDenseDgrad,
    kDenseWgrad,
    kBiasGrad,
    kBatchNormGrad,
    kBatchNormPoolGrad,
    kBatchNormInferenceGrad,
    kReluGrad,
    kRelu6Grad,
    kSoftmaxGrad,
    kSoftmaxXentGrad,
    kMaxPoolGrad,
    kAvgPoolGrad,
    kGlobalAvgPoolGrad,
    kCrop,
    kUnflatten,
    kL2Grad,
    // update
    kSchedule,
    kAccumulate,
    kClipGradients,
    kAdam,
    kSgd,
    kRmsProp,
    kEma,
    kLossScale,
    kCheckGradients,
    kUpdateLossScale,
    kMetrics,
    kAdvance,
    kCount
};

enum class Padding : std::uint8_t { kValid, kSame };
enum class Activation : std::uint8_t { kNone, kRelu, kRelu6 };
enum class FillMode : std::uint8_t { kNearest, kConstant, kReflect };

struct NoAttrs {
    bool operator==(const NoAttrs&) const = default;
};
/// Convolutions, and their gradients. kernel is read from the weights; `activation` is applied after bias and residual.
struct ConvAttrs {
    int stride = 1;
    Padding padding = Padding::kSame;
    Activation activation = Activation::kNone;
    Shape input = {};         // dgrad only: the shape to produce
    Shape kernel = {};        // wgrad only: the shape to produce
    bool bias = false;        // wgrad only: also produce the bias gradient
    bool tf32 = false;        // float32 operands may be rounded to 10 bits of mantissa
    bool statistics = false;  // conv2d only: also mean and biased variance of y, for the batch norm behind it
    double momentum = 0.99;   // of the moving statistics that those move
    bool operator==(const ConvAttrs&) const = default;
};
struct DenseAttrs {
    Activation activation = Activation::kNone;
    bool bias = false;  // wgrad only: also produce the bias gradient
    bool tf32 = false;  // as in ConvAttrs
    bool operator==(const DenseAttrs&) const = default;
};
/// `activation` is applied after the residual, if there is one.
struct BatchNormAttrs {
    double momentum = 0.99;
    double epsilon = 1e-3;
    Activation activation = Activation::kNone;
    bool residual = false;    // gradient only: also produce that of the residual
    bool relu_input = false;  // gradients only: x is the output of a ReLU, whose gradient is taken too
    bool operator==(const BatchNormAttrs&) const = default;
};
struct PoolAttrs {
    int window = 2;
    int stride = 2;
    Padding padding = Padding::kValid;
    Shape input = {};  // gradients only: the shape to produce
    bool operator==(const PoolAttrs&) const = default;
};
/// Zero rows and columns around an image; the same for cropping them off again.
struct PadAttrs {
    int top = 0, bottom = 0, left = 0, right = 0;
    bool operator==(const PadAttrs&) const = default;
};
/// `stream` names the random numbers of this node: the gradient repeats them.
struct DropoutAttrs {
    float rate = 0.5f;
    std::uint32_t stream = 0;
    bool operator==(const DropoutAttrs&) const = default;
};
/// The L2 factor, the value of a constant, the decay of a moving average.
struct ScalarAttrs {
    float value = 0;
    Shape shape = {};  // constants only
    bool operator==(const ScalarAttrs&) const = default;
};
struct XentAttrs {
    float label_smoothing = 0;
    bool operator==(const XentAttrs&) const = default;
};
struct ShapeAttrs {
    Shape shape;
    bool operator==(const ShapeAttrs&) const = default;
};
struct CastAttrs {
    DType to = DType::kF32;
    bool operator==(const CastAttrs&) const = default;
};
/// y = x * scale + offset[channel]
struct RescaleAttrs {
    float scale = 1.0f / 255.0f;
    std::array<float, 3> offset{};
    bool operator==(const RescaleAttrs&) const = default;
};
/// Then, in this order: one channel repeated to three, and y = x * scale + offset[channel].
struct ResizeAttrs {
    int height = 224, width = 224;
    bool bilinear = true;
    bool gray_to_rgb = false;
    RescaleAttrs rescale{.scale = 1};
    DType to = DType::kF32;  // of the output; float64 and 16-bit inputs keep theirs
    bool operator==(const ResizeAttrs&) const = default;
};
struct GatherAttrs {
    std::int64_t batch = 0;
    bool operator==(const GatherAttrs&) const = default;
};
/// Keras's ImageDataGenerator ranges; zero or false means off. Degrees; shifts as fractions of the side. Beyond Keras,
/// in pixels: a crop out of the image padded on all sides, and a square of `fill_value` in every `cutout_share`-th.
struct AugmentAttrs {
    float rotation = 0, height_shift = 0, width_shift = 0, shear = 0, zoom = 0;
    bool horizontal_flip = false, vertical_flip = false;
    float brightness_low = 1, brightness_high = 1;
    FillMode fill = FillMode::kNearest;
    float fill_value = 0;
    bool centred = false;  // false: Keras 2.15's convention; true: axes and centre as one would expect
    int crop = 0;          // moved by a whole number of pixels in [-crop, crop], rows and columns each
    int cutout = 0;        // side of the square
    float cutout_share = 1;
    std::uint32_t stream = 0;
    bool operator==(const AugmentAttrs&) const = default;

    bool any_affine() const {
        return rotation != 0 || height_shift != 0 || width_shift != 0 || shear != 0 || zoom != 0;
    }
    bool any() const {
        return any_affine() || horizontal_flip || vertical_flip || brightness_low != 1 || brightness_high != 1 ||
               crop != 0 || cutout != 0;
    }
};
/// y_i = share_i x_i + (1 - share_i) x_(n-1-i): the batch, which is shuffled, meets itself in reverse. share_i is the
/// greater part of a draw from Beta(alpha, alpha), so that an image's own label is its first. From step `until` on
/// (negative: never) shares are one. Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018).
struct MixupAttrs {
    float alpha = 0;
    std::int64_t until = -1;
    std::uint32_t stream = 0;
    bool operator==(const MixupAttrs&) const = default;
};
/// What is taken from several steps before one update: gradients count by their images.
struct AccumulateAttrs {
    std::int64_t batch = 0;
    bool take = true;  // false: only add; true: add, then hand the mean over and start again
    bool operator==(const AccumulateAttrs&) const = default;
};
/// One of the two, as Keras's global_clipnorm and clipvalue; zero is off.
struct ClipAttrs {
    float norm = 0;   // all gradients together are made no longer than this
    float value = 0;  // every element is held within [-value, value]
    bool operator==(const ClipAttrs&) const = default;
};
/// Gather, augmentation, y = v * scale + offset[0] and the cast, of images of one channel.
struct ImageBatchAttrs {
    std::int64_t batch = 0;
    AugmentAttrs augment;
    RescaleAttrs rescale{.scale = 1};
    DType to = DType::kF32;
    bool operator==(const ImageBatchAttrs&) const = default;
};
/// image_batch, and a convolution of what it makes.
struct ImageConvAttrs {
    ImageBatchAttrs images;
    ConvAttrs conv;
    bool operator==(const ImageConvAttrs&) const = default;
};
struct AdamAttrs {
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7;
    float rate_factor = 1;  // on the learning rate
    bool operator==(const AdamAttrs&) const = default;
};
struct SgdAttrs {
    double momentum = 0;
    bool nesterov = false;
    float rate_factor = 1;  // on the learning rate
    bool operator==(const SgdAttrs&) const = default;
};
struct RmsPropAttrs {
    double rho = 0.9, momentum = 0, epsilon = 1e-7;
    float rate_factor = 1;  // on the learning rate
    bool operator==(const RmsPropAttrs&) const = default;
};

using Attributes = std::variant<NoAttrs, ConvAttrs, DenseAttrs, BatchNormAttrs, PoolAttrs, PadAttrs, DropoutAttrs,
                                ScalarAttrs, XentAttrs, ShapeAttrs, CastAttrs, RescaleAttrs, ResizeAttrs, GatherAttrs,
                                AugmentAttrs, ImageBatchAttrs, ImageConvAttrs, MixupAttrs, Schedule, AccumulateAttrs,
                                ClipAttrs, AdamAttrs, SgdAttrs, RmsPropAttrs>;

struct TensorInfo {
    Shape shape;
    DType dtype = DType::kF32;

    std::int64_t bytes() const { return shape.count() * static_cast<std::int64_t>(size_of(dtype)); }
    bool operator==(const TensorInfo&) const = default;
};

/// One application of an op, without its data. Shape inference, FLOP counts, refusals, kernels, tests and benches all
/// take this one descriptor. `state` are tensors the op reads and overwrites in place.
struct OpDesc {
    OpKind kind = OpKind::kCount;
    std::string name;
    Attributes attrs;
    std::vector<TensorInfo> in, out, state;
    std::uint32_t fixed = 0;  // bit i: input i outlives the step and no node of the plan writes it

    template <class T>
    const T& as() const {
        FER_CHECK(std::holds_alternative<T>(attrs), "wrong attributes: they belong to another op");
        return std::get<T>(attrs);
    }
};

/// Positions in the `clock` tensor (i64): what the step may depend on besides its data. `held` steps only added to the
/// accumulators: step - held is the number of updates.
enum ClockField : int { kClockSeed = 0, kClockStep = 1, kClockCursor = 2, kClockHeld = 3, kClockFields = 4 };

/// Positions in the `metrics` tensor (f64), summed over the steps since it was last cleared.
enum MetricField : int { kMetricLoss = 0, kMetricHits = 1, kMetricImages = 2, kMetricNonFinite = 3, kMetricFields = 4 };

/// Dynamic loss scaling, in the `loss_scale` tensor (i32, 6 words). The loss is multiplied by `scale` before it is
/// differentiated, gradients are divided by it in the optimizer. A gradient that is not finite sets `overflow`: the
/// optimizer then changes nothing, the scale is halved and `skipped` counts it. 2000 good steps double the scale.
struct LossScaleState {
    float scale = 65536;
    std::int32_t good = 0;
    std::uint32_t overflow = 0;
    std::uint32_t reserved = 0;
    std::int64_t skipped = 0;
};
inline constexpr std::int64_t kLossScaleWords = sizeof(LossScaleState) / sizeof(std::int32_t);

inline bool is_16_bit(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

/// Inputs of the cross-entropy: logits, labels, class weights, with mixup the partners' labels and the share of the own
/// one, and where it computes its gradient too that of the loss. Those of its gradient node, which always has the
/// latter: probabilities, labels, class weights, the gradient of the loss, and with mixup the same two.
inline bool is_mixed(const std::vector<TensorInfo>& inputs) { return inputs.size() >= 5; }
inline bool takes_gradient(const std::vector<TensorInfo>& inputs) { return inputs.size() % 2 == 0; }

/// Inputs of an optimizer: learning rate, clock, the loss scale if there is one, then the gradients. Its state:
/// parameters, moments, and last the 16-bit copies of the parameters if it keeps any, each as many as gradients.
inline bool has_loss_scale(const std::vector<TensorInfo>& inputs) {
    return inputs.size() > 2 && inputs[2].dtype == DType::kI32;
}
inline std::size_t first_gradient(const std::vector<TensorInfo>& inputs) { return has_loss_scale(inputs) ? 3 : 2; }
inline bool has_shadows(const std::vector<TensorInfo>& state) {
    return !state.empty() && is_16_bit(state.back().dtype);
}

/// A moving average that takes the clock behind its values decays by min(decay, (1 + t) / (10 + t)) in update t: early
/// on it forgets where it began, as TensorFlow's ExponentialMovingAverage does when it is told num_updates.
inline bool ema_warms_up(const OpDesc& op) { return !op.in.empty() && op.in.back().dtype == DType::kI64; }

/// Output extent and leading padding of a window of `kernel` moving by `stride` over `size`:
///     same:  out = ceil(size/stride), total padding max((out-1)*stride + kernel - size, 0), the smaller half first
///     valid: out = floor((size-kernel)/stride) + 1, no padding
struct Window {
    std::int64_t out = 0;
    std::int64_t before = 0;
    std::int64_t after = 0;
};
Window window_of(std::int64_t size, std::int64_t kernel, std::int64_t stride, Padding padding);

}  // namespace fer
