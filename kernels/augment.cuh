// The random map of an augmented image and the sampling of its source: the arithmetic of the CPU reference, step by
// step in double. Products that feed a sum in float32 are rounded on their own, whatever the compiler would fuse.
#pragma once

#include "engine/core/image_draws.hpp"
#include "engine/core/random.hpp"
#include "kernels/clock.hpp"
#include "kernels/image.hpp"
#include "kernels/support.cuh"

namespace fer::FER_PORT {

/// by_float_type(), and bytes.
template <class Body>
void by_pixel_type(DType dtype, const char* op, Body body) {
    if (dtype == DType::kU8) {
        return body(std::uint8_t{});
    }
    by_float_type(dtype, op, body);
}

/// What was drawn for one image. No initialisers: it lives in shared memory.
struct ImageMap {
    double a, b, c;  // col_in = a col + b row + c
    double d, e, f;  // row_in = d col + e row + f
    float brightness;
    int down, right;      // of the crop
    int top, left, side;  // of the hole
    bool affine, flip_h, flip_v, bright, moves;
};

inline bool any_affine(const Augmentation& a) {
    return a.rotation != 0 || a.height_shift != 0 || a.width_shift != 0 || a.shear != 0 || a.zoom != 0;
}

class ImageDraws {
public:
    FER_DEVICE ImageDraws(const std::int64_t* clock, std::uint32_t stream, unsigned image) {
        const RandomStream random(static_cast<std::uint64_t>(clock[kSeedWord]),
                                  static_cast<std::uint64_t>(clock[kStepWord]), stream);
        for (unsigned i = 0; i < kDraws / 4; ++i) {
            words_[i] = random.words(image * (kDraws / 4) + i);
        }
    }
    FER_DEVICE float uniform(ImageDraw what) const { return uniform01(words_[what / 4].v[what % 4]); }
    FER_DEVICE float uniform(ImageDraw what, float low, float high) const {
        return __fadd_rn(low, __fmul_rn(high - low, uniform(what)));
    }
    FER_DEVICE double symmetric(ImageDraw what, float range) const {
        return static_cast<double>(uniform(what, -range, range));
    }
    /// A whole number in [0, count).
    FER_DEVICE int below(ImageDraw what, int count) const {
        return static_cast<int>(uniform(what) * static_cast<float>(count));
    }

private:
    Philox4 words_[kDraws / 4];
};

FER_DEVICE void set_affine(ImageMap& m, const Augmentation& a, const ImageDraws& draw, double h, double w) {
    constexpr double kPi = 3.141592653589793;
    const double theta = draw.symmetric(kTheta, a.rotation) * kPi / 180;
    const double phi = draw.symmetric(kShear, a.shear) * kPi / 180;
    const double tx = a.centred ? draw.symmetric(kTx, a.width_shift) * w : draw.symmetric(kTx, a.height_shift) * h;
    const double ty = a.centred ? draw.symmetric(kTy, a.height_shift) * h : draw.symmetric(kTy, a.width_shift) * w;
    const auto zx = static_cast<double>(draw.uniform(kZx, 1.0f - a.zoom, 1.0f + a.zoom));
    const auto zy = static_cast<double>(draw.uniform(kZy, 1.0f - a.zoom, 1.0f + a.zoom));
    const double cos_t = cos(theta), sin_t = sin(theta);
    const double sin_tp = sin(theta + phi), cos_tp = cos(theta + phi);
    const double col0 = a.centred ? w / 2 - 0.5 : h / 2 - 0.5;
    const double row0 = a.centred ? h / 2 - 0.5 : w / 2 - 0.5;
    m.a = cos_t * zx;
    m.b = -sin_tp * zy;
    m.d = sin_t * zx;
    m.e = cos_tp * zy;
    m.c = col0 + cos_t * tx - sin_t * ty - m.a * col0 - m.b * row0;
    m.f = row0 + sin_t * tx + cos_t * ty - m.d * col0 - m.e * row0;
}

/// By one thread, into shared memory.
FER_DEVICE void draw_map(ImageMap& m, const Augmentation& a, bool affine, const std::int64_t* clock, unsigned image,
                         int h, int w) {
    const ImageDraws draw(clock, a.stream, image);
    m.affine = affine;
    m.flip_h = a.horizontal_flip && draw.uniform(kFlipH) < 0.5f;
    m.flip_v = a.vertical_flip && draw.uniform(kFlipV) < 0.5f;
    m.bright = a.brightness_low != 1 || a.brightness_high != 1;
    m.brightness = draw.uniform(kBright, a.brightness_low, a.brightness_high);
    m.down = draw.below(kCropRow, 2 * a.crop + 1) - a.crop;
    m.right = draw.below(kCropCol, 2 * a.crop + 1) - a.crop;
    m.moves = affine || a.crop != 0;
    m.side = draw.uniform(kCut) < a.cutout_share ? a.cutout : 0;
    m.top = draw.below(kCutRow, h) - a.cutout / 2;
    m.left = draw.below(kCutCol, w) - a.cutout / 2;
    if (affine) {
        set_affine(m, a, draw, h, w);
    }
}

FER_DEVICE double reflected(double at, double size) {
    const double period = 2 * size;
    at = fmod(at + 0.5, period);
    at = at < 0 ? at + period : at;
    return (at < size ? at : period - at) - 0.5;
}

FER_DEVICE double clamped(double at, double last) { return at < 0 ? 0 : (at > last ? last : at); }

/// Bilinear at (row, col) of one channel of an image (h, w, c).
template <class In>
FER_DEVICE double sample(const In* image, int h, int w, int c, double row, double col, int channel,
                         const Augmentation& a) {
    const double last_row = h - 1, last_col = w - 1;
    if (a.fill == Fill::kConstant && (row < 0 || col < 0 || row > last_row || col > last_col)) {
        return static_cast<double>(a.fill_value);
    }
    if (a.fill == Fill::kReflect) {
        row = reflected(row, h);
        col = reflected(col, w);
    }
    row = clamped(row, last_row);
    col = clamped(col, last_col);
    const int r0 = static_cast<int>(row), c0 = static_cast<int>(col);
    const int r1 = r0 + 1 < h ? r0 + 1 : h - 1, c1 = c0 + 1 < w ? c0 + 1 : w - 1;
    const double fr = row - r0, fc = col - c0;
    const auto at = [=](int r, int q) { return static_cast<double>(to_float(image[(r * w + q) * c + channel])); };
    return (1 - fr) * ((1 - fc) * at(r0, c0) + fc * at(r0, c1)) + fr * ((1 - fc) * at(r1, c0) + fc * at(r1, c1));
}

/// The augmented value at (row, col, channel) of the output.
template <class In>
FER_DEVICE double augmented(const ImageMap& m, const Augmentation& a, const In* image, int h, int w, int c, int row,
                            int col, int channel) {
    const bool hole = row >= m.top && row < m.top + m.side && col >= m.left && col < m.left + m.side;
    row = (m.flip_v ? h - 1 - row : row) + m.down;
    col = (m.flip_h ? w - 1 - col : col) + m.right;
    double v;
    if (m.moves) {
        const double at_row = m.affine ? m.d * col + m.e * row + m.f : row;
        const double at_col = m.affine ? m.a * col + m.b * row + m.c : col;
        v = sample(image, h, w, c, at_row, at_col, channel, a);
    } else {
        v = static_cast<double>(to_float(image[(row * w + col) * c + channel]));
    }
    if (m.bright) {  // Keras truncates to bytes twice
        v = trunc(static_cast<double>(m.brightness * static_cast<float>(trunc(v))));
        v = v > 255.0 ? 255.0 : v;
    }
    return hole ? static_cast<double>(a.fill_value) : v;
}

/// What image_batch stores at (row, col) of an image made of the bytes `from`.
template <class Out>
FER_DEVICE Out batch_pixel(const ImageMap& m, const ImageBatch& a, const std::uint8_t* from, int row, int col) {
    const auto v = static_cast<float>(augmented(m, a.augmentation, from, a.h, a.w, 1, row, col, 0));
    return from_float<Out>(__fadd_rn(__fmul_rn(v, a.scale), a.offset));
}

}  // namespace fer::FER_PORT
