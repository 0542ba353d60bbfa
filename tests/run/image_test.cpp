// The data side of the step: affine map and sampling, flips, brightness, resizing, scaling, gathering.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "engine/run/cpu/reference/affine.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/op_runner.hpp"
#include "tests/support/threads.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

using cpu::Nhwc;
using cpu::reference::Affine;
using cpu::reference::affine_matrix;
using cpu::reference::AffineParameters;
using cpu::reference::sample;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<double> counting(std::size_t count) {
    std::vector<double> values(count);
    std::iota(values.begin(), values.end(), 0.0);
    return values;
}

std::vector<double> transform(const std::vector<double>& image, const Shape& shape, const AffineParameters& p,
                              bool centred, FillMode fill) {
    const Nhwc x(shape);
    const Affine m = affine_matrix(p, static_cast<double>(x.h), static_cast<double>(x.w), centred);
    std::vector<double> result;
    for (std::int64_t r = 0; r < x.h; ++r) {
        for (std::int64_t c = 0; c < x.w; ++c) {
            const auto row = static_cast<double>(r), col = static_cast<double>(c);
            result.push_back(
                sample(image.data(), x, m.d * col + m.e * row + m.f, m.a * col + m.b * row + m.c, 0, fill, 0));
        }
    }
    return result;
}

// The array that Keras 2.15 makes of arange(16), printed with six decimals.
TEST(Affine, MatchesKeras) {
    const AffineParameters p{.theta = 30, .tx = 0.5, .ty = -0.25, .shear = 10, .zx = 1.1, .zy = 0.9};
    const std::vector<double> want{1.496834, 3.346797, 6.097334,  8.297335,  2.37342,  5.526048, 8.678676,  11.055095,
                                   4.552671, 7.705299, 10.857926, 13.812855, 6.970614, 9.88455,  13.037178, 14.619191};
    const auto got = transform(counting(16), {1, 4, 4, 1}, p, false, FillMode::kNearest);
    // Keras resamples in float32: its last printed decimal may be off by one.
    Tolerance allowed = printed_decimals(6);
    allowed.relative = float_steps(2).relative;
    EXPECT_TRUE(close(got, want, allowed));
}

TEST(Affine, IdentityKeepsTheImage) {
    for (const bool centred : {false, true}) {
        const auto got = transform(counting(15), {1, 3, 5, 1}, {}, centred, FillMode::kConstant);
        EXPECT_EQ(got, counting(15));
    }
}

// Keras 2.15: tx, drawn from height_shift, moves columns; the centred convention names the axes as one would expect,
// and both agree on square images.
TEST(Affine, ShiftMovesColumnsByTx) {
    const auto got = transform(counting(9), {1, 3, 3, 1}, {.tx = 1}, false, FillMode::kNearest);
    EXPECT_THAT(got, ElementsAre(1, 2, 2, 4, 5, 5, 7, 8, 8));
    EXPECT_EQ(transform(counting(9), {1, 3, 3, 1}, {.tx = 1}, true, FillMode::kNearest), got);
}

TEST(Affine, CentredRotationOfAnOblongImageTurnsAboutItsMiddle) {
    const auto got = transform(counting(15), {1, 3, 5, 1}, {.theta = 180}, true, FillMode::kNearest);
    std::vector<double> reversed = counting(15);
    std::ranges::reverse(reversed);
    EXPECT_TRUE(close(got, reversed, double_steps(64, 16)));
}

TEST(Affine, FillModes) {
    const std::vector<double> line{1, 2, 3, 4, 5};
    const Nhwc x(Shape{1, 1, 5, 1});
    const auto values = [&](FillMode fill) {
        std::vector<double> list;
        for (const double at : {-1.5, -0.25, 4.5, 5.5}) {
            list.push_back(sample(line.data(), x, 0, at, 0, fill, 0));
        }
        return list;
    };
    EXPECT_THAT(values(FillMode::kNearest), ElementsAre(1, 1, 5, 5));
    EXPECT_THAT(values(FillMode::kReflect), ElementsAre(1.5, 1, 5, 4.5));
    EXPECT_THAT(values(FillMode::kConstant), ElementsAre(0, 0, 0, 0));
    EXPECT_EQ(sample(line.data(), x, 0, -7, 0, FillMode::kConstant, 9), 9);
    EXPECT_EQ(sample(line.data(), x, 0, 3.25, 0, FillMode::kConstant, 9), 4.25);
}

Tensor bytes(const Shape& shape, std::uint64_t seed) {
    Tensor t{shape, uniform(count_of(shape), seed, 0, 256), DType::kU8};
    for (double& v : t.values) {
        v = std::floor(v);
    }
    return t;
}

std::vector<double> augment(const Tensor& x, const AugmentAttrs& attrs, std::int64_t step = 0, std::int64_t seed = 1) {
    return run_reference(OpKind::kAugment, attrs, {x, clock_tensor(seed, step)}).out[0].values;
}

TEST(Augment, NothingOnIsTheImage) {
    const Tensor x = bytes({3, 5, 4, 1}, 1);
    EXPECT_EQ(augment(x, {}), x.values);
}

TEST(Augment, DependsOnSeedStepAndStreamOnly) {
    const Tensor x = bytes({4, 8, 8, 1}, 1);
    const AugmentAttrs attrs{.rotation = 20,
                             .height_shift = 0.1f,
                             .width_shift = 0.2f,
                             .shear = 0.1f,
                             .zoom = 0.1f,
                             .horizontal_flip = true,
                             .stream = 5};
    AugmentAttrs other = attrs;
    other.stream = 6;
    const auto once = augment(x, attrs, 3);
    EXPECT_EQ(augment(x, attrs, 3), once);
    EXPECT_NE(augment(x, attrs, 4), once);
    EXPECT_NE(augment(x, attrs, 3, 2), once);
    EXPECT_NE(augment(x, other, 3), once);
    const Threads two(2);
    EXPECT_EQ(augment(x, attrs, 3), once);
}

TEST(Augment, StaysWithinTheImagesRange) {
    const Tensor x = bytes({8, 9, 7, 1}, 2);
    const AugmentAttrs attrs{.rotation = 40, .height_shift = 0.3f, .width_shift = 0.3f, .shear = 20, .zoom = 0.4f};
    for (const double v : augment(x, attrs)) {
        EXPECT_TRUE(v >= 0 && v <= 255);
    }
}

/// For every image: 0 untouched, 1 mirrored columns, 2 mirrored rows, 3 both, -1 something else.
std::vector<int> flips(const Tensor& x, const std::vector<double>& y) {
    const Nhwc at(x.shape);
    std::vector<int> kinds;
    for (std::int64_t n = 0; n < at.n; ++n) {
        int kind = -1;
        for (int candidate = 3; candidate >= 0; --candidate) {
            bool same = true;
            for (std::int64_t r = 0; r < at.h; ++r) {
                for (std::int64_t c = 0; c < at.w; ++c) {
                    const std::int64_t from_r = (candidate & 2) != 0 ? at.h - 1 - r : r;
                    const std::int64_t from_c = (candidate & 1) != 0 ? at.w - 1 - c : c;
                    same = same && y[static_cast<std::size_t>(at(n, r, c))] ==
                                       x.values[static_cast<std::size_t>(at(n, from_r, from_c))];
                }
            }
            kind = same ? candidate : kind;
        }
        kinds.push_back(kind);
    }
    return kinds;
}

TEST(Augment, FlipsHalfOfTheImages) {
    constexpr std::int64_t kImages = 2000;
    const Tensor x = bytes({kImages, 3, 4, 1}, 3);
    const auto count = [](const std::vector<int>& list, int kind) {
        return static_cast<double>(std::ranges::count(list, kind));
    };
    const auto horizontal = flips(x, augment(x, {.horizontal_flip = true}));
    EXPECT_EQ(count(horizontal, 0) + count(horizontal, 1), kImages);
    EXPECT_TRUE(close(count(horizontal, 1) / kImages, 0.5, sampling(kImages, 0.5)));
    const auto both = flips(x, augment(x, {.horizontal_flip = true, .vertical_flip = true}));
    for (const int kind : {0, 1, 2, 3}) {
        EXPECT_TRUE(close(count(both, kind) / kImages, 0.25, sampling(kImages, std::sqrt(0.25 * 0.75)))) << kind;
    }
}

// Keras truncates to bytes before and behind the factor; 255 is the most.
TEST(Augment, BrightnessTruncates) {
    const Tensor x{{1, 1, 4, 1}, {0, 3, 100, 200}, DType::kU8};
    EXPECT_THAT(augment(x, {.brightness_low = 1.5f, .brightness_high = 1.5f}), ElementsAre(0, 4, 150, 255));
    const Tensor fractions{{1, 1, 2, 1}, {10.9, 254.9}};
    EXPECT_THAT(augment(fractions, {.brightness_low = 0.5f, .brightness_high = 0.5f}), ElementsAre(5, 127));
}

TEST(Resize, BilinearUsesHalfPixelCentres) {
    const Tensor x{{1, 1, 2, 1}, {0, 4}};
    const auto wide = run_reference(OpKind::kResize, ResizeAttrs{1, 4, true}, {x}).out[0].values;
    EXPECT_THAT(wide, ElementsAre(0, 1, 3, 4));
    const auto same = run_reference(OpKind::kResize, ResizeAttrs{1, 2, true}, {x}).out[0].values;
    EXPECT_THAT(same, ElementsAre(0, 4));
}

TEST(Resize, NearestTakesWholePixels) {
    const Tensor x{{1, 1, 3, 1}, {1, 2, 3}, DType::kU8};
    EXPECT_THAT(run_reference(OpKind::kResize, ResizeAttrs{1, 6, false}, {x}).out[0].values,
                ElementsAre(1, 1, 2, 2, 3, 3));
    EXPECT_THAT(run_reference(OpKind::kResize, ResizeAttrs{1, 2, false}, {x}).out[0].values, ElementsAre(1, 3));
}

TEST(Resize, KeepsChannelsAndImagesApart) {
    const Tensor x{{2, 1, 1, 2}, {1, 2, 3, 4}};
    EXPECT_THAT(run_reference(OpKind::kResize, ResizeAttrs{2, 1, true}, {x}).out[0].values,
                ElementsAre(1, 2, 1, 2, 3, 4, 3, 4));
}

TEST(Rescale, ScalesThenAddsTheChannelsOffset) {
    const Tensor x{{1, 1, 2, 3}, {0, 0, 0, 2, 4, 6}, DType::kU8};
    const RescaleAttrs attrs{.scale = 0.5f, .offset = {1, 0, -1}};
    EXPECT_THAT(run_reference(OpKind::kRescale, attrs, {x}).out[0].values, ElementsAre(1, 0, -1, 2, 2, 2));
}

TEST(Standardize, EachImageGetsMeanZeroAndDeviationOne) {
    const Tensor x = bytes({3, 6, 6, 1}, 4);
    const auto y = run_reference(OpKind::kStandardize, NoAttrs{}, {x}).out[0].values;
    for (std::size_t n = 0; n < 3; ++n) {
        double sum = 0, squares = 0;
        for (std::size_t i = 0; i < 36; ++i) {
            sum += y[36 * n + i];
            squares += y[36 * n + i] * y[36 * n + i];
        }
        EXPECT_TRUE(close(sum / 36, 0.0, float_steps(4)));
        EXPECT_TRUE(close(squares / 36, 1.0, float_steps(8)));
    }
    const Tensor flat = constant_tensor({1, 2, 2, 1}, 7);
    EXPECT_THAT(run_reference(OpKind::kStandardize, NoAttrs{}, {flat}).out[0].values, ElementsAre(0, 0, 0, 0));
}

TEST(GrayToRgb, RepeatsThePixel) {
    const Tensor x{{1, 1, 2, 1}, {3, 9}, DType::kU8};
    EXPECT_THAT(run_reference(OpKind::kGrayToRgb, NoAttrs{}, {x}).out[0].values, ElementsAre(3, 3, 3, 9, 9, 9));
}

TEST(Gather, TakesTheBatchAtTheCursor) {
    const Tensor images{{4, 1, 2}, {0, 1, 10, 11, 20, 21, 30, 31}, DType::kU8};
    const Tensor labels{{4}, {5, 6, 7, 8}, DType::kI32};
    const Tensor order{{4}, {2, 0, 3, 1}, DType::kI32};
    const auto take = [&](std::int64_t cursor) {
        return run_reference(OpKind::kGather, GatherAttrs{2}, {images, labels, order, clock_tensor(0, 0, cursor)});
    };
    EXPECT_THAT(take(1).out[0].values, ElementsAre(0, 1, 30, 31));
    EXPECT_THAT(take(1).out[1].values, ElementsAre(5, 8));
    EXPECT_THAT(take(2).out[1].values, ElementsAre(8, 6));
    EXPECT_THAT(error_of<InternalError>([&] { take(3); }), HasSubstr("batch at 3 runs past the 4 images"));
}

}  // namespace
}  // namespace fer::test
