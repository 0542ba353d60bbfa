// Cutting faces out, which needs no library, and what OpenCV finds, reads and writes where it is there.
#include "engine/vision/vision.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/file.hpp"
#include "engine/data/synthetic.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

TEST(Faces, ShrinkToTheMeanOfTheirArea) {
    const GrayImage image{4, 6, {9, 9, 9, 9, 9, 9, 9, 10, 20, 50, 60, 9, 9, 30, 40, 70, 80, 9, 9, 9, 9, 9, 9, 9}};
    EXPECT_EQ(face_of(image, {1, 1, 4, 2}, 1, 2).pixels, (std::vector<std::uint8_t>{25, 65}));
    EXPECT_EQ(face_of(image, {1, 1, 4, 2}, 2, 4).pixels, (std::vector<std::uint8_t>{10, 20, 50, 60, 30, 40, 70, 80}));
    EXPECT_EQ(face_of(image, {1, 1, 2, 2}, 2, 4).pixels, (std::vector<std::uint8_t>{10, 10, 20, 20, 30, 30, 40, 40}));
    EXPECT_EQ(face_of(image, {0, 0, 6, 4}, 3, 5).pixels.size(), 15u);
    EXPECT_THAT(error_of<UsageError>([&] { face_of(image, {3, 1, 4, 2}, 1, 2); }), HasSubstr("is not within"));
}

TEST(Faces, SquaresStayInThePicture) {
    EXPECT_EQ(squared({100, 100, 50, 60}, 400, 300), (FaceBox{85, 90, 80, 80}));
    EXPECT_EQ(squared({0, 5, 50, 50}, 400, 300), (FaceBox{0, 0, 70, 70}));
    EXPECT_EQ(squared({380, 280, 20, 20}, 400, 300), (FaceBox{360, 260, 40, 40}));
    EXPECT_EQ(squared({0, 0, 100, 40}, 100, 40), (FaceBox{30, 0, 40, 40}));
}

TEST(Faces, GreyIsTheSameGrey) {
    const Picture picture{1, 2, {255, 0, 0, 10, 20, 30}};
    EXPECT_EQ(gray_of(picture).pixels, (std::vector<std::uint8_t>{luma(255, 0, 0), luma(10, 20, 30)}));
}

class OpenCv : public ::testing::Test {
protected:
    void SetUp() override {
        if (const auto missing = vision_missing()) {
            EXPECT_THAT(error_of<UsageError>([] { vision(); }), HasSubstr("need OpenCV / " + *missing));
            GTEST_SKIP() << *missing;
        }
    }
    /// A colour picture of two drawn faces on grey.
    static Picture scene() {
        Picture picture{300, 500, std::vector<std::uint8_t>(300 * 500 * 3, 120)};
        int left = 30;
        for (const std::uint64_t person : {2, 6}) {
            const GrayImage face = synthetic_face(0, person, 3, 200);
            for (int y = 0; y < 200; ++y) {
                for (int x = 0; x < 200; ++x) {
                    std::fill_n(picture.rgb.begin() + ((50 + y) * 500 + left + x) * 3, 3,
                                face.pixels[static_cast<std::size_t>(y * 200 + x)]);
                }
            }
            left += 240;
        }
        return picture;
    }

    const TemporaryFolder folder_;
};

TEST_F(OpenCv, ReadsColoursInOrder) {
    const std::vector<std::uint8_t> rgb{200, 100, 50, 1, 2, 3};
    write_png(folder_ / "a.png", 2, 1, 3, rgb);
    const Picture picture = vision().read(folder_ / "a.png");
    EXPECT_EQ(picture.width, 2);
    EXPECT_EQ(picture.rgb, rgb);
    write_file(folder_ / "b.png", "no picture");
    EXPECT_THAT(error_of<DataError>([&] { vision().read(folder_ / "b.png"); }),
                HasSubstr("b.png: OpenCV cannot read it"));
}

TEST_F(OpenCv, WritesAndReadsAVideo) {
    const auto writer = vision().write_video(folder_ / "a.avi", 500, 300, 10);
    for (int i = 0; i < 5; ++i) {
        writer->write(scene());
    }
    EXPECT_FALSE(std::filesystem::exists(folder_ / "a.avi")) << "half a video has no name";
    writer->finish();
    const auto frames = vision().video(folder_ / "a.avi");
    EXPECT_EQ(frames->per_second(), 10);
    EXPECT_EQ(frames->announced(), 5);
    Picture picture;
    int count = 0;
    while (frames->next(picture)) {
        ++count;
    }
    EXPECT_EQ(count, 5);
    EXPECT_EQ(picture.height, 300);
    EXPECT_NEAR(picture.rgb[0], 120, 8) << "compressed, but the same picture";
    EXPECT_THAT(error_of<OutputError>([&] { vision().write_video(folder_ / "no/where.avi", 500, 300, 10); }),
                HasSubstr("where.avi"));
    write_file(folder_ / "b.avi", "no video");
    EXPECT_THAT(error_of<DataError>([&] { vision().video(folder_ / "b.avi"); }), HasSubstr("not a video"));
}

TEST_F(OpenCv, FindsDrawnFaces) {
    if (default_cascade().empty()) {
        GTEST_SKIP() << "there is no face cascade (opencv-data)";
    }
    const auto boxes = vision().haar(default_cascade())->find(scene());
    ASSERT_EQ(boxes.size(), 2u);
    for (const FaceBox& box : boxes) {
        EXPECT_GE(box.width * box.height, 50 * 50);
    }
    EXPECT_GE(boxes[0].width * boxes[0].height, boxes[1].width * boxes[1].height);
    EXPECT_NE(boxes[0].x < 250, boxes[1].x < 250) << "one on each side";
    const Picture nothing{200, 200, std::vector<std::uint8_t>(200 * 200 * 3, 90)};
    EXPECT_TRUE(vision().haar(default_cascade())->find(nothing).empty());
}

TEST_F(OpenCv, SaysWhatIsNotThere) {
    write_file(folder_ / "model", "no model");
    EXPECT_THAT(error_of<DataError>([&] { vision().haar(folder_ / "model"); }), HasSubstr("not a face cascade"));
    EXPECT_THAT(error_of<DataError>([&] { vision().haar(""); }), HasSubstr("apt-get install opencv-data"));
    EXPECT_THAT(error_of<DataError>([&] { vision().yunet(folder_ / "model"); }), HasSubstr("not a YuNet model"));
    EXPECT_THAT(error_of<DeviceError>([] { vision().camera(987); }), HasSubstr("/dev/video987 does not exist"));
}

TEST_F(OpenCv, DrawsABoxAndAWord) {
    Picture picture = scene();
    const Picture before = picture;
    vision().annotate(picture,
                      {{{100, 100, 80, 80}, "happy 0.93"}, {{490, 290, 10, 10}, "at the edge"}, {{0, 0, 9, 9}, ""}});
    EXPECT_NE(picture.rgb, before.rgb);
    const auto at = [&](int x, int y) {
        const std::uint8_t* p = picture.rgb.data() + (y * 500 + x) * 3;
        return std::array<int, 3>{p[0], p[1], p[2]};
    };
    EXPECT_LT(at(140, 100)[0], 80) << "its upper edge is blue";
    EXPECT_GT(at(140, 100)[2], 200);
    EXPECT_EQ(at(250, 20), (std::array<int, 3>{120, 120, 120}));
}

}  // namespace
}  // namespace fer::test
