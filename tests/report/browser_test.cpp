// The page in a real browser, headless: at 1280 and 400 points, light and dark. FER_SCREENSHOTS names a folder that
// keeps the pictures for a person to look at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "engine/report/report.hpp"
#include "tests/report/sample_run.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

constexpr int kTall = 3000;

class Browser : public ::testing::Test {
protected:
    void SetUp() override {
        if (std::system("command -v chromium >/dev/null 2>&1") != 0) {
            GTEST_SKIP() << "chromium is not installed (bash tools/setup.sh test)";
        }
        const SampleRun sample("a_rather_long_name_of_a_run_that_must_break_somewhere");
        write_file(folder_ / "report.html", report_html(make_report({read_run(sample.folder())})));
        // A frame of any width, which windows of a browser do not have, and what the page needs beyond it.
        for (const int width : {1280, 400}) {
            write_file(
                folder_ / (std::to_string(width) + ".html"),
                fmt::format("<body style='margin:0'><iframe src='report.html' width={0} height={1} "
                            "style='border:0'></iframe><script>onload = () => {{ const d = "
                            "document.querySelector('iframe').contentDocument.documentElement; document.title = "
                            "`overflow ${{d.scrollWidth - {0}}} pictures ${{d.querySelectorAll('figure svg').length}} "
                            "broken ${{[...d.querySelectorAll('img')].filter(i => !i.naturalWidth).length}}`; }}"
                            "</script>",
                            width, kTall));
        }
    }

    /// What chromium prints.
    std::string run(const std::string& arguments, int width) const {
        const std::string out = (folder_ / "out").string();
        const std::string line = fmt::format(
            "HOME='{0}' timeout 120 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars "
            "--allow-file-access-from-files --user-data-dir='{0}/profile' --window-size={1},{2} {3} "
            "'file://{0}/{1}.html' >'{4}' 2>/dev/null </dev/null",
            folder_.path().string(), width, kTall, arguments, out);
        EXPECT_EQ(std::system(line.c_str()), 0) << line;
        return read_file(out);
    }

    GrayImage picture(int width, bool dark) const {
        const std::string name = fmt::format("{}_{}.png", width, dark ? "dark" : "light");
        const char* kept = std::getenv("FER_SCREENSHOTS");
        const std::filesystem::path path = kept != nullptr ? std::filesystem::path(kept) / name : folder_ / name;
        run(fmt::format("--blink-settings=preferredColorScheme={} --screenshot='{}'", dark ? 0 : 1, path.string()),
            width);
        return load_gray(path);
    }

    const TemporaryFolder folder_;
};

double mean(const GrayImage& image) {
    return std::accumulate(image.pixels.begin(), image.pixels.end(), 0.0) / static_cast<double>(image.pixels.size());
}

/// Pixels that stand out from their left neighbour: letters, lines, faces.
std::int64_t edges(const GrayImage& image) {
    std::int64_t count = 0;
    for (std::size_t i = 1; i < image.pixels.size(); ++i) {
        count += std::abs(image.pixels[i] - image.pixels[i - 1]) > 40 ? 1 : 0;
    }
    return count;
}

TEST_F(Browser, FitsItsWidth) {
    for (const int width : {1280, 400}) {
        SCOPED_TRACE(width);
        const std::string dom = run("--dump-dom", width);
        const std::string pictures = read_file(folder_ / "report.html").find("<svg") == std::string::npos ? "0" : "8";
        EXPECT_THAT(dom, HasSubstr(fmt::format("overflow 0 pictures {} broken 0", pictures)));
    }
}

TEST_F(Browser, LightAndDark) {
    for (const int width : {1280, 400}) {
        SCOPED_TRACE(width);
        const GrayImage light = picture(width, false), dark = picture(width, true);
        EXPECT_GT(mean(light), 200);
        EXPECT_LT(mean(dark), 70);
        for (const GrayImage* image : {&light, &dark}) {
            EXPECT_GT(edges(*image), 20'000) << "the page is empty, or its letters cannot be told from its paper";
        }
    }
}

}  // namespace
}  // namespace fer::test
