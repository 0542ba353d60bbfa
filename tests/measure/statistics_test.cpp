#include "engine/measure/statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/tolerance.hpp"

namespace fer {
namespace {

using test::close;
using ::testing::HasSubstr;

nlohmann::json golden() {
    return nlohmann::json::parse(read_file(FER_SOURCE_DIR "/tests/golden/statistics.json"))["cases"];
}

std::vector<double> times(const nlohmann::json& list) { return list.get<std::vector<double>>(); }

TEST(Statistics, PercentilesAreTrtexecs) {
    for (const auto& c : golden()) {
        for (const auto& [p, want] : c["percentiles"].get<std::vector<std::pair<double, double>>>()) {
            EXPECT_EQ(percentile(times(c["a"]), p), want) << c["name"] << " p" << p;
        }
    }
    // An hundred times 1..100: index n - 1 - floor(0.1 n) = 89.
    std::vector<double> hundred(100);
    for (std::size_t i = 0; i < hundred.size(); ++i) {
        hundred[i] = static_cast<double>(i + 1);
    }
    EXPECT_EQ(percentile(hundred, 90), 90);
    EXPECT_EQ(percentile(hundred, 100), 100);
    EXPECT_EQ(percentile(hundred, 0), 1);
}

TEST(Statistics, MediansAndQuartilesAreNumpys) {
    for (const auto& c : golden()) {
        EXPECT_TRUE(close(median(times(c["a"])), c["median"].get<double>(), test::double_sum(4))) << c["name"];
        EXPECT_TRUE(close(relative_iqr(times(c["a"])), c["relative_iqr"].get<double>(), test::double_sum(8)))
            << c["name"];
    }
}

TEST(Statistics, MannWhitneyIsSciPys) {
    for (const auto& c : golden()) {
        EXPECT_TRUE(close(mann_whitney(times(c["a"]), times(c["b"])), c["p"].get<double>(), test::double_sum(1000)))
            << c["name"];
        EXPECT_EQ(mann_whitney(times(c["a"]), times(c["b"])), mann_whitney(times(c["b"]), times(c["a"]))) << c["name"];
    }
    const std::vector<double> same(9, 2.0);
    EXPECT_EQ(mann_whitney(same, same), 1);
}

// Another generator draws other samples: the ends may differ by what SciPy's own differ by from run to run, doubled.
TEST(Statistics, BootstrapIntervalsAreSciPys) {
    for (const auto& c : golden()) {
        const Interval got = ratio_interval(times(c["a"]), times(c["b"]));
        const auto want = times(c["interval"]);
        const auto spread = times(c["interval_spread"]);
        EXPECT_TRUE(close(got.low, want[0], {2 * spread[0], test::double_sum(8).absolute})) << c["name"];
        EXPECT_TRUE(close(got.high, want[1], {2 * spread[1], test::double_sum(8).absolute})) << c["name"];
    }
}

TEST(Statistics, TheIntervalOfOneTimeEachIsTheirRatio) {
    const Interval one = ratio_interval(std::vector{3.0}, std::vector{2.0});
    EXPECT_EQ(one.low, 1.5);
    EXPECT_EQ(one.high, 1.5);
    EXPECT_EQ(relative_iqr(std::vector{7.0}), 0);
}

TEST(Statistics, RefuseNothing) {
    const std::vector<double> none;
    const std::vector<double> one{1.0};
    EXPECT_THAT(test::error_of<UsageError>([&] { static_cast<void>(percentile(none, 50)); }), HasSubstr("no times"));
    EXPECT_THAT(test::error_of<UsageError>([&] { static_cast<void>(median(none)); }), HasSubstr("no times"));
    EXPECT_THAT(test::error_of<UsageError>([&] { static_cast<void>(ratio_interval(one, none)); }),
                HasSubstr("no times"));
    EXPECT_THAT(test::error_of<UsageError>([&] { static_cast<void>(mann_whitney(none, one)); }), HasSubstr("no times"));
    EXPECT_THAT(test::error_of<UsageError>([&] { static_cast<void>(percentile(one, 101)); }),
                HasSubstr("between 0 and 100, got 101"));
}

}  // namespace
}  // namespace fer
