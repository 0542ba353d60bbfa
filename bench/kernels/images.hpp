// The batch of a step out of the resident data set.
#pragma once

#include "bench/kernels/case.hpp"
#include "kernels/image.hpp"

namespace fer::FER_PORT {

struct Batch {
    std::string where;
    int images, n, h, w;

    int pixels() const { return h * w; }
    std::string text() const { return fmt::format("{}x{}x{} of {}", n, h, w, images); }
};

// As the recipe custom_cnn_augmented has it.
inline constexpr Augmentation kAugmentation{.rotation = 40,
                                            .height_shift = 0.2f,
                                            .width_shift = 0.2f,
                                            .shear = 0.2f,
                                            .zoom = 0.2f,
                                            .horizontal_flip = true,
                                            .stream = 7};

inline ImageBatch image_batch_args(Memory& m, const Batch& b, DType type, bool augmented) {
    const std::int64_t read = std::int64_t{b.n} * b.pixels();
    m.reads(read + std::int64_t{b.n} * 4);
    return {.images = m.bytes_table(std::int64_t{b.images} * b.pixels()),
            .labels = reinterpret_cast<const std::int32_t*>(m.bytes_table(std::int64_t{b.images} * 4)),
            .order = m.labels(b.n, b.images),
            .clock = m.of<std::int64_t>({1, 4, 0, 0}),
            .y = m.output(read, type),
            .batch_labels = static_cast<std::int32_t*>(m.output(std::int64_t{b.n} * 4, DType::kU8)),
            .batch = b.n,
            .h = b.h,
            .w = b.w,
            .augmentation = augmented ? kAugmentation : Augmentation{},
            .to = type};
}

}  // namespace fer::FER_PORT
