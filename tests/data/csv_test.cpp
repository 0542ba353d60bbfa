#include "engine/data/split.hpp"
#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string pixels_of(int tone, int count = 2304) {
    const std::vector<int> tones(static_cast<std::size_t>(count), tone);
    return fmt::format("{}", fmt::join(tones, " "));
}

std::string row(int emotion, int tone, const std::string& usage) {
    return fmt::format("{},{},{}\n", emotion, pixels_of(tone), usage);
}

/// One training row of each emotion (tone 100 + emotion), then one of each test usage.
std::string small_csv() {
    std::string text = "emotion,pixels,Usage\n";
    for (int emotion = 0; emotion < 7; ++emotion) {
        text += row(emotion, 100 + emotion, "Training");
    }
    return text + row(4, 201, "PublicTest") + row(6, 202, "PrivateTest");
}

class CsvTest : public ::testing::Test {
protected:
    Dataset open(const std::string& text, bool strict = false) {
        write_bytes(temp_.path / "fer2013.csv", text);
        DataOptions options = uncached();
        options.strict = strict;
        return open_dataset((temp_.path / "fer2013.csv").string(), options);
    }
    DataError error(const std::string& text) {
        return data_error_of([&] { open(text); });
    }

    TempFolder temp_;
};

TEST_F(CsvTest, MapsItsEmotionsToAlphabeticalClasses) {
    const Dataset data = open(small_csv());
    EXPECT_THAT(data.classes, ElementsAre("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"));
    // The file: 0 angry 1 disgust 2 fear 3 happy 4 sad 5 surprise 6 neutral.
    EXPECT_THAT(data.labels, ElementsAre(0, 1, 2, 3, 5, 6, 4, 5, 4));
    EXPECT_THAT(tones(data), ElementsAre(100, 101, 102, 103, 104, 105, 106, 201, 202));
    EXPECT_EQ(data.files.front(), "fer2013.csv:2");
    EXPECT_EQ(data.folder[6], Fold::kTrain);
    EXPECT_EQ(data.folder[7], Fold::kTest);
    EXPECT_EQ(data.usage[7], Usage::kPublicTest);
    EXPECT_EQ(data.usage[8], Usage::kPrivateTest);
    const Split split = split_official(data);
    EXPECT_THAT(split.train, ElementsAre(0, 1, 2, 3, 6, 4, 5));  // class by class
    EXPECT_THAT(split.validation, ElementsAre(7));
    EXPECT_THAT(split.test, ElementsAre(8));
}

TEST_F(CsvTest, ReadsTheOtherColumnOrderWithSpacesQuotesAndDosLines) {
    std::string text =
        "\xEF\xBB\xBF"
        "emotion, Usage, pixels\r\n";
    for (int emotion = 0; emotion < 7; ++emotion) {
        text += std::to_string(emotion) + ", Training,\"" + pixels_of(100 + emotion) + "\"\r\n";
    }
    text += "4,PublicTest," + pixels_of(201) + "\r\n\r\n6,PrivateTest," + pixels_of(202);  // no newline at the end
    const Dataset data = open(text);
    EXPECT_THAT(data.skipped, IsEmpty());
    EXPECT_EQ(data.pixels, open(small_csv()).pixels);
    EXPECT_EQ(data.fingerprint, open(small_csv()).fingerprint);
    EXPECT_EQ(open(text).files.back(), "fer2013.csv:11");
}

TEST_F(CsvTest, NamesTheLineAndWhatWasExpected) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"7," + pixels_of(100) + ",Training", "expected an emotion 0..6, found '7'"},
        {"," + pixels_of(100) + ",Training", "expected an emotion 0..6, found ''"},
        {"0," + pixels_of(100) + ",Train", "expected Usage Training, PublicTest or PrivateTest, found 'Train'"},
        {"0," + pixels_of(100, 2303) + ",Training", "expected 2304 pixels, found 2303"},
        {"0," + pixels_of(100, 2305) + ",Training", "expected 2304 pixels, found 2305"},
        {"0," + pixels_of(256) + ",Training", "pixel 1 is '256', expected a whole number 0..255"},
        {"0," + pixels_of(-10) + ",Training", "pixel 1 is '-10', expected a whole number 0..255"},
        {"0," + pixels_of(100, 2303) + " 1.5,Training", "pixel 2304 is '1.5', expected a whole number"},
        {"0," + pixels_of(100, 2303) + " \x01y,Training", "pixel 2304 is '?y', expected a whole number"},
        {"0," + pixels_of(100), "expected 3 columns, found 2"},
        {"0,1 2 3,Training", "expected 2304 pixels, found a line of 16 bytes"},
        {"0," + std::string(70000, '1') + ",Training", "a line of 70011 bytes, the limit is 65536"},
    };
    for (const auto& [line, reason] : cases) {
        const Dataset data = open(small_csv() + line + "\n" + row(3, 90, "Training"));
        EXPECT_EQ(data.size(), 10) << reason;
        EXPECT_THAT(data.skipped, ElementsAre(HasSubstr("fer2013.csv:11: " + reason)));
    }
}

TEST_F(CsvTest, StrictRefusesTheFirstBadRow) {
    const std::string text = small_csv() + "0,1 2 3,Training\n" + row(3, 90, "Nope");
    const DataError refused = data_error_of([&] { open(text, true); });
    EXPECT_THAT(refused.what(), HasSubstr("fer2013.csv:11: expected 2304 pixels"));
    EXPECT_THAT(refused.why(), HasSubstr("2 in all"));
}

TEST_F(CsvTest, NeedsItsThreeColumns) {
    EXPECT_THAT(error("emotion,pixels\n0,1\n").what(), HasSubstr("no column 'usage'"));
    EXPECT_THAT(error("emotion,pixels\n0,1\n").why(), HasSubstr("'emotion,pixels'"));
    EXPECT_THAT(error("emotion,pixels\n0,1\n").hint(), HasSubstr("emotion, pixels and Usage"));
    EXPECT_THAT(error("").what(), HasSubstr("is empty (0 bytes)"));
    EXPECT_THAT(error("<!doctype html>").why(), HasSubstr("an HTML page"));
    EXPECT_THAT(error("version https://git-lfs.github.com/spec/v1").why(), HasSubstr("a Git LFS pointer"));
    EXPECT_THAT(error("emotion,pixels,Usage\n").what(), HasSubstr("none of its 0 images can be used"));
}

TEST_F(CsvTest, AMissingClassIsAnError) {
    const std::string text = "emotion,pixels,Usage\n" + row(0, 1, "Training");
    EXPECT_THAT(error(text).what(), HasSubstr("class 'disgust' has no usable training image"));
}

TEST_F(CsvTest, ShortJunkRowsTakeNoPixels) {
    // With a place for its pixels each, these 400 kB would take 460 MB.
    std::string text = small_csv();
    for (int i = 0; i < 200'000; ++i) {
        text += "a\n";
    }
    const Dataset data = open(text);
    EXPECT_EQ(data.skipped.size(), 200'000u);
    EXPECT_LT(data.pixels.capacity(), 100'000u);
}

}  // namespace
}  // namespace fer::test
