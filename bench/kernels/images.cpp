#include "bench/kernels/images.hpp"

#include "bench/kernels/families.hpp"
#include "kernels/mixup.hpp"

namespace fer::FER_PORT {
namespace {

Case start(const char* family, const Arithmetic& how, const std::string& where, std::string shape, bool exact) {
    return {.family = family,
            .arithmetic = how,
            .where = where,
            .shape = std::move(shape),
            .flops = 0,
            .tensor = false,
            .exact = exact,
            .equals = {},
            .prepare = {}};
}

Case gather_case(const Batch& b) {
    Case c = start("gather", {"u8", DType::kU8}, b.where, b.text(), true);
    c.prepare = [b](Memory& m) {
        const std::int64_t read = std::int64_t{b.n} * b.pixels();
        m.reads(read + std::int64_t{b.n} * 4);
        return launch_of(gather,
                         {.images = m.bytes_table(std::int64_t{b.images} * b.pixels()),
                          .labels = reinterpret_cast<const std::int32_t*>(m.bytes_table(std::int64_t{b.images} * 4)),
                          .order = m.labels(b.n, b.images),
                          .clock = m.of<std::int64_t>({1, 4, 0, 0}),
                          .batch_images = static_cast<std::uint8_t*>(m.output(read, DType::kU8)),
                          .batch_labels = static_cast<std::int32_t*>(m.output(std::int64_t{b.n} * 4, DType::kU8)),
                          .batch = b.n,
                          .pixels = b.pixels()});
    };
    return c;
}

Case batch_case(const Batch& b, const Arithmetic& how, bool augmented) {
    Case c = start("image_batch", how, b.where, b.text() + (augmented ? " augmented" : ""), !augmented);
    c.prepare = [b, augmented, type = how.dtype](Memory& m) {
        return launch_of(image_batch, image_batch_args(m, b, type, augmented));
    };
    return c;
}

Case augment_case(const Batch& b, const Arithmetic& how) {
    Case c = start("augment", how, b.where, fmt::format("{}x{}x{}", b.n, b.h, b.w), false);
    c.prepare = [b, type = how.dtype](Memory& m) {
        const std::int64_t count = std::int64_t{b.n} * b.pixels();
        return launch_of(augment, {.x = m.input(count, DType::kU8),
                                   .y = m.output(count, type),
                                   .clock = m.of<std::int64_t>({1, 4, 0, 0}),
                                   .n = b.n,
                                   .h = b.h,
                                   .w = b.w,
                                   .c = 1,
                                   .augmentation = kAugmentation,
                                   .to = type});
    };
    return c;
}

Case mixup_case(const Batch& b) {
    Case c = start("mixup", kF32, b.where, fmt::format("{}x{}", b.n, b.pixels()), false);
    c.prepare = [b](Memory& m) {
        const std::int64_t count = std::int64_t{b.n} * b.pixels();
        return launch_of(mixup, {.x = m.floats(count),
                                 .labels = m.labels(b.n, 7),
                                 .clock = m.of<std::int64_t>({1, 4, 0, 0}),
                                 .y = m.output_floats(count),
                                 .partners = static_cast<std::int32_t*>(m.output(std::int64_t{b.n} * 4, DType::kU8)),
                                 .share = m.output_floats(b.n),
                                 .n = b.n,
                                 .pixels = b.pixels(),
                                 .alpha = 0.3f});
    };
    return c;
}

Case standardize_case(const Batch& b, const Arithmetic& how) {
    Case c = start("standardize", how, b.where, fmt::format("{}x{}", b.n, b.pixels()), false);
    c.prepare = [b, type = how.dtype](Memory& m) {
        const std::int64_t count = std::int64_t{b.n} * b.pixels();
        return launch_of(
            standardize,
            {.x = m.input(count, DType::kU8), .y = m.output(count, type), .n = b.n, .pixels = b.pixels(), .to = type});
    };
    return c;
}

Case rescale_case(const bench::LayerShape& at, const Arithmetic& how) {
    const DType from = at.op.in[0].dtype == DType::kU8 ? DType::kU8 : how.dtype;
    const Shape& x = at.op.in[0].shape;
    Case c = start("rescale", how, at.where, fmt::format("{} of {}", text_of(x), name_of(from)), true);
    c.prepare = [x, from, type = how.dtype](Memory& m) {
        return launch_of(rescale, {.x = m.input(x.count(), from),
                                   .y = m.output(x.count(), type),
                                   .rows = x.count() / x[3],
                                   .c = as_int(x[3]),
                                   .from = from,
                                   .to = type});
    };
    return c;
}

Case resize_case(const bench::LayerShape& at, const Arithmetic& how, bool to_rgb) {
    const Shape& x = at.op.in[0].shape;
    const auto& attrs = at.op.as<ResizeAttrs>();
    Case c = start("resize", how, at.where,
                   fmt::format("{} to {}x{}{}", text_of(x), attrs.height, attrs.width, to_rgb ? "x3" : ""), false);
    c.prepare = [x, attrs, to_rgb, type = how.dtype](Memory& m) {
        return launch_of(resize, {.x = m.input(x.count(), DType::kU8),
                                  .y = m.output(x[0] * attrs.height * attrs.width * (to_rgb ? 3 : x[3]), type),
                                  .n = as_int(x[0]),
                                  .h = as_int(x[1]),
                                  .w = as_int(x[2]),
                                  .c = as_int(x[3]),
                                  .out_h = attrs.height,
                                  .out_w = attrs.width,
                                  .gray_to_rgb = to_rgb,
                                  .scale = to_rgb ? 1.0f / 255.0f : 1.0f,
                                  .to = type});
    };
    return c;
}

Case gray_to_rgb_case(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("gray_to_rgb", how, at.where, text_of(at.op.in[0].shape), true);
    c.prepare = [count = at.op.in[0].shape.count(), type = how.dtype](Memory& m) {
        return launch_of(gray_to_rgb,
                         {.x = m.input(count, type), .y = m.output(count * 3, type), .count = count, .dtype = type});
    };
    return c;
}

}  // namespace

void add_images(Cases& cases, const Layers& layers) {
    for (const bench::LayerShape& at : layers.of(OpKind::kGather)) {
        const Shape& x = at.op.out[0].shape;
        const Batch b{at.where, layers.full() ? 28709 : 64, as_int(x[0]), as_int(x[1]), as_int(x[2])};
        cases.add(gather_case(b));
        cases.add(mixup_case(b));
        for (const Arithmetic& how : kStorage) {
            cases.add(batch_case(b, how, true));
            cases.add(batch_case(b, how, false));
            cases.add(augment_case(b, how));
            cases.add(standardize_case(b, how));
        }
    }
    for (const Arithmetic& how : kStorage) {
        for (const bench::LayerShape& at : layers.of(OpKind::kRescale)) {
            cases.add(rescale_case(at, how));
        }
        for (const bench::LayerShape& at : layers.of(OpKind::kResize)) {
            cases.add(resize_case(at, how, false));
            cases.add(resize_case(at, how, true));
        }
        for (const bench::LayerShape& at : layers.of(OpKind::kGrayToRgb)) {
            cases.add(gray_to_rgb_case(at, how));
        }
    }
}

}  // namespace fer::FER_PORT
