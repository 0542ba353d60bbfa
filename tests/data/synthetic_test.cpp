#include "engine/data/synthetic.hpp"

#include <cmath>
#include <set>

#include "engine/data/contact_sheet.hpp"
#include "engine/data/font.hpp"
#include "engine/data/split.hpp"
#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::Each;

TEST(SyntheticFace, IsAFunctionOfItsArguments) {
    std::set<std::string> faces;
    for (std::uint64_t index = 0; index < 5; ++index) {
        for (int label = 0; label < 7; ++label) {
            const GrayImage face = synthetic_face(3, index, label);
            EXPECT_EQ(face.pixels, synthetic_face(3, index, label).pixels);
            EXPECT_EQ(face.pixels.size(), 48u * 48u);
            faces.emplace(face.pixels.begin(), face.pixels.end());
        }
    }
    const GrayImage other_seed = synthetic_face(4, 0, 0);
    faces.emplace(other_seed.pixels.begin(), other_seed.pixels.end());
    EXPECT_EQ(faces.size(), 36u);
    EXPECT_EQ(synthetic_face(3, 0, 0, 96).pixels.size(), 96u * 96u);
    EXPECT_THROW(synthetic_face(3, 0, 7), UsageError);
    EXPECT_THROW(synthetic_face(3, 0, -1), UsageError);
}

/// Mean difference of two faces over rows [from, to).
double difference(const GrayImage& a, const GrayImage& b, int from, int to) {
    double sum = 0;
    for (int i = from * a.width; i < to * a.width; ++i) {
        sum += std::abs(int{a.pixels[static_cast<std::size_t>(i)]} - int{b.pixels[static_cast<std::size_t>(i)]});
    }
    return sum / ((to - from) * a.width);
}

TEST(SyntheticFace, TheLabelChangesTheFaceNotTheHairOrTheBackground) {
    double hair = 0, mouth = 0;
    for (std::uint64_t index = 0; index < 20; ++index) {
        const GrayImage neutral = synthetic_face(0, index, 4), surprise = synthetic_face(0, index, 6);
        hair += difference(neutral, surprise, 0, 4);
        mouth += difference(neutral, surprise, 28, 44);
    }
    EXPECT_LT(hair, 0.2 * mouth);
}

TEST(SyntheticFace, UsesTheRangeOfTones) {
    int dark = 0, light = 0;
    for (std::uint64_t index = 0; index < 50; ++index) {
        const GrayImage face = synthetic_face(0, index, 3);
        dark += *std::ranges::min_element(face.pixels) < 60;
        light += *std::ranges::max_element(face.pixels) > 180;
    }
    EXPECT_GT(dark, 35);
    EXPECT_GT(light, 35);
}

TEST(SyntheticDataset, IsBalancedAndSplitsBothWays) {
    const Dataset data = open_dataset("synthetic:700");
    const Split split = split_folder(data, 0.2);
    EXPECT_THAT(class_counts(data, split.train), Each(80));
    EXPECT_THAT(class_counts(data, split.validation), Each(20));
    EXPECT_THAT(class_counts(data, split.test), Each(20));
    const Split official = split_official(data);
    EXPECT_THAT(class_counts(data, official.validation), Each(10));
    EXPECT_THAT(class_counts(data, official.test), Each(10));
    EXPECT_EQ(data.classes, emotion_names());
    EXPECT_EQ(data.files.front(), "train/angry/synthetic_000000");
}

TEST(SyntheticDataset, HasAtLeastSevenFacesAndItsTestFacesStay) {
    const Dataset tiny = open_dataset("synthetic:1");
    EXPECT_EQ(tiny.size(), 14);
    EXPECT_THAT(class_counts(tiny), Each(2));
    const Dataset larger = open_dataset("synthetic:21");
    EXPECT_EQ(larger.size(), 28);
    EXPECT_TRUE(std::equal(tiny.image(7), tiny.image(7) + 7 * 2304, larger.image(21)));
    EXPECT_EQ(open_dataset("synthetic").size(), 4800);
}

TEST(SyntheticDataset, FollowsSeedAndSize) {
    DataOptions options;
    options.seed = 5;
    EXPECT_NE(open_dataset("synthetic:7", options).fingerprint, open_dataset("synthetic:7").fingerprint);
    options.height = 20;
    options.width = 30;
    const Dataset data = open_dataset("synthetic:7", options);
    EXPECT_EQ(data.pixels.size(), 14u * 20u * 30u);
}

TEST(SyntheticDataset, RefusesOddNumbers) {
    for (const char* source :
         {"synthetic:", "synthetic:x", "synthetic:0", "synthetic:-7", "synthetic:7.5", "synthetic:99999999999"}) {
        EXPECT_THROW(open_dataset(source), UsageError) << source;
    }
    EXPECT_THROW(open_dataset("synthetics"), DataError);
}

TEST(ContactSheet, DrawsEnlargedImagesWithTheirNames) {
    const TempFolder temp;
    Dataset data;
    data.height = data.width = 2;
    data.pixels = {10, 20, 30, 40};
    data.labels = {0};
    data.classes = {"i"};
    write_contact_sheet(temp.path / "sheet.png", data, std::vector<std::int32_t>{0}, 5, 30);
    const GrayImage sheet = load_gray(temp.path / "sheet.png");
    const auto at = [&](int x, int y) { return int{sheet.pixels[static_cast<std::size_t>(y * sheet.width + x)]}; };
    EXPECT_EQ(sheet.width, 68);
    EXPECT_EQ(at(0, 0), 255);
    EXPECT_EQ(at(4, 4), 10);
    EXPECT_EQ(at(33, 33), 10);
    EXPECT_EQ(at(34, 33), 20);
    EXPECT_EQ(at(63, 63), 40);
    EXPECT_EQ(at(64, 63), 255);
    EXPECT_EQ(at(5, 68), 0);  // the top bar of "I"
    EXPECT_EQ(at(4, 68), 255);
}

TEST(ContactSheet, ChecksItsArguments) {
    const TempFolder temp;
    const Dataset data = open_dataset("synthetic:7");
    const fs::path path = temp.path / "sheet.png";
    EXPECT_THROW(write_contact_sheet(path, data, {}, 3, 1), UsageError);
    EXPECT_THROW(write_contact_sheet(path, data, std::vector<std::int32_t>{14}, 3, 1), UsageError);
    EXPECT_THROW(write_contact_sheet(path, data, std::vector<std::int32_t>{0}, 0, 1), UsageError);
    EXPECT_THROW(write_contact_sheet(temp.path / "no" / "a.png", data, std::vector<std::int32_t>{0}, 1, 1),
                 OutputError);
}

TEST(Font, HasEveryLetterAndDigit) {
    const std::string needed = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.%";
    std::set<std::array<std::uint8_t, kGlyphHeight>> shapes;
    for (const char letter : needed) {
        EXPECT_EQ(glyph_of(letter).letter, letter);
        shapes.insert(glyph_of(letter).rows);
    }
    EXPECT_EQ(shapes.size(), needed.size());
    EXPECT_EQ(glyph_of('a').letter, 'A');
    EXPECT_EQ(glyph_of('\n').letter, ' ');
}

}  // namespace
}  // namespace fer::test
