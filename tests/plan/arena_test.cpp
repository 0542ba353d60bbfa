// The arena's invariants as properties over random lifetimes.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/core/random.hpp"
#include "engine/plan/arena.hpp"

namespace fer::test {
namespace {

std::vector<Lifetime> random_lifetimes(std::uint64_t seed, int count) {
    const RandomStream random(seed, 0, stream_of("lifetimes"));
    std::uint64_t drawn = 0;
    const auto pick = [&](int choices) {
        return static_cast<int>(random.word(drawn++) % static_cast<std::uint32_t>(choices));
    };
    std::vector<Lifetime> lifetimes;
    for (int i = 0; i < count; ++i) {
        const int first = pick(count);
        const int length = pick(4) == 0 ? pick(count) : pick(6);  // most die young, some live long
        lifetimes.push_back({first, std::min(first + length, count), std::int64_t{1 + pick(1 << (4 + pick(14)))}});
    }
    return lifetimes;
}

bool same_time(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }

constexpr std::uint64_t kSeeds = 50;

void expect_apart(const std::vector<Lifetime>& lifetimes, std::int64_t gap) {
    const ArenaPlan plan = plan_arena(lifetimes, gap);
    for (std::size_t i = 0; i < lifetimes.size(); ++i) {
        EXPECT_EQ(plan.offsets[i] % kArenaAlignment, 0);
        EXPECT_LE(plan.offsets[i] + lifetimes[i].bytes + gap, plan.bytes);
        for (std::size_t j = 0; j < i; ++j) {
            const bool apart = plan.offsets[i] + lifetimes[i].bytes + gap <= plan.offsets[j] ||
                               plan.offsets[j] + lifetimes[j].bytes + gap <= plan.offsets[i];
            ASSERT_TRUE(apart || !same_time(lifetimes[i], lifetimes[j])) << i << " and " << j << ", gap " << gap;
        }
    }
}

TEST(Arena, LiveBuffersNeverShareBytes) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        for (const std::int64_t gap : {0, 64, 300}) {
            expect_apart(random_lifetimes(seed, 80), gap);
        }
    }
}

TEST(Arena, WastesLittle) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const ArenaPlan plan = plan_arena(random_lifetimes(seed, 80));
        EXPECT_GE(plan.bytes, plan.busiest_bytes) << "seed " << seed;
        EXPECT_LE(static_cast<double>(plan.bytes), 1.35 * static_cast<double>(plan.busiest_bytes)) << "seed " << seed;
    }
}

TEST(Arena, IsDeterministic) {
    const auto lifetimes = random_lifetimes(1, 80);
    EXPECT_EQ(plan_arena(lifetimes).offsets, plan_arena(lifetimes).offsets);
}

TEST(Arena, NothingNeedsNothing) {
    const ArenaPlan plan = plan_arena({});
    EXPECT_EQ(plan.bytes, 0);
    EXPECT_EQ(plan.busiest_bytes, 0);
}

TEST(Arena, OneAfterTheOtherShareOnePlace) {
    const std::vector<Lifetime> chain{{0, 1, 1000}, {2, 3, 1000}, {4, 5, 900}};
    const ArenaPlan plan = plan_arena(chain);
    EXPECT_EQ(plan.offsets, (std::vector<std::int64_t>{0, 0, 0}));
    EXPECT_EQ(plan.bytes, 1024);
}

TEST(Arena, ATouchingStepIsSharedTime) {
    const std::vector<Lifetime> touching{{0, 2, 256}, {2, 3, 256}};
    const ArenaPlan plan = plan_arena(touching);
    EXPECT_NE(plan.offsets[0], plan.offsets[1]);
    EXPECT_EQ(plan.bytes, 512);
}

TEST(Arena, BusiestStepIsTheLargestSum) {
    const std::vector<Lifetime> lifetimes{{0, 3, 256}, {1, 2, 512}, {2, 4, 256}, {4, 5, 768}};
    EXPECT_EQ(plan_arena(lifetimes).busiest_bytes, 1024);
}

}  // namespace
}  // namespace fer::test
