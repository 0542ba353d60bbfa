// The data side of the step: batch gather, augmentation (its map: affine.hpp), resizing, scaling.
// In Keras 2.15 height_shift is tx, which moves columns: its long-standing behaviour, kept for parity.
#include "engine/core/beta.hpp"
#include "engine/core/image_draws.hpp"
#include "engine/core/random.hpp"
#include "engine/graph/image_conv.hpp"
#include "engine/run/cpu/reference/affine.hpp"
#include "engine/run/cpu/reference/kernels.hpp"
#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {
namespace {

Affine draw_affine(const AugmentAttrs& attrs, const RandomStream& random, std::uint64_t image, const Nhwc& x) {
    const auto symmetric = [&](ImageDraw what, float range) {
        return static_cast<double>(random.uniform(image * kDraws + what, -range, range));
    };
    const auto zoom = [&](ImageDraw what) {
        return static_cast<double>(random.uniform(image * kDraws + what, 1 - attrs.zoom, 1 + attrs.zoom));
    };
    const auto h = static_cast<double>(x.h);
    const auto w = static_cast<double>(x.w);
    const AffineParameters p{
        .theta = symmetric(kTheta, attrs.rotation),
        .tx = attrs.centred ? symmetric(kTx, attrs.width_shift) * w : symmetric(kTx, attrs.height_shift) * h,
        .ty = attrs.centred ? symmetric(kTy, attrs.height_shift) * h : symmetric(kTy, attrs.width_shift) * w,
        .shear = symmetric(kShear, attrs.shear),
        .zx = zoom(kZx),
        .zy = zoom(kZy)};
    return affine_matrix(p, h, w, attrs.centred);
}

/// A whole number in [0, count), from one draw.
std::int64_t below(float uniform, std::int64_t count) {
    return static_cast<std::int64_t>(uniform * static_cast<float>(count));
}

/// Rows and columns of an image that a square covers.
struct Hole {
    std::int64_t top = 0, left = 0, side = 0;
    bool covers(std::int64_t row, std::int64_t col) const {
        return row >= top && row < top + side && col >= left && col < left + side;
    }
};

/// Its centre is any pixel, so that it may lie partly outside.
Hole draw_hole(const AugmentAttrs& attrs, const RandomStream& random, std::uint64_t image, const Nhwc& x) {
    if (attrs.cutout == 0 || random.uniform(image * kDraws + kCut) >= attrs.cutout_share) {
        return {};
    }
    return {below(random.uniform(image * kDraws + kCutRow), x.h) - attrs.cutout / 2,
            below(random.uniform(image * kDraws + kCutCol), x.w) - attrs.cutout / 2, attrs.cutout};
}

/// Image n of the batch x, from `source` to `out`.
template <class In, class Out>
void augment_image(const AugmentAttrs& attrs, const RandomStream& random, std::int64_t n, const Nhwc& x,
                   const In* source, Out* out) {
    const auto image = static_cast<std::uint64_t>(n);
    const Affine m = draw_affine(attrs, random, image, x);
    const bool flip_h = attrs.horizontal_flip && random.uniform(image * kDraws + kFlipH) < 0.5f;
    const bool flip_v = attrs.vertical_flip && random.uniform(image * kDraws + kFlipV) < 0.5f;
    const bool bright = attrs.brightness_low != 1 || attrs.brightness_high != 1;
    const float factor = random.uniform(image * kDraws + kBright, attrs.brightness_low, attrs.brightness_high);
    const std::int64_t down = below(random.uniform(image * kDraws + kCropRow), 2 * attrs.crop + 1) - attrs.crop;
    const std::int64_t right = below(random.uniform(image * kDraws + kCropCol), 2 * attrs.crop + 1) - attrs.crop;
    const Hole hole = draw_hole(attrs, random, image, x);
    for (std::int64_t row = 0; row < x.h; ++row) {
        for (std::int64_t col = 0; col < x.w; ++col) {
            const auto from_row = static_cast<double>((flip_v ? x.h - 1 - row : row) + down);
            const auto from_col = static_cast<double>((flip_h ? x.w - 1 - col : col) + right);
            const bool moves = attrs.any_affine();
            const double at_row = moves ? m.d * from_col + m.e * from_row + m.f : from_row;
            const double at_col = moves ? m.a * from_col + m.b * from_row + m.c : from_col;
            for (std::int64_t c = 0; c < x.c; ++c) {
                double v = sample(source, x, at_row, at_col, c, attrs.fill, static_cast<double>(attrs.fill_value));
                if (bright) {  // Keras truncates to bytes twice
                    v = std::min(255.0, std::trunc(static_cast<double>(factor * static_cast<float>(std::trunc(v)))));
                }
                v = hole.covers(row, col) ? static_cast<double>(attrs.fill_value) : v;
                out[x(0, row, col, c)] = static_cast<Out>(v);
            }
        }
    }
}

RandomStream stream_at(const std::int64_t* clock, const AugmentAttrs& attrs) {
    return {static_cast<std::uint64_t>(clock[kClockSeed]), static_cast<std::uint64_t>(clock[kClockStep]), attrs.stream};
}

/// body(i, bytes of image i of the batch), and its label to output 1.
template <class Body>
void for_batch(const OpDesc& op, const Operands& t, Body body) {
    const std::int64_t pixels = op.in[0].shape[1] * op.in[0].shape[2];
    const std::int64_t batch = op.out[0].shape[0];
    const std::int64_t cursor = t.input<std::int64_t>(3)[kClockCursor];
    FER_ASSERT(cursor >= 0 && cursor + batch <= op.in[2].shape[0], "{}: batch at {} runs past the {} images", op.name,
               cursor, op.in[2].shape[0]);
    for (std::int64_t i = 0; i < batch; ++i) {
        const std::int32_t image = t.input<std::int32_t>(2)[cursor + i];
        body(i, t.input<std::uint8_t>(0) + image * pixels);
        t.output<std::int32_t>(1)[i] = t.input<std::int32_t>(1)[image];
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
        for_batch(op, t, [&](std::int64_t i, const std::uint8_t* image) {
            std::copy_n(image, pixels, t.output<std::uint8_t>(0) + i * pixels);
        });
    };
}

Kernel image_batch(const OpDesc& desc) {
    const DType to = desc.as<ImageBatchAttrs>().to;
    FER_CHECK(!is_16_bit(to), "the CPU stores images as f32 or f64, not {}", name_of(to));
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<ImageBatchAttrs>();
        const Nhwc y(op.out[0].shape);
        const RandomStream random = stream_at(t.input<std::int64_t>(3), attrs.augment);
        for_batch(op, t, [&](std::int64_t i, const std::uint8_t* image) {
            T* out = t.output<T>(0) + y(i, 0, 0);
            augment_image(attrs.augment, random, i, y, image, out);
            for (std::int64_t k = 0; k < y(1, 0, 0); ++k) {
                out[k] = out[k] * static_cast<T>(attrs.rescale.scale) + static_cast<T>(attrs.rescale.offset[0]);
            }
        });
    });
}

Kernel image_conv(const OpDesc& desc) {
    return [images = image_batch(image_batch_of(desc)), convolution = conv2d(conv2d_of(desc))](const Operands& t) {
        images({.in = t.in.first(4), .out = t.out.first(2), .state = {}});
        std::vector<void*> in{t.out[0]};
        in.insert(in.end(), t.in.begin() + 4, t.in.end());
        convolution({.in = in, .out = t.out.subspan(2), .state = t.state});
    };
}

Kernel augment(const OpDesc& desc) {
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<AugmentAttrs>();
        const Nhwc x(op.in[0].shape);
        const RandomStream random = stream_at(t.input<std::int64_t>(1), attrs);
        by_input<T>(op, [&]<class In>(In) {
            parallel(x.n, [&](std::int64_t n) {
                augment_image(attrs, random, n, x, t.input<In>(0) + x(n, 0, 0), t.output<T>(0) + x(n, 0, 0));
            });
        });
    });
}

Kernel mixup(const OpDesc& desc) {
    return [op = desc](const Operands& t) {
        const auto& attrs = op.as<MixupAttrs>();
        const auto* clock = t.input<std::int64_t>(2);
        const bool mixes = attrs.until < 0 || clock[kClockStep] < attrs.until;
        const RandomStream random(static_cast<std::uint64_t>(clock[kClockSeed]),
                                  static_cast<std::uint64_t>(clock[kClockStep]), attrs.stream);
        const std::int64_t batch = op.in[0].shape[0];
        const std::int64_t pixels = batch == 0 ? 0 : op.in[0].shape.count() / batch;
        parallel(batch, [&](std::int64_t i) {
            const std::int64_t other = batch - 1 - i;
            const double draw =
                mixes ? symmetric_beta(random, static_cast<std::uint32_t>(i), static_cast<double>(attrs.alpha)) : 1.0;
            const auto share = static_cast<float>(std::max(draw, 1 - draw));
            const float* x = t.input<float>(0);
            for (std::int64_t k = 0; k < pixels; ++k) {
                t.output<float>(0)[i * pixels + k] = share * x[i * pixels + k] + (1 - share) * x[other * pixels + k];
            }
            t.output<std::int32_t>(1)[i] = t.input<std::int32_t>(1)[other];
            t.output<float>(2)[i] = share;
        });
    };
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
    FER_CHECK(!is_16_bit(desc.out[0].dtype), "the CPU resizes to f32 or f64, not {}", name_of(desc.out[0].dtype));
    return typed(desc, []<class T>(T, const OpDesc& op, const Operands& t) {
        const auto& attrs = op.as<ResizeAttrs>();
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
                    const std::int64_t from = attrs.gray_to_rgb ? 0 : i % y.c;
                    const double v = attrs.bilinear
                                         ? sample(image, x, centre_h - 0.5, centre_w - 0.5, from, FillMode::kNearest, 0)
                                         : static_cast<double>(image[x(0, static_cast<std::int64_t>(centre_h),
                                                                       static_cast<std::int64_t>(centre_w), from)]);
                    const float offset = y.c > 3 ? 0 : attrs.rescale.offset[static_cast<std::size_t>(i % y.c)];
                    t.output<T>(0)[line * y.w * y.c + i] =
                        static_cast<T>(v) * static_cast<T>(attrs.rescale.scale) + static_cast<T>(offset);
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
