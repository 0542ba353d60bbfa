// Ctrl-C and kill: the step is finished, everything is saved, and --resume ends where an uninterrupted run does.
#include "engine/formats/safetensors.hpp"
#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

struct Stop {
    int signal;
    int status;
};

class Interrupt : public ProgramTest, public ::testing::WithParamInterface<Stop> {
protected:
    /// Longer than anybody needs to send a signal.
    const std::string long_run_ = "train simpler_cnn --width 0.1 --data synthetic:140 --batch 16 --epochs 6";

    std::map<std::string, std::string> state(const std::string& run) const {
        const SafetensorsFile file(*this / ("runs/train/" + run + "/weights/last.state.safetensors"));
        std::map<std::string, std::string> tensors;
        for (const auto& entry : file.entries()) {
            tensors[entry.name] = std::string(file.data(entry), entry.end - entry.begin);
        }
        return tensors;
    }
};

TEST_P(Interrupt, SavesAndResumesToTheSameBytes) {
    ok(long_run_ + " --name whole");
    Process process(folder_.path(), words(long_run_ + " --name parts"), {});
    ASSERT_TRUE(process.wait_for("Epoch 2/6")) << process.err_so_far();
    process.send(GetParam().signal);
    const Outcome stopped = process.finish();
    EXPECT_EQ(stopped.status, GetParam().status) << stopped.err;
    EXPECT_EQ(stopped.out, "") << "an interrupted run has no result yet";
    EXPECT_THAT(stopped.err, HasSubstr("everything is saved"));
    EXPECT_THAT(stopped.err, HasSubstr("\nnext  fer train --resume runs/train/parts\n"));
    const auto run = read_json("runs/train/parts/run.json");
    EXPECT_EQ(run["exit_reason"], "interrupted");
    EXPECT_LT(run["epochs_done"], 6);
    EXPECT_TRUE(fs::exists(*this / "runs/train/parts/weights/last.safetensors"));

    ok("train --resume runs/train/parts");
    for (const char* file : {"best", "last"}) {
        EXPECT_TRUE(read(fmt::format("runs/train/whole/weights/{}.safetensors", file)) ==
                    read(fmt::format("runs/train/parts/weights/{}.safetensors", file)))
            << file;
    }
    EXPECT_TRUE(state("parts") == state("whole"));
    EXPECT_EQ(read_json("runs/train/parts/run.json")["exit_reason"], "finished");
    EXPECT_EQ(lines(read("runs/train/parts/results.csv")).size(), 7u);
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupt, ::testing::Values(Stop{SIGINT, 130}, Stop{SIGTERM, 143}),
                         [](const auto& at) { return at.param.signal == SIGINT ? "SIGINT" : "SIGTERM"; });

using Kill = Interrupt;

TEST_F(Kill, LeavesTheLastEpochToResumeFrom) {
    ok(long_run_ + " --name whole");
    Process process(folder_.path(), words(long_run_ + " --name parts"), {});
    ASSERT_TRUE(process.wait_for("Epoch 3/6")) << process.err_so_far();
    process.send(SIGKILL);
    EXPECT_EQ(process.finish().status, 128 + SIGKILL);
    ok("train --resume runs/train/parts");
    EXPECT_TRUE(read("runs/train/whole/weights/last.safetensors") == read("runs/train/parts/weights/last.safetensors"));
    EXPECT_TRUE(state("parts") == state("whole"));
}

TEST_F(Kill, ASecondSignalEndsAtOnce) {
    // A step of the full network takes long enough for the second signal to find it.
    Process process(folder_.path(), words("train custom_cnn --data synthetic:140 --batch 112 --epochs 1"), {});
    ASSERT_TRUE(process.wait_for("Epoch 1/1")) << process.err_so_far();
    process.send(SIGINT);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    process.send(SIGINT);
    EXPECT_EQ(process.finish().status, 130);
    EXPECT_FALSE(fs::exists(*this / "runs/train/custom_cnn/weights/last.safetensors"));
}

}  // namespace
}  // namespace fer::test
