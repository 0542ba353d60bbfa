// The data side of a step: gather, augmentation, scaling, standardization, resizing. NHWC; x is u8, f32, f16 or bf16
// as `from` says, y f32, f16 or bf16 as `to` says. Everything is overwritten and deterministic; a batch of 0 images
// does nothing; inputs and outputs do not overlap. All pointers are device memory.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

enum class Fill : std::uint8_t {
    kNearest,   // the edge pixel
    kConstant,  // fill_value wherever the source place is outside, without blending
    kReflect,   // d c b a | a b c d | d c b a
};

/// Keras's ImageDataGenerator ranges; zero or false means off. Degrees; shifts as fractions of the side. The affine map
/// takes output to input places (engine/run/cpu/reference/affine.hpp); as in Keras 2.15 height_shift moves columns and
/// width_shift rows, unless `centred`. Draws are those of RandomStream(seed, step, stream), 16 numbers per image:
/// the same as on the CPU, bit for bit. Places are computed in double, so that is what the map is too.
///
/// Order: affine with bilinear sampling, crop, flips, brightness (min(255, trunc(factor * trunc(v))), as Keras has it),
/// cutout. The crop moves by a whole number of pixels in [-crop, crop], rows and columns each, before the affine map,
/// so that an image is sampled once; the square of side `cutout` has any pixel as its centre, may lie partly outside,
/// and takes fill_value in that share of the images.
struct Augmentation {
    float rotation = 0, height_shift = 0, width_shift = 0, shear = 0, zoom = 0;
    bool horizontal_flip = false, vertical_flip = false;
    float brightness_low = 1, brightness_high = 1;
    Fill fill = Fill::kNearest;
    float fill_value = 0;
    bool centred = false;
    int crop = 0, cutout = 0;
    float cutout_share = 1;
    std::uint32_t stream = 0;
};

struct Augment {
    const void* x;              // (n, h, w, c)
    void* y;                    // (n, h, w, c), values as in x
    const std::int64_t* clock;  // clock.hpp: seed and step
    int n, h, w, c;
    Augmentation augmentation;
    DType from = DType::kU8, to = DType::kF32;
};
void augment(const Augment& a, cudaStream_t stream);

/// Images order[cursor] .. order[cursor + batch - 1] of the resident data set, with their labels; the cursor is read
/// on the device. cursor + batch must not pass the end of `order`, whose entries must be images of the data set.
struct Gather {
    const std::uint8_t* images;  // (images, pixels)
    const std::int32_t* labels;  // (images)
    const std::int32_t* order;   // (positions)
    const std::int64_t* clock;   // clock.hpp: cursor
    std::uint8_t* batch_images;  // (batch, pixels)
    std::int32_t* batch_labels;  // (batch)
    int batch, pixels;
};
void gather(const Gather& a, cudaStream_t stream);

/// gather + augment + rescale in one pass, for one channel: bytes in, y = v * scale + offset out.
struct ImageBatch {
    const std::uint8_t* images;  // (images, h, w)
    const std::int32_t* labels;  // (images)
    const std::int32_t* order;   // (positions)
    const std::int64_t* clock;   // clock.hpp
    void* y;                     // (batch, h, w)
    std::int32_t* batch_labels;  // (batch)
    int batch, h, w;
    Augmentation augmentation;
    float scale = 1.0f / 255.0f, offset = 0;
    DType to = DType::kF32;
};
void image_batch(const ImageBatch& a, cudaStream_t stream);

/// y = x * scale + offset[channel], in float32. At most three channels.
struct Rescale {
    const void* x;  // (rows, c)
    void* y;        // (rows, c)
    std::int64_t rows;
    int c;
    float scale = 1.0f / 255.0f;
    float offset[3] = {0, 0, 0};
    DType from = DType::kU8, to = DType::kF32;
};
void rescale(const Rescale& a, cudaStream_t stream);

/// Per image y = (x - mean) / (std + 1e-6), population standard deviation, in double. A flat image becomes 0.
struct Standardize {
    const void* x;  // (n, pixels)
    void* y;        // (n, pixels)
    int n, pixels;
    DType from = DType::kU8, to = DType::kF32;
};
void standardize(const Standardize& a, cudaStream_t stream);

/// Half-pixel centres, in = (out + 0.5) * size / out_size - 0.5: bilinear, clamped at the edges and not antialiased, or
/// nearest, floor((out + 0.5) * size / out_size). Places in double, blending in float32. Then on the fly the one
/// channel may be repeated to three, and v * scale + offset[channel] taken: 48x48 bytes to a trunk's input in one pass.
struct Resize {
    const void* x;  // (n, h, w, c)
    void* y;        // (n, out_h, out_w, c, or 3 with gray_to_rgb)
    int n, h, w, c;
    int out_h, out_w;
    bool bilinear = true;
    bool gray_to_rgb = false;  // needs c == 1
    float scale = 1;           // with the offsets: at most three channels
    float offset[3] = {0, 0, 0};
    DType from = DType::kU8, to = DType::kF32;
};
void resize(const Resize& a, cudaStream_t stream);

/// y[i, 0..2] = x[i], of any type.
struct GrayToRgb {
    const void* x;  // (count)
    void* y;        // (count, 3)
    std::int64_t count;
    DType dtype = DType::kU8;
};
void gray_to_rgb(const GrayToRgb& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
