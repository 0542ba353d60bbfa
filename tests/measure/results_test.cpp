#include "engine/measure/results.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/file.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer {
namespace {

using test::error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json row(const std::string& name, double ms) {
    return {{"name", name},      {"run_name", name},    {"run_type", "iteration"},      {"time_unit", "ms"},
            {"real_time", ms},   {"cpu_time", 2 * ms},  {"items_per_second", 1e3 / ms}, {"iterations", 10},
            {"device", "a CPU"}, {"framework", "fer 0"}};
}

class Results : public ::testing::Test {
protected:
    std::filesystem::path file(const std::string& text) const {
        write_file(folder_ / "results.json", text);
        return folder_ / "results.json";
    }
    Json with(const Json& rows) const {
        Json all = new_results({{"commit", "0123abc"}});
        all["benchmarks"] = rows;
        return all;
    }
    std::string refusal(const Json& all) const {
        return error_of<DataError>([&] { read_results(file(all.dump())); });
    }

    const test::TemporaryFolder folder_;
};

TEST_F(Results, RowsOfOneNameAreASeries) {
    Json all = with({row("a", 1), row("b", 5), row("a", 2), row("a", 4)});
    all["benchmarks"].push_back(row("a", 100));
    all["benchmarks"].back()["run_type"] = "aggregate";
    const Json back = read_results(file(results_text(all)));
    EXPECT_EQ(back, all) << "a line a row is still the same JSON";
    const std::vector<Series> series = series_of(back, "real_time");
    ASSERT_EQ(series.size(), 2u);
    EXPECT_EQ(series[0].name, "a");
    EXPECT_THAT(series[0].values, ElementsAre(1, 2, 4));
    EXPECT_EQ(series[1].device, "a CPU");
    EXPECT_THAT(series_of(back, "cpu_time")[1].values, ElementsAre(10));
    EXPECT_EQ(back["context"]["fer"]["commit"], "0123abc");
    EXPECT_THAT(error_of<UsageError>([&] { series_of(back, "reel_time"); }), HasSubstr("did you mean 'real_time'?"));
}

TEST_F(Results, OtherFilesAreRefusedByWhatTheyAre) {
    EXPECT_THAT(error_of<DataError>([&] { read_results(folder_ / "none.json"); }), HasSubstr("none.json"));
    EXPECT_THAT(error_of<DataError>([&] { read_results(file("images/s")); }), HasSubstr("it is not JSON"));
    EXPECT_THAT(error_of<DataError>([&] { read_results(file("[1]")); }), HasSubstr("not an object"));
    EXPECT_THAT(refusal({{"benchmarks", Json::array()}}), HasSubstr("it has no 'schema'; wanted is fer-bench/1"));
    Json all = with(Json::array());
    all["schema"] = "fer-bench/2";
    EXPECT_THAT(refusal(all), HasSubstr("its schema is 'fer-bench/2', wanted is fer-bench/1"));
    all = with(Json::array());
    all.erase("context");
    EXPECT_THAT(refusal(all), HasSubstr("no 'context'"));
}

TEST_F(Results, BadRowsAreNamedByTheirNumber) {
    for (const char* key :
         {"name", "run_type", "time_unit", "device", "framework", "real_time", "cpu_time", "iterations"}) {
        Json bad = row("a", 1);
        bad.erase(key);
        EXPECT_THAT(refusal(with({row("a", 1), bad})), AllOf(HasSubstr("row 2 has no"), HasSubstr(key)));
    }
    Json bad = row("a", 1);
    bad["time_unit"] = "ns";
    EXPECT_THAT(refusal(with(Json::array({bad}))), HasSubstr("row 1 is in 'ns', not in ms"));
    bad = row("a", 1);
    bad["real_time"] = 0;
    EXPECT_THAT(refusal(with(Json::array({bad}))), HasSubstr("row 1 took no time"));
    bad["real_time"] = "1";
    EXPECT_THAT(refusal(with(Json::array({bad}))), HasSubstr("has no number 'real_time'"));
    EXPECT_THAT(refusal(with(Json::array({"a"}))), HasSubstr("row 1 is not an object"));
}

}  // namespace
}  // namespace fer
