// The three forms of a report: their numbers, what may not stand in them, and how they look without gnuplot.
#include "engine/report/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "engine/report/gnuplot.hpp"
#include "engine/report/grid.hpp"
#include "engine/report/html.hpp"
#include "engine/report/ink.hpp"
#include "tests/report/sample_run.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// An environment variable for a scope.
class Setting {
public:
    Setting(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~Setting() { ::unsetenv(name_); }
    Setting(const Setting&) = delete;
    Setting& operator=(const Setting&) = delete;

private:
    const char* name_;
};

Report report_of(const SampleRun& sample) { return make_report({read_run(sample.folder())}); }

std::size_t count(const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
        ++found;
    }
    return found;
}

/// Everything an HTML file could ask the network for.
void expect_self_contained(const std::string& html) {
    for (std::size_t at = html.find("http"); at != std::string::npos; at = html.find("http", at + 1)) {
        EXPECT_TRUE(html.compare(at, 18, "http://www.w3.org/") == 0 || html.compare(at, 11, "http-equiv=") == 0)
            << html.substr(at, 60);
    }
    for (const char* tag : {"<script", "<link", "<iframe", "@import", "url(", "src=\"/"}) {
        EXPECT_THAT(html, Not(HasSubstr(tag)));
    }
}

TEST(ReportPage, HoldsTheNumbersOfTheRun) {
    const SampleRun sample;
    const Report report = report_of(sample);
    const std::string html = report_html(report);
    expect_self_contained(html);
    for (const char* text : {"<h1>sample</h1>", "66.67 %", "4 of 6", "best epoch", "0.300", "simpler_cnn", "data.train",
                             "train.epochs", "Most confused", "Worst mistakes", "angry → happy"}) {
        EXPECT_THAT(html, HasSubstr(text));
    }
    EXPECT_EQ(count(html, "data:image/png;base64,"), 4u) << "two mistakes, each among the worst and in its pair";
    const std::string markdown = report_markdown(report, "plots");
    EXPECT_THAT(markdown, HasSubstr("Accuracy **0.6667** (4 of 6)"));
    EXPECT_THAT(markdown, HasSubstr("| angry | 1.000 | 0.500 |"));
    const auto json = nlohmann::json::parse(report_json(report));
    const auto& run = json["runs"][0];
    EXPECT_EQ(run["evaluations"]["test"]["accuracy"], 4.0 / 6);
    EXPECT_EQ(run["evaluations"]["test"]["confusion_matrix"], nlohmann::json::parse("[[1,1,0],[0,1,1],[0,0,2]]"));
    EXPECT_EQ(run["evaluations"]["test"]["worst_mistakes"][0]["file"], "test/4.png");
    EXPECT_EQ(run["best_epoch"], 4);
    EXPECT_EQ(run["learning_rate_drops"], nlohmann::json::parse("[4, 6]"));
    EXPECT_EQ(run["throughput"]["images_per_s_median"], 500);
    EXPECT_EQ(run["throughput"]["epoch_s_median"], 2);
    EXPECT_EQ(run["settings"]["data.path"]["value"], "\"a # b\"");
}

TEST(ReportPage, SaysWhatTheFiguresAreWorth) {
    const SampleRun sample;
    write_file(sample.folder() / "eval/test/metrics.json",
               R"({"images": 6, "hits": 4, "chose_best_epoch": true, "usage": "PublicTest"})");
    write_file(sample.folder() / "evaluations.jsonl",
               "{\"split\": \"test\"}\n{\"split\": \"test\"}\n{\"split\": \"test\"}\n");
    const Report report = report_of(sample);
    for (const std::string& text : {report_html(report), report_markdown(report, "plots")}) {
        EXPECT_THAT(text, HasSubstr("test (PublicTest)"));
        EXPECT_THAT(text, HasSubstr("The best epoch was chosen on these very images"));
        EXPECT_THAT(text, HasSubstr("have been looked at 3 times"));
    }
}

TEST(ReportPage, NamesAreTextAndNothingElse) {
    const std::string evil = "<script>alert('x')</script>\"&";
    const SampleRun sample("<i>run", {evil, "b'c\\d", "$e`f_{g}|h"});
    const Report report = report_of(sample);
    const std::string html = report_html(report);
    expect_self_contained(html);
    EXPECT_THAT(html, HasSubstr("&lt;i&gt;run"));
    EXPECT_THAT(html, Not(HasSubstr("<i>run")));
    EXPECT_THAT(report_markdown(report, "plots"), HasSubstr("\\<script\\>"));
    EXPECT_EQ(nlohmann::json::parse(report_json(report))["runs"][0]["name"], "<i>run");
    if (gnuplot_version()) {
        EXPECT_EQ(report.without_pictures, "") << "gnuplot took a name for a command";
    }
}

TEST(ReportPage, AppearsWithoutGnuplot) {
    const Setting none("FER_GNUPLOT", "/nowhere/gnuplot");
    const SampleRun sample;
    const Report report = report_of(sample);
    EXPECT_TRUE(report.drawn().empty());
    for (const std::string& text : {report_html(report), report_markdown(report, "plots")}) {
        EXPECT_THAT(text, HasSubstr("There are no plots: gnuplot is not installed (apt-get install gnuplot-nox)"));
        EXPECT_THAT(text, Not(HasSubstr("<svg")));
        EXPECT_THAT(text, Not(HasSubstr("](plots/")));
    }
    EXPECT_THAT(report_html(report), HasSubstr("<th scope=\"col\">true ↓  predicted →</th>"))
        << "confusions as a table";
}

TEST(ReportPage, AppearsOfHalfARun) {
    for (const char* name : {"run.json", "config.toml", "results.csv", "eval", "eval/test/pictures.json"}) {
        SCOPED_TRACE(name);
        const SampleRun sample;
        std::filesystem::remove_all(sample.folder() / name);
        const Report report = report_of(sample);
        EXPECT_EQ(report.without_pictures, gnuplot_version() ? "" : report.without_pictures);
        expect_self_contained(report_html(report));
        EXPECT_TRUE(nlohmann::json::accept(report_json(report)));
    }
}

TEST(ReportPage, OfValuesThatAreNoNumbers) {
    const SampleRun sample;
    write_file(sample.folder() / "results.csv", "epoch,loss,val_loss,learning_rate\n1,nan,inf,0\n");
    const Report report = report_of(sample);
    EXPECT_EQ(report.without_pictures, gnuplot_version() ? "" : report.without_pictures);
    EXPECT_TRUE(nlohmann::json::parse(report_json(report))["runs"][0]["history"][0]["loss"].is_null());
    EXPECT_THAT(report_html(report), Not(HasSubstr("nan")));
}

TEST(ReportPage, SeveralRunsSideBySide) {
    const SampleRun a("one"), b("two"), c("one");
    std::filesystem::remove_all(c.folder() / "eval");
    const Report report = make_report({read_run(a.folder()), read_run(b.folder()), read_run(c.folder())});
    const std::string html = report_html(report);
    EXPECT_THAT(html, HasSubstr("<h1>3 runs side by side</h1>"));
    EXPECT_EQ(nlohmann::json::parse(report_json(report))["runs"].size(), 3u);
    std::set<std::string> names;
    for (const Plot* plot : report.drawn()) {
        EXPECT_TRUE(names.insert(plot->name).second) << plot->name;
        EXPECT_EQ(plot->name.find('/'), std::string::npos);
    }
    if (gnuplot_version()) {
        EXPECT_EQ(report.without_pictures, "");
        EXPECT_TRUE(names.contains("compare_val_loss"));
        EXPECT_TRUE(names.contains("1_one_roc"));
        EXPECT_TRUE(names.contains("3_one_curves_loss"));
    }
    expect_self_contained(html);
}

TEST(ReportPage, RunsEvaluatedOnTheSameImagesAreCompared) {
    if (!gnuplot_version()) {
        GTEST_SKIP() << "gnuplot is not installed";
    }
    const SampleRun a("one"), b("two");
    const Report report = make_report({read_run(a.folder()), read_run(b.folder())});
    EXPECT_EQ(report.without_pictures, "");
    const auto plots = report.drawn();
    const auto intervals = std::ranges::find(plots, "compare_test", &Plot::name);
    ASSERT_NE(intervals, plots.end());
    EXPECT_THAT((*intervals)->svg, AllOf(HasSubstr(">one<"), HasSubstr(">two<")));
}

TEST(ReportPlots, AreInThePagesColours) {
    if (!gnuplot_version()) {
        GTEST_SKIP() << "gnuplot is not installed";
    }
    const SampleRun sample;
    const Report report = report_of(sample);
    const auto plots = report.drawn();
    ASSERT_EQ(plots.size(), 8u);
    for (const Plot* plot : plots) {
        SCOPED_TRACE(plot->name);
        EXPECT_TRUE(plot->png.starts_with("\x89PNG"));
        EXPECT_THAT(plot->svg, HasSubstr("#ffffff")) << "a file of its own has paper";
        const std::string svg = inline_svg(*plot);
        EXPECT_TRUE(svg.starts_with("<svg viewBox=\"0 0 480 "));
        EXPECT_THAT(svg, HasSubstr("var(--"));
        for (const char* gone : {"rgb(", "#ffffff", "<?xml", "<title>", "black\""}) {
            EXPECT_THAT(svg, Not(HasSubstr(gone)));
        }
    }
}

TEST(ReportPlots, EachInkIsAnother) {
    std::set<std::string_view> light;
    for (const Ink& one : kInks) {
        EXPECT_TRUE(light.insert(one.light).second) << one.name << " could not be told from another in a plot";
        EXPECT_EQ(one.light.size(), 7u);
        EXPECT_EQ(one.dark.size(), 7u);
    }
}

TEST(Grid, FramesAreGreenOrRed) {
    const TemporaryFolder folder;
    const GrayImage face{48, 48, std::vector<std::uint8_t>(48 * 48, 128)};
    write_grid(folder / "right.png", {{face, "HAPPY", "HAPPY 0.99", true}}, 5);
    write_grid(folder / "wrong.png", {{face, "HAPPY", "HAPPY 0.99", false}}, 5);
    write_grid(folder / "six.png", std::vector<GridCell>(6, {face, "a very long name of a class", "B", true}), 5);
    const GrayImage right = load_gray(folder / "right.png"), wrong = load_gray(folder / "wrong.png");
    const GrayImage six = load_gray(folder / "six.png");
    EXPECT_EQ(six.width, 5 * (right.width - 18) + 18);
    EXPECT_EQ(six.height, 2 * (right.height - 18) + 18);
    const auto corner = [](const GrayImage& image) {
        return image.pixels[static_cast<std::size_t>(20 * image.width + 20)];
    };
    EXPECT_EQ(corner(right), luma(0x15, 0x80, 0x3d));
    EXPECT_EQ(corner(wrong), luma(0xc0, 0x27, 0x1d));
    EXPECT_EQ(right.pixels[static_cast<std::size_t>(90 * right.width + 90)], 128) << "the face is in the middle";
    EXPECT_THAT(error_of<UsageError>([&] { write_grid(folder / "none.png", {}, 5); }), HasSubstr("0 images"));
}

}  // namespace
}  // namespace fer::test
