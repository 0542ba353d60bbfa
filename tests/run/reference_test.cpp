// What the reference does where formulas leave room: NaN, infinities, ties, edges, keys of random numbers, counters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/op_runner.hpp"
#include "tests/support/shapes.hpp"
#include "tests/support/threads.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsNan;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<double> run1(OpKind kind, const Attributes& attrs, const std::vector<Tensor>& in,
                         const std::vector<Tensor>& state = {}) {
    return run_reference(kind, attrs, in, state).out[0].values;
}

TEST(NanSemantics, ActivationsKeepNan) {
    const Tensor x{{5}, {kNan, -1, 3, 7, -kInf}};
    EXPECT_THAT(run1(OpKind::kRelu, NoAttrs{}, {x}), ElementsAre(IsNan(), 0, 3, 7, 0));
    EXPECT_THAT(run1(OpKind::kRelu6, NoAttrs{}, {x}), ElementsAre(IsNan(), 0, 3, 6, 0));
}

TEST(NanSemantics, FusedActivationsKeepNan) {
    const Tensor x{{1, 1, 1, 1}, {kNan}}, w = constant_tensor({1, 1, 1, 1}, 1);
    const Tensor v{{1, 1}, {kNan}}, m = constant_tensor({1, 1}, 1);
    for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kRelu6}) {
        EXPECT_THAT(run1(OpKind::kConv2d, ConvAttrs{.activation = a}, {x, w}), ElementsAre(IsNan()));
        EXPECT_THAT(run1(OpKind::kDense, DenseAttrs{a}, {v, m}), ElementsAre(IsNan()));
    }
}

TEST(NanSemantics, ActivationGradientsStopAtTheKinks) {
    const Tensor y{{5}, {0, 3, 6, kNan, 2}}, dy{{5}, {1, 1, 1, 1, kNan}};
    EXPECT_THAT(run1(OpKind::kReluGrad, NoAttrs{}, {dy, y}), ElementsAre(0, 1, 1, 0, IsNan()));
    EXPECT_THAT(run1(OpKind::kRelu6Grad, NoAttrs{}, {dy, y}), ElementsAre(0, 1, 0, 0, IsNan()));
}

TEST(NanSemantics, MaxPoolLetsNanWin) {
    const Tensor x{{1, 2, 4, 1}, {1, kNan, 5, 5, 2, 3, 5, kInf}};
    const OpResult y = run_reference(OpKind::kMaxPool, PoolAttrs{}, {x});
    EXPECT_THAT(y.out[0].values, ElementsAre(IsNan(), kInf));
    EXPECT_THAT(y.out[1].values, ElementsAre(1, 3));
    const Tensor first_of_two{{1, 2, 2, 1}, {1, kNan, kNan, 9}};
    EXPECT_THAT(run_reference(OpKind::kMaxPool, PoolAttrs{}, {first_of_two}).out[1].values, ElementsAre(1));
}

TEST(NanSemantics, SoftmaxOfNanIsNan) {
    EXPECT_THAT(run1(OpKind::kSoftmax, NoAttrs{}, {{{1, 3}, {1, kNan, 2}}}), Each(IsNan()));
}

TEST(NanSemantics, BatchNormSpoilsOnlyTheChannel) {
    const Tensor x{{3, 2}, {kNan, 1, 2, 2, 3, 3}}, gamma = constant_tensor({2}, 1), beta = constant_tensor({2}, 0);
    const OpResult y = run_reference(OpKind::kBatchNorm, BatchNormAttrs{}, {x, gamma, beta}, {beta, gamma});
    for (const std::size_t i : {0u, 2u, 4u}) {
        EXPECT_THAT(y.out[0].values[i], IsNan());
        EXPECT_TRUE(std::isfinite(y.out[0].values[i + 1]));
    }
    EXPECT_THAT(y.state[0].values[0], IsNan());
    EXPECT_TRUE(std::isfinite(y.state[0].values[1]));
}

TEST(Softmax, LargeLogitsDoNotOverflow) {
    const auto p = run1(OpKind::kSoftmax, NoAttrs{}, {{{2, 3}, {1e30, -1e30, 0, 1000, 1000, 0}}});
    EXPECT_THAT(p, ElementsAre(1, 0, 0, 0.5, 0.5, 0));
    EXPECT_THAT(run1(OpKind::kSoftmax, NoAttrs{}, {{{1, 3}, {0, -kInf, 0}}}), ElementsAre(0.5, 0, 0.5));
    EXPECT_THAT(run1(OpKind::kSoftmax, NoAttrs{}, {{{1, 2}, {-kInf, -kInf}}}), Each(IsNan()));
}

OpResult xent(const Tensor& logits, const std::vector<double>& labels, const std::vector<double>& weights,
              float smoothing = 0) {
    return run_reference(OpKind::kSoftmaxXent, XentAttrs{smoothing},
                         {logits, {{logits.shape[0]}, labels, DType::kI32}, {{logits.shape[1]}, weights}});
}

TEST(SoftmaxXent, AnImpossibleClassCostsInfinityOnlyWhenItIsTheLabel) {
    const Tensor logits{{1, 3}, {0, -kInf, 0}};
    EXPECT_TRUE(close(xent(logits, {0}, {1, 1, 1}).out[0].values[0], std::log(2.0), float_steps(2)));
    EXPECT_EQ(xent(logits, {1}, {1, 1, 1}).out[0].values[0], kInf);
}

TEST(SoftmaxXent, DividesByImagesNotByWeights) {
    const Tensor logits = constant_tensor({2, 4}, 0);
    const auto loss = [&](const std::vector<double>& weights) {
        return xent(logits, {0, 1}, weights).out[0].values[0];
    };
    EXPECT_TRUE(close(loss({1, 1, 1, 1}), std::log(4.0), float_steps(2)));
    EXPECT_TRUE(close(loss({4, 2, 1, 1}), 3 * std::log(4.0), float_steps(2)));
}

TEST(SoftmaxXent, HitsCountTheLowestIndexOfEquals) {
    const Tensor logits{{4, 3}, {1, 1, 0, 1, 1, 0, 0, 2, 2, 0, 2, 2}};
    EXPECT_THAT(xent(logits, {0, 1, 1, 2}, {1, 1, 1}).out[2].values, ElementsAre(1, 0, 1, 0));
}

TEST(MaxPool, TheFirstOfEqualsWins) {
    const Tensor x = constant_tensor({1, 2, 2, 1}, 3);
    const OpResult y = run_reference(OpKind::kMaxPool, PoolAttrs{}, {x});
    EXPECT_THAT(y.out[1].values, ElementsAre(0));
}

// Size 5 leaves the last row and column out of valid windows: they get no gradient. Overlapping windows add up.
TEST(MaxPool, GradientsGoToTheWinners) {
    const Tensor dy = constant_tensor({1, 2, 2, 1}, 1), places = constant_tensor({1, 2, 2, 1}, 3).as_type(DType::kU8);
    const PoolAttrs attrs{.input = {1, 5, 5, 1}};
    EXPECT_THAT(run1(OpKind::kMaxPoolGrad, attrs, {dy, places}),
                ElementsAre(0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0));
    const Tensor corner{{1, 2, 2, 1}, {3, 2, 1, 0}, DType::kU8};  // all four windows chose the middle
    EXPECT_THAT(run1(OpKind::kMaxPoolGrad, PoolAttrs{2, 1, Padding::kValid, {1, 3, 3, 1}}, {dy, corner}),
                ElementsAre(0, 0, 0, 0, 4, 0, 0, 0, 0));
}

TEST(MaxPool, PaddingNeverWins) {
    const Tensor x = constant_tensor({1, 3, 3, 1}, -5);
    EXPECT_THAT(run1(OpKind::kMaxPool, PoolAttrs{2, 2, Padding::kSame, {}}, {x}), Each(-5));
}

TEST(AvgPool, PaddingIsNotCounted) {
    const Tensor x = constant_tensor({1, 3, 3, 1}, 6);
    EXPECT_THAT(run1(OpKind::kAvgPool, PoolAttrs{2, 2, Padding::kSame, {}}, {x}), Each(6));
}

TEST(ZeroPad, PadsEachSideAndCropUndoesIt) {
    const Tensor x{{1, 1, 2, 1}, {5, 6}};
    const PadAttrs pad{.top = 1, .bottom = 0, .left = 2, .right = 1};
    const OpResult y = run_reference(OpKind::kZeroPad, pad, {x});
    EXPECT_THAT(y.out[0].values, ElementsAre(0, 0, 0, 0, 0, 0, 0, 5, 6, 0));
    EXPECT_EQ(run1(OpKind::kCrop, pad, {y.out[0]}), x.values);
}

std::vector<double> dropped(std::int64_t count, float rate, std::uint32_t stream, std::int64_t step,
                            std::int64_t seed) {
    return run1(OpKind::kDropout, DropoutAttrs{rate, stream}, {constant_tensor({count}, 1), clock_tensor(seed, step)});
}

TEST(Dropout, KeepsTheShareItShouldAtTheScaleItShould) {
    constexpr std::int64_t kCount = 100000;
    for (const float rate : {0.1f, 0.25f, 0.5f, 0.9f}) {
        const auto y = dropped(kCount, rate, 1, 0, 42);
        const auto zeros = static_cast<double>(std::ranges::count(y, 0.0));
        const auto r = static_cast<double>(rate);
        EXPECT_TRUE(close(zeros / kCount, r, sampling(kCount, std::sqrt(r * (1 - r)))));
        const auto scale = static_cast<double>(1.0f / (1.0f - rate));
        EXPECT_EQ(static_cast<double>(std::ranges::count(y, scale)) + zeros, kCount);
    }
    EXPECT_THAT(dropped(1000, 0, 1, 0, 42), Each(1));
}

TEST(Dropout, MasksAreKeyedBySeedStepAndStream) {
    const auto once = dropped(5000, 0.5f, 1, 7, 42);
    EXPECT_EQ(dropped(5000, 0.5f, 1, 7, 42), once) << "the gradient repeats the mask";
    EXPECT_NE(dropped(5000, 0.5f, 1, 8, 42), once);
    EXPECT_NE(dropped(5000, 0.5f, 2, 7, 42), once);
    EXPECT_NE(dropped(5000, 0.5f, 1, 7, 43), once);
    const auto shorter = dropped(4999, 0.5f, 1, 7, 42);
    EXPECT_TRUE(std::equal(shorter.begin(), shorter.end(), once.begin())) << "an element's number is its own";
}

TEST(Dropout, MaskIsTheStreamsNumbers) {
    const RandomStream random(42, 7, 1);
    const auto y = dropped(9000, 0.25f, 1, 7, 42);  // more than two ranges of the parallel loop
    for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(y[i] != 0, random.uniform(i) >= 0.25f) << i;
    }
}

TEST(BatchNorm, MovingVarianceIsUnbiasedForImagesOnly) {
    const BatchNormAttrs attrs{.momentum = 0.5};
    const Tensor one = constant_tensor({1}, 1), zero = constant_tensor({1}, 0);
    const Tensor image{{2, 1, 1, 1}, {1, 3}}, vector{{2, 1}, {1, 3}}, single{{1, 1, 1, 1}, {5}};
    const auto moved = [&](const Tensor& x) {
        return run_reference(OpKind::kBatchNorm, attrs, {x, one, zero}, {zero, one}).state[1].values[0];
    };
    EXPECT_EQ(moved(image), 0.5 + 0.5 * 2);
    EXPECT_EQ(moved(vector), 0.5 + 0.5 * 1);
    EXPECT_EQ(moved(single), 0.5) << "one value has no unbiased variance: the biased one, 0";
}

TEST(Metrics, AddUpOverSteps) {
    const Tensor hits{{3}, {1, 0, 1}, DType::kU8}, before{{kMetricFields}, {10, 1, 4, 0}, DType::kF64};
    const auto after = [&](double loss) {
        return run_reference(OpKind::kMetrics, NoAttrs{}, {{Shape{}, {loss}}, hits}, {before}).state[0].values;
    };
    EXPECT_THAT(after(2), ElementsAre(16, 3, 7, 0));
    EXPECT_EQ(after(kNan)[kMetricNonFinite], 1);
    EXPECT_EQ(after(kInf)[kMetricNonFinite], 1);
}

TEST(Advance, MovesStepAndCursorOnly) {
    EXPECT_THAT(run_reference(OpKind::kAdvance, GatherAttrs{64}, {}, {clock_tensor(9, 4, 128)}).state[0].values,
                ElementsAre(9, 5, 192, 0));
}

TEST(Cast, Converts) {
    const Tensor x{{3}, {0, 7, 255}, DType::kU8};
    EXPECT_THAT(run1(OpKind::kCast, CastAttrs{DType::kF64}, {x}), ElementsAre(0, 7, 255));
    EXPECT_THROW(run1(OpKind::kCast, CastAttrs{DType::kF16}, {x}), UsageError);
}

// The same bits on one thread and on several: no result depends on how a loop was cut.
TEST(ThreadCount, DoesNotChangeResults) {
    const Tensor big = random_tensor({3, 48, 48, 32}, 1), c = random_tensor({32}, 2, 0.5, 1.5);
    const Tensor kernel = random_tensor({3, 3, 32, 4}, 3);
    const auto all = [&](int threads) {
        const Threads set(threads);
        return std::vector{run1(OpKind::kL2Penalty, ScalarAttrs{0.01f}, {big}),
                           run1(OpKind::kBatchNorm, BatchNormAttrs{}, {big, c, c}, {c, c}),
                           run1(OpKind::kDropout, DropoutAttrs{0.5f, 3}, {big, clock_tensor(1, 2)}),
                           run1(OpKind::kConv2d, ConvAttrs{.stride = 2}, {big, kernel}),
                           run1(OpKind::kBiasGrad, NoAttrs{}, {big}),
                           run1(OpKind::kGlobalAvgPool, NoAttrs{}, {big})};
    };
    EXPECT_EQ(all(1), all(3));
}

/// What an optimizer that changes nothing leaves as the 16-bit copy of `w`.
std::vector<std::uint16_t> shadow_of(std::vector<float> w, DType dtype) {
    const Shape shape{static_cast<std::int64_t>(w.size())};
    const OpDesc op{OpKind::kSgd, "sgd",
                    SgdAttrs{},   {{Shape{}, DType::kF32}, {{kClockFields}, DType::kI64}, {shape, DType::kF32}},
                    {},           {{shape, DType::kF32}, {shape, dtype}}};
    float rate = 0;
    std::int64_t clock[kClockFields] = {};
    std::vector<float> gradient(w.size());
    std::vector<std::uint16_t> shadow(w.size());
    void* in[] = {&rate, clock, gradient.data()};
    void* state[] = {w.data(), shadow.data()};
    cpu_implementation(OpKind::kSgd, "reference").make(op)({in, {}, state});
    return shadow;
}

// Nearest, ties to even, at the ends of the ranges and where a mantissa runs over into the exponent.
TEST(Shadows, RoundAsTheTypesDo) {
    const auto inf = static_cast<float>(kInf);
    EXPECT_THAT(
        shadow_of({1, -2, 0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, 0x1.ffp0f, inf, 3.4e38f, 0x1p-133f}, DType::kBF16),
        ElementsAre(0x3f80, 0xc000, 0x3f80, 0x3f82, 0x3f81, 0x4000, 0x7f80, 0x7f80, 0x0001));
    EXPECT_THAT(shadow_of({1, -2, 0x1.002p0f, 0x1.006p0f, 0x1.00201p0f, 0x1.ffep0f, 65504, 65519, 65520, -inf, 0x1p-24f,
                           0x1p-25f, 0x1.8p-25f, 0x1p-14f, 0x1.ff8p-15f, -0.0f},
                          DType::kF16),
                ElementsAre(0x3c00, 0xc000, 0x3c00, 0x3c02, 0x3c01, 0x4000, 0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x0001, 0,
                            0x0001, 0x0400, 0x03ff, 0x8000));
    for (const DType dtype : {DType::kBF16, DType::kF16}) {
        const std::uint16_t bits = shadow_of({std::numeric_limits<float>::quiet_NaN()}, dtype)[0];
        const int exponent = dtype == DType::kBF16 ? 0x7f80 : 0x7c00;
        EXPECT_TRUE((bits & exponent) == exponent && (bits & 0x7fff) > exponent) << bits;
    }
}

}  // namespace
}  // namespace fer::test
