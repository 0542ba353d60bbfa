// The learning rate's schedules against PyTorch 2.15's OneCycleLR and Keras 2.15's CosineDecay; draws of Beta.
#include "engine/core/schedule.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "engine/core/beta.hpp"

namespace fer {
namespace {

struct Point {
    std::int64_t update;
    double factor;
};

// torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=50, pct_start=0.3, div_factor=25, final_div_factor=1e4)
TEST(Schedule, OneCycleIsThatOfPyTorch) {
    const Schedule s{ScheduleKind::kOneCycle, 50, 0.3, 1 / 25.0, 1 / 25.0 / 1e4};
    for (const Point p : {Point{0, 0.040000000000000036},
                          {1, 0.05203460215272471},
                          {7, 0.52},
                          {13, 0.9879653978472753},
                          {14, 1.0},
                          {15, 0.9979871550490316},
                          {30, 0.5671183644422961},
                          {48, 0.0020168449509684566},
                          {49, 4e-06},
                          {50, 4e-06},
                          {500, 4e-06}}) {
        EXPECT_NEAR(schedule_factor(s, p.update), p.factor, 1e-14) << p.update;
    }
}

// keras.optimizers.schedules.CosineDecay(0.1, 40, alpha=0.01, warmup_target=1, warmup_steps=10), which takes its
// constants through float32.
TEST(Schedule, CosineIsThatOfKeras) {
    const Schedule s{ScheduleKind::kCosine, 50, 0.2, 0.1, 0.01};
    for (const Point p : {Point{0, 0.10000000149011612},
                          {1, 0.1899999976158142},
                          {5, 0.550000011920929},
                          {9, 0.9099999666213989},
                          {10, 1.0},
                          {11, 0.9984740614891052},
                          {30, 0.5049999952316284},
                          {49, 0.011525902897119522},
                          {50, 0.009999999776482582},
                          {60, 0.009999999776482582}}) {
        EXPECT_NEAR(schedule_factor(s, p.update), p.factor, 1e-7) << p.update;
    }
}

TEST(Schedule, WithoutWarmUpItBeginsAtTheTop) {
    for (const ScheduleKind kind : {ScheduleKind::kCosine, ScheduleKind::kOneCycle}) {
        const Schedule s{kind, 20, 0, 0.1, 0};
        EXPECT_EQ(schedule_factor(s, 0), 1);
        EXPECT_LT(schedule_factor(s, 19), 0.01);
    }
    EXPECT_EQ(schedule_factor(Schedule{}, 12345), 1);
    EXPECT_EQ(schedule_factor({ScheduleKind::kOneCycle, 1, 0.5, 0.1, 0}, 0), 0) << "a training of one update";
}

// Mean 1/2 and variance 1 / (4 (2 alpha + 1)), each within four standard errors of 20,000 draws.
TEST(Beta, HasItsMoments) {
    constexpr int kCount = 20000;
    for (const double alpha : {0.1, 0.2, 0.4, 1.0}) {
        double sum = 0, squares = 0;
        for (int i = 0; i < kCount; ++i) {
            const double x = symmetric_beta(RandomStream(1, 2, 3), static_cast<std::uint32_t>(i), alpha);
            ASSERT_TRUE(x >= 0 && x <= 1) << x;
            sum += x;
            squares += (x - 0.5) * (x - 0.5);
        }
        const double variance = 1 / (4 * (2 * alpha + 1));
        EXPECT_NEAR(sum / kCount, 0.5, 4 * std::sqrt(variance / kCount)) << alpha;
        // (x - 1/2)^2 lies in [0, 1/4]: its variance is at most v (1/4 - v).
        EXPECT_NEAR(squares / kCount, variance, 4 * std::sqrt(variance * (0.25 - variance) / kCount)) << alpha;
    }
}

TEST(Beta, DependsOnItsElementOnly) {
    const RandomStream random(1, 2, 3);
    EXPECT_EQ(symmetric_beta(random, 7, 0.3), symmetric_beta(random, 7, 0.3));
    EXPECT_NE(symmetric_beta(random, 7, 0.3), symmetric_beta(random, 8, 0.3));
    EXPECT_NE(symmetric_beta(random, 7, 0.3), symmetric_beta(RandomStream(1, 3, 3), 7, 0.3));
}

}  // namespace
}  // namespace fer
