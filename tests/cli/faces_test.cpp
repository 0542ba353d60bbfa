// fer predict on what people have: photographs with several faces, videos, cameras, lists of names.
#include "engine/data/image.hpp"
#include "engine/data/synthetic.hpp"
#include "engine/vision/vision.hpp"
#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class Faces : public ProgramTest {
protected:
    Faces() { ok(kTiny + " --epochs 1 --name run --quiet"); }

    void SetUp() override {
        if (vision_missing() || default_cascade().empty()) {
            GTEST_SKIP() << "without OpenCV and its cascades faces are not found";
        }
    }

    /// Grey, with as many drawn faces side by side as are asked for.
    static Picture scene(int faces) {
        const int width = 240 * std::max(1, faces);
        Picture picture{300, width, std::vector<std::uint8_t>(static_cast<std::size_t>(300 * width * 3), 120)};
        const std::array<std::uint64_t, 2> people{2, 6};
        for (int i = 0; i < faces; ++i) {
            const GrayImage face = synthetic_face(0, people[static_cast<std::size_t>(i % 2)], 3, 200);
            for (int at = 0; at < 200 * 200; ++at) {
                std::fill_n(picture.rgb.begin() + ((50 + at / 200) * width + 20 + 240 * i + at % 200) * 3, 3,
                            face.pixels[static_cast<std::size_t>(at)]);
            }
        }
        return picture;
    }
    void photograph(const std::string& name, int faces) const {
        const Picture picture = scene(faces);
        fs::create_directories((*this / name).parent_path());
        write_png(*this / name, picture.width, picture.height, 3, picture.rgb);
    }
    void film(const std::string& name, int frames) const {
        const auto writer = vision().write_video(*this / name, 480, 300, 10);
        for (int i = 0; i < frames; ++i) {
            writer->write(scene(2));
        }
        writer->finish();
    }
    const std::string run_ = "runs/train/run";
};

TEST_F(Faces, AllOfManyPictures) {
    photograph("photos/two.png", 2);
    photograph("photos/none.png", 0);
    photograph("photos/one.png", 1);
    write("photos/text.png", "hello");
    const Outcome table = ok("predict " + run_ + " photos --top 1");
    const std::vector<std::string> rows = lines(table.out);
    ASSERT_EQ(rows.size(), 5u);
    EXPECT_EQ(rows[0], "photos/none.png  no face");
    EXPECT_THAT(rows[1],
                MatchesRegex("photos/one.png   face 1  \\[[0-9]+,[0-9]+,[0-9]+,[0-9]+\\]  [a-z]+ [01]\\.[0-9]+"));
    EXPECT_THAT(rows[2], HasSubstr("photos/text.png  unreadable: not a JPEG or PNG"));
    EXPECT_THAT(rows[3], HasSubstr("photos/two.png   face 1  ["));
    EXPECT_THAT(rows[4], HasSubstr("photos/two.png   face 2  ["));
    EXPECT_EQ(table.err,
              "fer: warning: 1 of 4 images could not be read\nfer: warning: no face was found in 1 of 4 images\n");
    // However the faces are put together into batches, each gets the same answer.
    const auto whole = nlohmann::json::parse(ok("predict " + run_ + " photos --json").out);
    const auto single = nlohmann::json::parse(ok("predict " + run_ + " photos --json --batch 1").out);
    ASSERT_EQ(whole.size(), single.size());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        EXPECT_EQ(whole[i]["status"], single[i]["status"]);
        EXPECT_EQ(whole[i].value("box", nlohmann::json()), single[i].value("box", nlohmann::json()));
        EXPECT_NEAR(whole[i].value("score", 0.0), single[i].value("score", 0.0), 1e-5);
    }
    fails(3, "predict " + run_ + " photos --strict", "text.png: not a JPEG or PNG");
    EXPECT_THAT(fer("predict " + run_ + " photos/none.png").err,
                HasSubstr("fer: error: no face was found\n  try: --detector"));
}

TEST_F(Faces, CopiesWithBoxes) {
    photograph("a/x.png", 2);
    photograph("b/x.png", 1);
    ok("predict " + run_ + " a/x.png b/x.png --save-images out");
    const GrayImage copy = load_gray(*this / "out/x.png"), original = load_gray(*this / "a/x.png");
    EXPECT_EQ(copy.width, original.width);
    EXPECT_NE(copy.pixels, original.pixels);
    EXPECT_TRUE(fs::exists(*this / "out/x-2.png")) << "the second of that name";
}

TEST_F(Faces, Videos) {
    film("clip.avi", 6);
    const Outcome rows = ok("predict " + run_ + " clip.avi --jsonl --every 2 --save-images out");
    std::vector<std::pair<int, int>> seen;
    for (const std::string& line : lines(rows.out)) {
        const auto row = nlohmann::json::parse(line);
        EXPECT_EQ(row["status"], "ok");
        EXPECT_NEAR(row["time_s"].get<double>(), row["frame"].get<double>() / 10, 1e-9);
        seen.emplace_back(row["frame"], row["face"]);
    }
    EXPECT_EQ(seen, (std::vector<std::pair<int, int>>{{0, 1}, {0, 2}, {2, 1}, {2, 2}, {4, 1}, {4, 2}}));
    const auto copy = vision().video(*this / "out/clip.avi");
    EXPECT_EQ(copy->announced(), 3);
    EXPECT_EQ(copy->per_second(), 5) << "half of the frames, as long";
    EXPECT_EQ(lines(ok("predict " + run_ + " clip.avi --frames 1").out).size(), 2u);
}

TEST_F(Faces, VideosThatEndEarly) {
    film("clip.avi", 12);
    const std::string whole = read("clip.avi");
    write("cut.avi", whole.substr(0, whole.size() / 2));
    const Outcome cut = ok("predict " + run_ + " cut.avi --top 1");
    EXPECT_THAT(cut.err, MatchesRegex("fer: warning: cut.avi ends after [1-9] of 12 frames\n"));
    write("nothing.avi", whole.substr(0, 100));
    write("text.mp4", "hello");
    for (const char* name : {"nothing.avi", "text.mp4", "missing.mp4"}) {
        const Outcome outcome = fer("predict " + run_ + " " + name);
        EXPECT_EQ(outcome.status, 3) << name;
        EXPECT_THAT(outcome.out, HasSubstr("unreadable: ")) << name;
        EXPECT_EQ(outcome.err.find("terminate"), std::string::npos);
    }
}

TEST_F(Faces, Detectors) {
    photograph("a.png", 1);
    EXPECT_EQ(lines(ok("predict " + run_ + " a.png --detector none").out).size(), 1u);
    EXPECT_THAT(ok("predict " + run_ + " a.png --detector haar").out, HasSubstr("face 1"));
    fails(2, "predict " + run_ + " a.png --detector yunet", "--detector yunet needs --detector-model");
    write("model.onnx", "no model");
    fails(3, "predict " + run_ + " a.png --detector yunet --detector-model model.onnx", "not a YuNet model");
    fails(3, "predict " + run_ + " a.png --detector haar --detector-model model.onnx", "not a face cascade");
    fails(2, "predict " + run_ + " a.png --detector har", "did you mean 'haar'?");
}

TEST_F(Faces, NoCamera) {
    fails(4, "predict " + run_ + " camera:987", "no camera 987");
    fails(2, "predict " + run_ + " camera:front", "'camera:front' is no camera");
}

}  // namespace
}  // namespace fer::test
