// Names for messages: nearest words, numbers, shapes, types, faults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/core/dtype.hpp"
#include "engine/core/shape.hpp"
#include "engine/core/text.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

TEST(EditDistance, CountsChanges) {
    EXPECT_EQ(edit_distance("", ""), 0u);
    EXPECT_EQ(edit_distance("", "abc"), 3u);
    EXPECT_EQ(edit_distance("abc", ""), 3u);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
    EXPECT_EQ(edit_distance("conv2d", "conv2d"), 0u);
    EXPECT_EQ(edit_distance("abc", "acb"), 2u);
}

TEST(Nearest, OnlyASlipOfTheHand) {
    const std::vector<std::string> words{"custom_cnn", "simpler_cnn", "gap_cnn"};
    EXPECT_EQ(nearest("custom_cn", words), "custom_cnn");
    EXPECT_EQ(nearest("gapcnn", words), "gap_cnn");
    EXPECT_EQ(nearest("resnet", words), "");
    EXPECT_EQ(nearest("", words), "");
    EXPECT_EQ(nearest("x", std::vector<std::string>{}), "");
}

TEST(Thousands, Separates) {
    EXPECT_EQ(thousands(0), "0");
    EXPECT_EQ(thousands(999), "999");
    EXPECT_EQ(thousands(1000), "1,000");
    EXPECT_EQ(thousands(17046535), "17,046,535");
    EXPECT_EQ(thousands(-123), "-123");
    EXPECT_EQ(thousands(-1234567), "-1,234,567");
}

TEST(ShapeText, LooksLikeATuple) {
    EXPECT_EQ(Shape{}.str(), "()");
    EXPECT_EQ(Shape{7}.str(), "(7,)");
    EXPECT_EQ((Shape{64, 48, 48, 1}.str()), "(64, 48, 48, 1)");
}

TEST(ShapeCount, IsTheProduct) {
    EXPECT_EQ(Shape{}.count(), 1);
    EXPECT_EQ((Shape{3, 0, 5}.count()), 0);
    EXPECT_EQ((Shape{2, 3, 4, 5}.count()), 120);
    EXPECT_EQ((Shape{2, 3}.back()), 3);
    EXPECT_EQ((Shape{2, 3}.rank()), 2);
}

TEST(ShapeEquality, ComparesRankAndExtents) {
    EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
    EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
    EXPECT_NE((Shape{2}), (Shape{2, 0}));
    EXPECT_NE(Shape{}, (Shape{1}));
}

TEST(ShapeLimit, HasAtMostFourAxes) {
    EXPECT_THAT(error_of<UsageError>([] { Shape({1, 2, 3, 4, 5}); }), HasSubstr("at most 4 axes"));
}

TEST(DTypes, SizesAndNames) {
    EXPECT_EQ(size_of(DType::kF64), 8u);
    EXPECT_EQ(size_of(DType::kF16), 2u);
    EXPECT_EQ(size_of(DType::kU8), 1u);
    EXPECT_EQ(name_of(DType::kBF16), "bf16");
    EXPECT_EQ(DTypeOf<std::int64_t>::value, DType::kI64);
}

TEST(Errors, CarryCauseReasonAndAdvice) {
    try {
        throw DataError("a.jpg: not an image").because("it starts with '<html'").try_this("download it again");
    } catch (const Error& error) {
        EXPECT_EQ(static_cast<int>(error.fault()), 3);
        EXPECT_STREQ(error.what(), "a.jpg: not an image");
        EXPECT_EQ(error.why(), "it starts with '<html'");
        EXPECT_EQ(error.hint(), "download it again");
    }
    const int rate = 2;
    EXPECT_THAT(error_of<UsageError>([&] { FER_CHECK(rate < 1, "rate must be below 1, got {}", rate); }),
                HasSubstr("got 2"));
    EXPECT_THAT(error_of<InternalError>([&] { FER_ASSERT(rate < 1, "rate {}", rate); }), HasSubstr("rate 2"));
}

// The measure the other tests rely on.
TEST(Tolerance, NanAlwaysFailsAndTheWorstElementIsNamed) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double inf = std::numeric_limits<double>::infinity();
    const std::vector<double> want{1, 2, 3};
    EXPECT_TRUE(close(want, want, exact()));
    EXPECT_FALSE(close(std::vector<double>{1, 2, nan}, want, {inf, 0}));
    EXPECT_FALSE(close(want, std::vector<double>{1, nan, 3}, {1, 1}));
    EXPECT_FALSE(close(std::vector<double>{1, 2}, want, {1, 1}));
    EXPECT_TRUE(close(std::vector<double>{inf}, std::vector<double>{inf}, exact()));
    EXPECT_FALSE(close(std::vector<double>{-inf}, std::vector<double>{inf}, exact()));
    EXPECT_STREQ(close(std::vector<double>{1, 2.5, nan}, want, {0.1, 0}).message(),
                 "2 of 3 elements off; worst [2] got nan want 3 (allowed 0.1)");
    EXPECT_TRUE(
        std::isnan(nmse(std::span<const double>(std::vector<double>{nan}), std::span<const double>(want).first(1))));
}

}  // namespace
}  // namespace fer::test
