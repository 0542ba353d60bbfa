#include "engine/run/cuda/handwritten/image.hpp"

#include <array>

#include "engine/run/cuda/handwritten/common.hpp"
#include "engine/run/cuda/handwritten/kernels.hpp"
#include "kernels/mixup.hpp"

namespace fer::FER_PORT::handwritten {
namespace {

Fill fill_of(FillMode mode) {
    switch (mode) {
        case FillMode::kConstant:
            return Fill::kConstant;
        case FillMode::kReflect:
            return Fill::kReflect;
        case FillMode::kNearest:
            break;
    }
    return Fill::kNearest;
}

Augmentation augmentation_of(const AugmentAttrs& a) {
    return {.rotation = a.rotation,
            .height_shift = a.height_shift,
            .width_shift = a.width_shift,
            .shear = a.shear,
            .zoom = a.zoom,
            .horizontal_flip = a.horizontal_flip,
            .vertical_flip = a.vertical_flip,
            .brightness_low = a.brightness_low,
            .brightness_high = a.brightness_high,
            .fill = fill_of(a.fill),
            .fill_value = a.fill_value,
            .centred = a.centred,
            .crop = a.crop,
            .cutout = a.cutout,
            .cutout_share = a.cutout_share,
            .stream = a.stream};
}

}  // namespace

ImageBatch image_batch_args(const OpDesc& op) {
    const auto& attrs = op.as<ImageBatchAttrs>();
    return {.images = nullptr,
            .labels = nullptr,
            .order = nullptr,
            .clock = nullptr,
            .y = nullptr,
            .batch_labels = nullptr,
            .batch = to_int(attrs.batch),
            .h = to_int(op.in[0].shape[1]),
            .w = to_int(op.in[0].shape[2]),
            .augmentation = augmentation_of(attrs.augment),
            .scale = attrs.rescale.scale,
            .offset = attrs.rescale.offset[0],
            .to = attrs.to};
}

void bind_images(ImageBatch& a, const Operands& t) {
    a.images = t.input<std::uint8_t>(0);
    a.labels = t.input<std::int32_t>(1);
    a.order = t.input<std::int32_t>(2);
    a.clock = t.input<std::int64_t>(3);
    a.y = t.out[0];
    a.batch_labels = t.output<std::int32_t>(1);
}

namespace {

Kernel take(const OpDesc& op) {
    const Shape& images = op.in[0].shape;
    return [batch = to_int(op.out[0].shape[0]), pixels = to_int(images[1] * images[2])](const Operands& t) {
        port::gather({t.input<std::uint8_t>(0), t.input<std::int32_t>(1), t.input<std::int32_t>(2),
                      t.input<std::int64_t>(3), t.output<std::uint8_t>(0), t.output<std::int32_t>(1), batch, pixels},
                     stream_of(t));
    };
}

Kernel transform(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    Augment a{.x = nullptr,
              .y = nullptr,
              .clock = nullptr,
              .n = to_int(x[0]),
              .h = to_int(x[1]),
              .w = to_int(x[2]),
              .c = to_int(x[3]),
              .augmentation = augmentation_of(op.as<AugmentAttrs>()),
              .from = op.in[0].dtype,
              .to = op.out[0].dtype};
    return [a](const Operands& t) mutable {
        a.x = t.in[0];
        a.y = t.out[0];
        a.clock = t.input<std::int64_t>(1);
        port::augment(a, stream_of(t));
    };
}

Kernel scale(const OpDesc& op) {
    const auto& attrs = op.as<RescaleAttrs>();
    Rescale a{.x = nullptr,
              .y = nullptr,
              .rows = rows_of(op.in[0].shape),
              .c = channels_of(op.in[0].shape),
              .scale = attrs.scale,
              .offset = {attrs.offset[0], attrs.offset[1], attrs.offset[2]},
              .from = op.in[0].dtype,
              .to = op.out[0].dtype};
    return [a](const Operands& t) mutable {
        a.x = t.in[0];
        a.y = t.out[0];
        port::rescale(a, stream_of(t));
    };
}

Kernel normalize(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    return [n = to_int(x[0]), pixels = to_int(x[1] * x[2] * x[3]), from = op.in[0].dtype,
            to = op.out[0].dtype](const Operands& t) {
        port::standardize({t.in[0], t.out[0], n, pixels, from, to}, stream_of(t));
    };
}

Kernel stretch(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    const auto& attrs = op.as<ResizeAttrs>();
    const auto& offset = attrs.rescale.offset;
    Resize a{.x = nullptr,
             .y = nullptr,
             .n = to_int(x[0]),
             .h = to_int(x[1]),
             .w = to_int(x[2]),
             .c = to_int(x[3]),
             .out_h = attrs.height,
             .out_w = attrs.width,
             .bilinear = attrs.bilinear,
             .gray_to_rgb = attrs.gray_to_rgb,
             .scale = attrs.rescale.scale,
             .offset = {offset[0], offset[1], offset[2]},
             .from = op.in[0].dtype,
             .to = op.out[0].dtype};
    return [a](const Operands& t) mutable {
        a.x = t.in[0];
        a.y = t.out[0];
        port::resize(a, stream_of(t));
    };
}

Kernel repeat(const OpDesc& op) {
    return [count = op.in[0].shape.count(), dtype = op.in[0].dtype](const Operands& t) {
        port::gray_to_rgb({t.in[0], t.out[0], count, dtype}, stream_of(t));
    };
}

Kernel take_and_transform(const OpDesc& op) {
    return [a = image_batch_args(op)](const Operands& t) mutable {
        bind_images(a, t);
        port::image_batch(a, stream_of(t));
    };
}

Kernel mix(const OpDesc& op) {
    const auto& attrs = op.as<MixupAttrs>();
    const std::int64_t batch = op.in[0].shape[0];
    Mixup a{.x = nullptr,
            .labels = nullptr,
            .clock = nullptr,
            .y = nullptr,
            .partners = nullptr,
            .share = nullptr,
            .n = to_int(batch),
            .pixels = to_int(batch == 0 ? 0 : op.in[0].shape.count() / batch),
            .alpha = attrs.alpha,
            .until = attrs.until,
            .stream = attrs.stream};
    return [a](const Operands& t) mutable {
        a.x = t.input<float>(0);
        a.labels = t.input<std::int32_t>(1);
        a.clock = t.input<std::int64_t>(2);
        a.y = t.output<float>(0);
        a.partners = t.output<std::int32_t>(1);
        a.share = t.output<float>(2);
        port::mixup(a, stream_of(t));
    };
}

constexpr std::array kGather{Implementation{"handwritten", refusal, nullptr, take}};
constexpr std::array kAugment{Implementation{"handwritten", refusal, nullptr, transform}};
constexpr std::array kRescale{Implementation{"handwritten", refusal, nullptr, scale}};
constexpr std::array kStandardize{Implementation{"handwritten", refusal, nullptr, normalize}};
constexpr std::array kResize{Implementation{"handwritten", refusal, nullptr, stretch}};
constexpr std::array kImageBatch{Implementation{"handwritten", refusal, nullptr, take_and_transform}};
constexpr std::array kGrayToRgb{Implementation{"handwritten", refusal, nullptr, repeat}};
constexpr std::array kMixup{Implementation{"handwritten", refusal, nullptr, mix}};

}  // namespace

List gather() { return kGather; }
List augment() { return kAugment; }
List rescale() { return kRescale; }
List standardize() { return kStandardize; }
List resize() { return kResize; }
List gray_to_rgb() { return kGrayToRgb; }
List image_batch() { return kImageBatch; }
List mixup() { return kMixup; }

}  // namespace fer::FER_PORT::handwritten
