// The data side of the step: batch gather, augmentation, resizing, scaling.
//
// The affine map takes output places to input places (KERAS.md A.3). With theta the rotation, phi the shear, (tx, ty)
// the shift in pixels, (zx, zy) the zoom, c, s = cos, sin(theta), S, C = sin, cos(theta + phi):
//     Keras 2.15:  u = col - oh, v = row - ow, oh = h/2 - 0.5, ow = w/2 - 0.5
//                  col_in = oh + c zx u - S zy v + c tx - s ty;   row_in = ow + s zx u + C zy v + s tx + c ty
//     centred:     u = col - ow, v = row - oh, tx along columns, ty along rows, otherwise the same
// In Keras 2.15 height_shift is tx, which moves columns: its long-standing behaviour, kept for parity.
#include <array>
#include <numbers>

#include "engine/core/random.hpp"
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

/// Draws of one image, by position in its stream.
enum Draw : std::uint64_t { kTheta, kTx, kTy, kShear, kZx, kZy, kFlipH, kFlipV, kBright, kDraws = 16 };

struct Affine {
    double a = 1, b = 0, c = 0;  // col_in = a col + b row + c
    double d = 0, e = 1, f = 0;  // row_in = d col + e row + f
};

Affine draw_affine(const AugmentAttrs& attrs, const RandomStream& random, std::uint64_t image, const Nhwc& x) {
    const auto symmetric = [&](Draw what, float range) {
        return static_cast<double>(random.uniform(image * kDraws + what, -range, range));
    };
    const auto zoom = [&](Draw what) {
        return static_cast<double>(random.uniform(image * kDraws + what, 1 - attrs.zoom, 1 + attrs.zoom));
    };
    const auto h = static_cast<double>(x.h);
    const auto w = static_cast<double>(x.w);
    const double theta = symmetric(kTheta, attrs.rotation) * std::numbers::pi / 180;
    const double phi = symmetric(kShear, attrs.shear) * std::numbers::pi / 180;
    const double tx = attrs.centred ? symmetric(kTx, attrs.width_shift) * w : symmetric(kTx, attrs.height_shift) * h;
    const double ty = attrs.centred ? symmetric(kTy, attrs.height_shift) * h : symmetric(kTy, attrs.width_shift) * w;
    const double zx = zoom(kZx);
    const double zy = zoom(kZy);
    const double cos_t = std::cos(theta), sin_t = std::sin(theta);
    const double sin_tp = std::sin(theta + phi), cos_tp = std::cos(theta + phi);
    const double col0 = attrs.centred ? w / 2 - 0.5 : h / 2 - 0.5;
    const double row0 = attrs.centred ? h / 2 - 0.5 : w / 2 - 0.5;
    Affine m{.a = cos_t * zx, .b = -sin_tp * zy, .d = sin_t * zx, .e = cos_tp * zy};
    m.c = col0 + cos_t * tx - sin_t * ty - m.a * col0 - m.b * row0;
    m.f = row0 + sin_t * tx + cos_t * ty - m.d * col0 - m.e * row0;
    return m;
}

/// Half-sample symmetric: d c b a | a b c d | d c b a
double reflect(double at, double size) {
    const double period = 2 * size;
    at = std::fmod(at + 0.5, period);
    at = at < 0 ? at + period : at;
    return (at < size ? at : period - at) - 0.5;
}

/// Bilinear, as scipy's order 1: coordinates first follow the fill mode, then clamp to the edge pixels' centres.
template <class In>
double sample(const In* image, const Nhwc& x, double row, double col, std::int64_t channel, const AugmentAttrs& attrs) {
    const auto last_row = static_cast<double>(x.h - 1);
    const auto last_col = static_cast<double>(x.w - 1);
    if (attrs.fill == FillMode::kConstant && (row < 0 || col < 0 || row > last_row || col > last_col)) {
        return static_cast<double>(attrs.fill_value);
    }
    if (attrs.fill == FillMode::kReflect) {
        row = reflect(row, static_cast<double>(x.h));
        col = reflect(col, static_cast<double>(x.w));
    }
    row = std::clamp(row, 0.0, last_row);
    col = std::clamp(col, 0.0, last_col);
    const auto r0 = static_cast<std::int64_t>(row);
    const auto c0 = static_cast<std::int64_t>(col);
    const std::int64_t r1 = std::min(r0 + 1, x.h - 1);
    const std::int64_t c1 = std::min(c0 + 1, x.w - 1);
    const double fr = row - static_cast<double>(r0);
    const double fc = col - static_cast<double>(c0);
    const auto at = [&](std::int64_t r, std::int64_t c) { return static_cast<double>(image[x(0, r, c, channel)]); };
    return (1 - fr) * ((1 - fc) * at(r0, c0) + fc * at(r0, c1)) + fr * ((1 - fc) * at(r1, c0) + fc * at(r1, c1));
}

template <class In, class Out>
void augment_image(const AugmentAttrs& attrs, const RandomStream& random, std::int64_t n, const Nhwc& x, const In* in,
                   Out* out) {
    const auto image = static_cast<std::uint64_t>(n);
    const In* source = in + x(n, 0, 0);
    const Affine m = draw_affine(attrs, random, image, x);
    const bool flip_h = attrs.horizontal_flip && random.uniform(image * kDraws + kFlipH) < 0.5f;
    const bool flip_v = attrs.vertical_flip && random.uniform(image * kDraws + kFlipV) < 0.5f;
    const bool bright = attrs.brightness_low != 1 || attrs.brightness_high != 1;
    const float factor = random.uniform(image * kDraws + kBright, attrs.brightness_low, attrs.brightness_high);
    for (std::int64_t row = 0; row < x.h; ++row) {
        for (std::int64_t col = 0; col < x.w; ++col) {
            const auto from_row = static_cast<double>(flip_v ? x.h - 1 - row : row);
            const auto from_col = static_cast<double>(flip_h ? x.w - 1 - col : col);
            for (std::int64_t c = 0; c < x.c; ++c) {
                double v = attrs.any_affine()
                               ? sample(source, x, m.d * from_col + m.e * from_row + m.f,
                                        m.a * from_col + m.b * from_row + m.c, c, attrs)
                               : static_cast<double>(source[x(0, static_cast<std::int64_t>(from_row),
                                                              static_cast<std::int64_t>(from_col), c)]);
                if (bright) {  // Keras truncates to bytes twice
                    v = std::min(255.0, std::trunc(static_cast<double>(factor * static_cast<float>(std::trunc(v)))));
                }
                out[x(n, row, col, c)] = static_cast<Out>(v);
            }
        }
    }
}

/// Calls run(In{}) with the type of the input: bytes or the float type itself.
template <class T, class Run>
void by_input(const OpDesc& op, Run run) {
    if (op.in[0].dtype == DType::kU8) {
        run(std::uint8_t{});
    } else {
        run(T{});
    }
}

}  // namespace

Kernel gather(const OpDesc& desc) {
    return [op = desc](const Operands& t) {
        const std::int64_t pixels = op.in[0].shape[1] * op.in[0].shape[2];
        const std::int64_t batch = op.out[0].shape[0];
        const std::int64_t cursor = t.input<std::int64_t>(3)[kClockCursor];
        FER_ASSERT(cursor >= 0 && cursor + batch <= op.in[2].shape[0], "{}: batch at {} runs past the {} images", op.name,
                   cursor, op.in[2].shape[0]);
        for (std::int64_t i = 0; i < batch; ++i) {
            const std::int32_t image = t.input<std::int32_t>(2)[cursor + i];
            std::copy_n(t.input<std::uint8_t>(0) + image * pixels, pixels, t.output<std::uint8_t>(0) + i * pixels);
            t.output<std::int32_t>(1)[i] = t.input<std::int32_t>(1)[image];
        }
    };
}

Kernel augment(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<AugmentAttrs>();
        const Nhwc x(op.in[0].shape);
        const auto* clock = t.input<std::int64_t>(1);
        const RandomStream random(static_cast<std::uint64_t>(clock[kClockSeed]),
                                  static_cast<std::uint64_t>(clock[kClockStep]), attrs.stream);
        by_input<T>(op, [&]<class In>(In) {
            parallel(x.n, [&](std::int64_t n) {
                augment_image(attrs, random, n, x, t.input<In>(0), t.output<T>(0));
            });
        });
    });
}

Kernel rescale(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<RescaleAttrs>();
        const std::int64_t channels = op.in[0].shape.back();
        by_input<T>(op, [&]<class In>(In) {
            parallel_ranges(op.in[0].shape.count(), [&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t i = begin; i < end; ++i) {
                    t.output<T>(0)[i] = static_cast<T>(t.input<In>(0)[i]) * static_cast<T>(attrs.scale) +
                                        static_cast<T>(attrs.offset[static_cast<std::size_t>(i % channels)]);
                }
            });
        });
    });
}

// Per image: (x - mean) / (std + 1e-6), population standard deviation, as samplewise_center and _std_normalization.
Kernel standardize(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const std::int64_t count = op.in[0].shape[0] == 0 ? 0 : op.in[0].shape.count() / op.in[0].shape[0];
        by_input<T>(op, [&]<class In>(In) {
            parallel(op.in[0].shape[0], [&](std::int64_t n) {
                const In* x = t.input<In>(0) + n * count;
                double sum = 0;
                for (std::int64_t i = 0; i < count; ++i) {
                    sum += static_cast<double>(x[i]);
                }
                const double mean = sum / static_cast<double>(count);
                double squares = 0;
                for (std::int64_t i = 0; i < count; ++i) {
                    squares += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
                }
                const double deviation = std::sqrt(squares / static_cast<double>(count)) + 1e-6;
                for (std::int64_t i = 0; i < count; ++i) {
                    t.output<T>(0)[n * count + i] = static_cast<T>((static_cast<double>(x[i]) - mean) / deviation);
                }
            });
        });
    });
}

// Half-pixel centres: in = (out + 0.5) * size_in / size_out - 0.5. Bilinear clamps at the edges and is not antialiased;
// nearest takes floor((out + 0.5) * size_in / size_out).
Kernel resize(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const bool bilinear = op.as<ResizeAttrs>().bilinear;
        const Nhwc x(op.in[0].shape);
        const Nhwc y(op.out[0].shape);
        const double scale_h = static_cast<double>(x.h) / static_cast<double>(y.h);
        const double scale_w = static_cast<double>(x.w) / static_cast<double>(y.w);
        by_input<T>(op, [&]<class In>(In) {
            parallel(y.n * y.h, [&](std::int64_t line) {
                const double centre_h = (static_cast<double>(line % y.h) + 0.5) * scale_h;
                for (std::int64_t i = 0; i < y.w * y.c; ++i) {
                    const In* image = t.input<In>(0) + x(line / y.h, 0, 0);
                    const double centre_w = (static_cast<double>(i / y.c) + 0.5) * scale_w;
                    const double v = bilinear
                                         ? sample(image, x, centre_h - 0.5, centre_w - 0.5, i % y.c, AugmentAttrs{})
                                         : static_cast<double>(image[x(0, static_cast<std::int64_t>(centre_h),
                                                                       static_cast<std::int64_t>(centre_w), i % y.c)]);
                    t.output<T>(0)[line * y.w * y.c + i] = static_cast<T>(v);
                }
            });
        });
    });
}

Kernel gray_to_rgb(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        by_input<T>(op, [&]<class In>(In) {
            parallel_ranges(op.in[0].shape.count(), [&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t i = 3 * begin; i < 3 * end; ++i) {
                    t.output<In>(0)[i] = t.input<In>(0)[i / 3];
                }
            });
        });
    });
}

}  // namespace fer::cpu::reference
