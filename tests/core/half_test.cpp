#include "engine/core/half.hpp"

#include <gtest/gtest.h>

namespace fer {
namespace {

TEST(Half, EveryValueComesBack) {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const auto half = static_cast<std::uint16_t>(bits);
        if (std::isnan(from_f16(half))) {
            EXPECT_TRUE(std::isnan(from_f16(to_f16(from_f16(half)))));
        } else {
            ASSERT_EQ(to_f16(from_f16(half)), half);
        }
        if (std::isnan(from_bf16(half))) {
            EXPECT_TRUE(std::isnan(from_bf16(to_bf16(from_bf16(half)))));
        } else {
            ASSERT_EQ(to_bf16(from_bf16(half)), half);
        }
    }
}

/// Between two neighbours the nearer one is taken, and in the middle the even one.
template <class To, class From>
void check_between(To to, From from, std::uint16_t last) {
    for (std::uint16_t half = 0; half < last; ++half) {
        const double low = from(half);
        const double high = from(static_cast<std::uint16_t>(half + 1));
        const auto at = [&](double part) { return static_cast<float>(low + part * (high - low)); };
        ASSERT_EQ(to(at(0.25)), half);
        ASSERT_EQ(to(at(0.75)), half + 1);
        ASSERT_EQ(to(at(0.5)), half % 2 == 0 ? half : half + 1) << half;
        ASSERT_EQ(to(-at(0.75)), (half + 1) | 0x8000);
    }
}

TEST(Half, RoundsToNearestEven) {
    check_between(to_f16, from_f16, 0x7bff);
    check_between(to_bf16, from_bf16, 0x7f7f);
}

TEST(Half, OverflowsToInfinity) {
    EXPECT_EQ(to_f16(65519.996f), 0x7bff);
    EXPECT_EQ(to_f16(65520), 0x7c00);
    EXPECT_EQ(to_f16(-INFINITY), 0xfc00);
    EXPECT_EQ(to_bf16(3.4e38f), 0x7f80);
    EXPECT_EQ(to_bf16(INFINITY), 0x7f80);
}

}  // namespace
}  // namespace fer
