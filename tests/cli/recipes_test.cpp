// Our own recipes as they are written, at reduced size; what shows them, and what a run of theirs leaves behind.
#include "engine/data/image.hpp"
#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Recipes : public ProgramTest {
protected:
    const std::string small_ = " --split folder --data synthetic:35 --width 0.03 --batch 14 --epochs 1";
};

TEST_F(Recipes, OurOwnRunAsWritten) {
    for (const char* recipe : {"fer_fast", "fer_best"}) {
        ok(fmt::format("train --recipe {}{}", recipe, small_));
        const auto run = read_json(fmt::format("runs/train/{}/run.json", recipe));
        EXPECT_EQ(run["exit_reason"], "finished");
        EXPECT_EQ(run["recipe"], recipe);
        EXPECT_TRUE(fs::exists(*this / fmt::format("runs/train/{}/augmented.png", recipe)));
    }
}

#ifndef FER_CHECKED  // the kernels under the sanitizers are test_kernels' business
TEST_F(Recipes, OurOwnRunsOnTheEmulatedDevice) {
    if (ok("--version").out.find("emulated") == std::string::npos) {
        GTEST_SKIP() << "this build has no emulated device";
    }
    ok("train --recipe fer_fast --device emulated --precision bf16" + small_);
    EXPECT_EQ(read_json("runs/train/fer_fast/run.json")["device"], "emulated");
}
#endif

TEST_F(Recipes, DiffersInWhatItSays) {
    const Outcome diff = ok("recipe diff fer_fast fer_best");
    EXPECT_THAT(diff.out, HasSubstr("\ntrain.epochs                      12                    60\n"));
    EXPECT_THAT(diff.out, Not(HasSubstr("label_smoothing"))) << "in which they agree";
    EXPECT_EQ(lines(ok("recipe diff fer_fast fer_fast").out).back(), "the same settings");
    EXPECT_THAT(fails(2, "recipe diff fer_fast fer_bets", "unknown recipe 'fer_bets'").err,
                HasSubstr("did you mean 'fer_best'?"));
}

TEST_F(Recipes, PreviewShowsWhatTheNetworkIsFed) {
    ok("data preview synthetic:70 --out plain.png --count 7");
    ok("data preview synthetic:70 --out fed.png --count 7 --recipe fer_best");
    ok("data preview synthetic:70 --out again.png --count 7 --recipe fer_best");
    ok("data preview synthetic:70 --out same.png --count 7 --recipe simpler_cnn");
    const GrayImage plain = load_gray(*this / "plain.png"), fed = load_gray(*this / "fed.png");
    EXPECT_EQ(fed.width, plain.width);
    EXPECT_NE(fed.pixels, plain.pixels);
    EXPECT_EQ(fed.pixels, load_gray(*this / "again.png").pixels);
    EXPECT_EQ(load_gray(*this / "same.png").pixels, plain.pixels) << "a recipe without augmentation";
    fails(2, "data preview synthetic:70 --recipe fer_bets", "unknown recipe 'fer_bets'");
}

TEST_F(Recipes, ARunIsLoggedAsKerasDoes) {
    ok("train simpler_cnn --width 0.05 --data synthetic:70 --epochs 2 --tensorboard");
    const std::string log = read("runs/train/simpler_cnn/training.log");
    EXPECT_THAT(log, StartsWith("epoch,accuracy,loss,val_accuracy,val_loss\r\n0,"));
    EXPECT_EQ(lines(log).size(), 3u);
    for (const char* part : {"train", "validation"}) {
        EXPECT_FALSE(fs::is_empty(*this / fmt::format("runs/train/simpler_cnn/tensorboard/{}", part)));
    }
    EXPECT_FALSE(fs::exists(*this / "runs/train/simpler_cnn/augmented.png")) << "nothing is augmented";
}

TEST_F(Recipes, ALengthThatWasPlannedCannotChange) {
    ok("train simpler_cnn --width 0.05 --data synthetic:70 --epochs 2 --schedule cosine");
    EXPECT_THAT(fails(2, "train --resume runs/train/simpler_cnn --epochs 3", "would change a run that has begun").err,
                HasSubstr("this one planned its length"));
}

TEST_F(Recipes, ASecondWriterIsTurnedAway) {
    Process first(folder_.path(), words("train custom_cnn --data synthetic:140 --batch 112 --epochs 1 --name run"), {});
    ASSERT_TRUE(first.wait_for("Epoch 1/1")) << first.err_so_far();
    EXPECT_THAT(fails(9, "train simpler_cnn --width 0.05 --data synthetic:70 --name run --exist-ok",
                      "another fer is writing into runs/train/run")
                    .err,
                HasSubstr("holds runs/train/run/.lock"));
    first.send(SIGKILL);
    first.finish();
    ok("train simpler_cnn --width 0.05 --data synthetic:70 --epochs 1 --name run --exist-ok");
}

}  // namespace
}  // namespace fer::test
