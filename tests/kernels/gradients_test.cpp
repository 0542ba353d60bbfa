// Accumulation and clipping of gradients, and the scheduled learning rate.
#include "kernels/gradients.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

constexpr std::int64_t kCounts[] = {1, 5, 31, 256, 257, 16384, 16385, 40000};

test::Tensor floats(const DeviceArray<float>& array) {
    return {{static_cast<std::int64_t>(array.size())}, array.inputs(), DType::kF32};
}

TEST(ScheduledRateKernel, FollowsTheScheduleOfTheUpdates) {
    for (const fer::Schedule& schedule : {fer::Schedule{}, fer::Schedule{ScheduleKind::kCosine, 100, 0.2, 0.1, 0.01},
                                          fer::Schedule{ScheduleKind::kCosine, 10, 0, 1, 0},
                                          fer::Schedule{ScheduleKind::kOneCycle, 100, 0.3, 0.04, 0.001}}) {
        for (const std::int64_t step : {0, 1, 15, 20, 29, 30, 60, 98, 99, 100, 5000}) {
            SCOPED_TRACE(fmt::format("kind {} step {}", static_cast<int>(schedule.kind), step));
            const DeviceArray<float> rate(std::vector<double>{0.1}), y(1);
            const std::int64_t held = step > 50 ? 3 : 0;
            const auto clock = DeviceArray<std::int64_t>::of({1, step, 2, held});
            scheduled_rate({rate.get(), clock.get(), y.get(), schedule}, nullptr);
            const auto want = test::run_reference(
                OpKind::kSchedule, schedule,
                {{Shape{}, rate.inputs(), DType::kF32}, {{kClockFields}, clock.inputs(), DType::kI64}});
#if defined(FER_EMULATED)
            EXPECT_TRUE(exactly(y.read(), want.out[0].values));
#else
            EXPECT_TRUE(test::close(y.doubles(), want.out[0].values, test::float_steps(1, 0.1)));
#endif
            EXPECT_FLOAT_EQ(y.read()[0], static_cast<float>(static_cast<double>(stored<float>(0.1)) *
                                                            schedule_factor(schedule, step - held)));
        }
    }
}

TEST(AccumulateKernel, EqualsTheCpuBitForBit) {
    for (const std::int64_t count : kCounts) {
        for (const bool take : {false, true}) {
            SCOPED_TRACE(fmt::format("{} {}", count, take));
            const auto size = static_cast<std::size_t>(count);
            const DeviceArray<float> grads(test::uniform(size, 1)), sums(test::uniform(size, 2, -99, 99));
            const DeviceArray<float> images(std::vector<double>{37});
            const auto clock = DeviceArray<std::int64_t>::of({1, 9, 2, 4});
            const auto want = test::run_reference(OpKind::kAccumulate, AccumulateAttrs{11, take}, {},
                                                  {floats(grads),
                                                   floats(sums),
                                                   {Shape{}, images.inputs(), DType::kF32},
                                                   {{kClockFields}, clock.inputs(), DType::kI64}});
            accumulate({grads.get(), sums.get(), count, images.get(), 11, take}, nullptr);
            images.expect_unchanged();
            accumulated({images.get(), clock.get(), 11, take}, nullptr);
            EXPECT_TRUE(exactly(grads.read(), want.state[0].values));
            EXPECT_TRUE(exactly(sums.read(), want.state[1].values));
            EXPECT_TRUE(exactly(images.read(), want.state[2].values));
            EXPECT_EQ(images.doubles()[0], take ? 0 : 48);
            EXPECT_EQ(clock.doubles(), (std::vector<double>{1, 9, 2, take ? 4.0 : 5.0}));
        }
    }
}

struct Clip {
    float norm, value;
};

/// By the kernels: the sums, then the clipping.
std::vector<float> clipped(const std::vector<double>& values, const Clip& how, const LossScale* scale = nullptr) {
    const auto count = static_cast<std::int64_t>(values.size());
    const DeviceArray<float> grads(values);
    const DeviceArray<char> workspace(gradient_squares_workspace(count));
    auto* sums = reinterpret_cast<double*>(workspace.get());
    gradient_squares({grads.get(), count, sums}, nullptr);
    grads.expect_unchanged();
    clip_gradients({grads.get(), count, sums, as_int(static_cast<std::int64_t>(workspace.size() / sizeof(double))),
                    how.norm, how.value, scale},
                   nullptr);
    return grads.read();
}

std::vector<double> wanted(const std::vector<double>& values, const Clip& how) {
    const DeviceArray<float> grads(values);
    return test::run_reference(OpKind::kClipGradients, ClipAttrs{how.norm, how.value}, {}, {floats(grads)})
        .state[0]
        .values;
}

// Sums of squares are double on both sides and are rounded to float32 once: another order does not show.
TEST(ClipKernel, EqualsTheCpu) {
    for (const std::int64_t count : kCounts) {
        const std::vector<double> values = test::uniform(static_cast<std::size_t>(count), 1, -2, 2);
        for (const Clip how : {Clip{0.5f, 0}, Clip{1e6f, 0}, Clip{0, 0.25f}, Clip{0, 9}}) {
            SCOPED_TRACE(fmt::format("{} norm {} value {}", count, how.norm, how.value));
            EXPECT_TRUE(test::close(clipped(values, how), wanted(values, how), test::float_steps(1, 2)));
        }
    }
}

TEST(ClipKernel, ANormAtTheLimitStaysAsItIs) {
    EXPECT_EQ(clipped({3, 4}, {5, 0}), (std::vector<float>{3, 4}));
    EXPECT_EQ(clipped({3, 4}, {2.5f, 0}), (std::vector<float>{1.5f, 2}));
    EXPECT_EQ(clipped({-3, 4, 1}, {0, 2}), (std::vector<float>{-2, 2, 1}));
}

TEST(ClipKernel, GradientsThatAreScaledStaySo) {
    const DeviceArray<LossScale> scale = DeviceArray<LossScale>::of({{.scale = 1024}});
    EXPECT_EQ(clipped({3 * 1024.0, 4 * 1024.0}, {2.5f, 0}, scale.get()), (std::vector<float>{1536, 2048}));
    EXPECT_EQ(clipped({-3 * 1024.0, 512}, {0, 2}, scale.get()), (std::vector<float>{-2048, 512}));
}

// What is not finite must not look well behind the clipping.
TEST(ClipKernel, WhatIsNotFiniteStaysSo) {
    for (const double bad : {std::nan(""), HUGE_VAL}) {
        for (const float g : clipped({bad, 1}, {1, 0})) {
            EXPECT_TRUE(std::isnan(g));
        }
    }
    EXPECT_TRUE(std::isnan(clipped({std::nan(""), 1}, {0, 1})[0]));
    EXPECT_EQ(clipped({HUGE_VAL, 1}, {0, 1})[0], 1);
}

TEST(ClipKernel, SameBitsUnderEverySchedule) {
    const std::vector<double> values = test::uniform(33000, 1);
    expect_same_bits_always([&] { return clipped(values, {0.5f, 0}); });
}

TEST(ClipKernel, RefusesBothLimitsAndNone) {
    EXPECT_THROW(clipped({1}, {1, 1}), UsageError);
    EXPECT_THROW(clipped({1}, {0, 0}), UsageError);
}

}  // namespace
}  // namespace fer::FER_PORT
