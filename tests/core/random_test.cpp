// Philox against its authors' known answers, and what is built on it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "engine/core/random.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;

std::vector<std::uint32_t> words(const Philox4& p) { return {p.v[0], p.v[1], p.v[2], p.v[3]}; }

// philox4x32 10 of kat_vectors in the Random123 distribution.
TEST(Philox, KnownAnswers) {
    EXPECT_THAT(words(philox({{0, 0, 0, 0}}, 0)), ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
    const std::uint32_t ones = 0xffffffffu;
    EXPECT_THAT(words(philox({{ones, ones, ones, ones}}, 0xffffffffffffffffu)),
                ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
    EXPECT_THAT(words(philox({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0x299f31d0a4093822u)),
                ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(Philox, CounterIsBlockStreamAndStep) {
    const std::uint64_t seed = 0x0123456789abcdefu;
    const std::uint64_t step = 0x1122334455667788u;
    const auto lanes = random_words<std::uint64_t>(seed, step, 9, 5);
    EXPECT_THAT(words(random_words(seed, step, 9, 5)), ElementsAre(lanes.v[0], lanes.v[1], lanes.v[2], lanes.v[3]));
    EXPECT_EQ(words(random_words(seed, step, 9, 5)), words(philox({{5, 9, 0x55667788u, 0x11223344u}}, seed)));
}

TEST(RandomStream, ElementsAreTheWordsOfTheirBlock) {
    const RandomStream random(3, 4, 5);
    for (std::uint32_t block : {0u, 1u, 1000u}) {
        for (std::uint64_t k = 0; k < 4; ++k) {
            EXPECT_EQ(random.word(4 * std::uint64_t{block} + k), random.words(block).v[k]);
        }
    }
}

TEST(RandomStream, EverythingInTheKeyMatters) {
    std::set<std::uint32_t> values;
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
        for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
            for (const std::uint32_t stream : {0u, 1u}) {
                values.insert(RandomStream(seed, step, stream).word(0));
            }
        }
    }
    EXPECT_EQ(values.size(), 18u);
}

TEST(Uniform, IsExactInFloat32AndBelowOne) {
    EXPECT_EQ(uniform01(0), 0.0f);
    EXPECT_EQ(uniform01(0xffffffffu), 1.0f - 0x1p-24f);
    EXPECT_EQ(uniform01(0x80000000u), 0.5f);
}

TEST(Uniform, MeanAndVarianceAreRight) {
    constexpr int kCount = 100000;
    const RandomStream random(1, 0, 0);
    double sum = 0, squares = 0;
    for (std::uint64_t i = 0; i < kCount; ++i) {
        const auto u = static_cast<double>(random.uniform(i, -1, 1));
        sum += u;
        squares += u * u;
    }
    EXPECT_TRUE(close(sum / kCount, 0.0, sampling(kCount, std::sqrt(1.0 / 3))));
    EXPECT_TRUE(close(squares / kCount, 1.0 / 3, sampling(kCount, std::sqrt(1.0 / 5 - 1.0 / 9))));
}

// Moments of the standard normal: 0, 1, 0, 3; each is a mean of a power whose own variance is 1, 2, 15, 96.
TEST(Normal, MomentsAreRight) {
    constexpr int kCount = 100000;
    const RandomStream random(11, 0, 0);
    double sums[4] = {};
    for (std::uint64_t i = 0; i < kCount; ++i) {
        const double z = normal(random, i);
        ASSERT_TRUE(std::isfinite(z));
        double power = 1;
        for (double& sum : sums) {
            sum += power *= z;
        }
    }
    const double want[] = {0, 1, 0, 3}, variance[] = {1, 2, 15, 96};
    for (int k = 0; k < 4; ++k) {
        EXPECT_TRUE(close(sums[k] / kCount, want[k], sampling(kCount, std::sqrt(variance[k])))) << k + 1;
    }
}

std::vector<std::int32_t> shuffled(std::size_t count, std::uint64_t seed) {
    std::vector<std::int32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    shuffle(order, RandomStream(seed, 0, stream_of("order")));
    return order;
}

TEST(Shuffle, IsADeterministicPermutation) {
    for (const std::size_t count : {0u, 1u, 2u, 17u, 28709u}) {
        std::vector<std::int32_t> order = shuffled(count, 42);
        EXPECT_EQ(order, shuffled(count, 42));
        std::ranges::sort(order);
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(order[i], static_cast<std::int32_t>(i));
        }
    }
    EXPECT_NE(shuffled(17, 42), shuffled(17, 43));
}

TEST(Shuffle, EveryOrderIsEquallyLikely) {
    constexpr int kRounds = 12000;
    std::map<std::vector<std::int32_t>, int> counts;
    for (std::uint64_t seed = 0; seed < kRounds; ++seed) {
        ++counts[shuffled(3, seed)];
    }
    EXPECT_EQ(counts.size(), 6u);
    for (const auto& [order, count] : counts) {
        EXPECT_TRUE(close(static_cast<double>(count) / kRounds, 1.0 / 6, sampling(kRounds, std::sqrt(5.0 / 36))));
    }
}

// FNV-1a, as its authors' test suite has it.
TEST(StreamOf, IsFnv1a) {
    EXPECT_EQ(stream_of(""), 0x811c9dc5u);
    EXPECT_EQ(stream_of("a"), 0xe40c292cu);
    EXPECT_EQ(stream_of("foobar"), 0xbf9cf968u);
}

}  // namespace
}  // namespace fer::test
