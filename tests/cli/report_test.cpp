// fer report: of runs that are whole, unfinished, damaged, read-only, and of several.
#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Report : public ProgramTest {
protected:
    Report() {
        ok(kTiny + " --epochs 2 --name run --quiet");
        ok("evaluate " + run_ + " --quiet");
    }
    const std::string run_ = "runs/train/run";
};

TEST_F(Report, WritesBesideTheRunOrElsewhere) {
    ok("report " + run_ + " --out there --format md");
    EXPECT_TRUE(fs::exists(*this / "there/report.md"));
    EXPECT_FALSE(fs::exists(*this / "there/report.html"));
    EXPECT_FALSE(fs::exists(*this / (run_ + "/report.md")));
    const Outcome opened =
        ok("report " + run_ + " --open", {.environment = {{"DISPLAY", ""}, {"WAYLAND_DISPLAY", ""}}});
    EXPECT_THAT(opened.err,
                HasSubstr("fer: warning: there is no display to open it on: copy " + run_ + "/report.html"));
    if (opened.err.find("gnuplot") == std::string::npos) {
        for (const char* name :
             {"curves_loss.svg", "curves_loss.png", "confusion_matrix.svg", "roc.png", "calibration.svg"}) {
            EXPECT_TRUE(fs::exists(*this / (run_ + "/plots/" + name))) << name;
        }
        EXPECT_THAT(read(run_ + "/report.html"), HasSubstr("<svg viewBox"));
        EXPECT_THAT(read(run_ + "/report.md"), HasSubstr("](plots/curves_loss.svg)"));
    }
}

TEST_F(Report, AppearsWithoutGnuplot) {
    const Outcome outcome = ok("report " + run_, {.environment = {{"FER_GNUPLOT", "/nowhere/gnuplot"}}});
    EXPECT_EQ(outcome.err,
              "fer: warning: There are no plots: gnuplot is not installed (apt-get install gnuplot-nox).\n");
    EXPECT_THAT(read(run_ + "/report.html"), HasSubstr("There are no plots: gnuplot is not installed"));
    EXPECT_FALSE(fs::exists(*this / (run_ + "/plots")));
}

TEST_F(Report, OfSeveralRuns) {
    ok(kTiny + " --epochs 1 --name other --quiet --seed 1");
    EXPECT_EQ(ok("report " + run_ + " runs/train/other").out, "saved report.html, report.md, report.json\n");
    const std::string page = read("report.html");
    EXPECT_THAT(page, HasSubstr("<h1>2 runs side by side</h1>"));
    EXPECT_THAT(page, HasSubstr("It was not evaluated yet: fer evaluate runs/train/other"));
}

TEST_F(Report, TellsWhatIsWrong) {
    fails(3, "report nowhere", "no such run folder: nowhere");
    fs::create_directories(*this / "empty");
    fails(3, "report empty", "empty is not a run folder");
    fails(3, "report " + run_ + "/weights/best.safetensors", "no such run folder");
    const std::string csv = run_ + "/eval/test/predictions.csv";
    write(csv, read(csv) + "a.png,happy");
    fails(3, "report " + run_, "predictions.csv:16: 2 columns, 10 expected");
    ok("evaluate " + run_);
    write(run_ + "/eval/test/metrics.json", R"({"images": 14, "hits": 99})");
    fails(3, "report " + run_, "its files contradict each other");
}

TEST_F(Report, OfARunThatMayNotBeWritten) {
    fs::permissions(folder_.path(), fs::perms::all);
    const Start nobody{.as_nobody = true};
    if (fer("--version", nobody).status != 0) {
        GTEST_SKIP() << "nobody may not run the program where it lies";
    }
    const Outcome outcome = fails(9, "report " + run_ + " --format json", "cannot write " + run_, nobody);
    EXPECT_THAT(outcome.err, HasSubstr("Permission denied"));
    ok("report " + run_ + " --out elsewhere", nobody);
    EXPECT_TRUE(fs::exists(*this / "elsewhere/report.html"));
    const Outcome look = ok("evaluate " + run_ + " --out evaluated", nobody);
    EXPECT_THAT(look.err, HasSubstr("this look is recorded in evaluated/evaluations.jsonl"));
    EXPECT_THAT(look.out, HasSubstr("look 1 at these test images  (evaluated/evaluations.jsonl)"));
}

}  // namespace
}  // namespace fer::test
