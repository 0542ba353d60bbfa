// Training from the command line: what it writes, where, and what it says.
#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

using Train = ProgramTest;

TEST_F(Train, WritesItsRunFolder) {
    const Outcome train = ok(kTiny + " --epochs 2");
    EXPECT_THAT(tree(), ElementsAre("runs", "runs/train", "runs/train/latest", "runs/train/simpler_cnn",
                                    "runs/train/simpler_cnn/.lock", "runs/train/simpler_cnn/config.toml",
                                    "runs/train/simpler_cnn/results.csv", "runs/train/simpler_cnn/run.json",
                                    "runs/train/simpler_cnn/training.log", "runs/train/simpler_cnn/weights",
                                    "runs/train/simpler_cnn/weights/best.safetensors",
                                    "runs/train/simpler_cnn/weights/last.safetensors",
                                    "runs/train/simpler_cnn/weights/last.state.safetensors"));
    EXPECT_THAT(train.out, MatchesRegex("best epoch [12]: val_accuracy [0-9.]+, val_loss [0-9.]+\n"
                                        "saved runs/train/simpler_cnn\n"));
    EXPECT_THAT(train.err,
                StartsWith("plan  simpler_cnn 96,876 params | 56 train / 14 val | batch 16 | 4 steps/epoch"));
    EXPECT_THAT(train.err, HasSubstr("\nEpoch 2/2\n4/4 "));
    EXPECT_THAT(train.err, HasSubstr("\nnext  fer evaluate runs/train/simpler_cnn\n"));
    const auto run = read_json("runs/train/latest/run.json");
    EXPECT_EQ(run["exit_reason"], "finished");
    EXPECT_EQ(run["epochs_done"], 2);
    EXPECT_EQ(run["parameters"], 96876);
    EXPECT_EQ(run["command"], "fer " + kTiny + " --epochs 2");
    EXPECT_EQ(lines(read("runs/train/latest/results.csv")).size(), 3u);
    EXPECT_THAT(read("runs/train/latest/config.toml"), ::testing::ContainsRegex("epochs = 2 +# flag\n"));
}

TEST_F(Train, DryRunWritesNothing) {
    const Outcome dry = ok(kTiny + " --dry-run");
    EXPECT_THAT(dry.out, StartsWith("plan  simpler_cnn 96,876 params | 56 train / 14 val"));
    EXPECT_EQ(dry.err, "");
    EXPECT_TRUE(tree().empty());
}

TEST_F(Train, RunFoldersAreNumbered) {
    for (int run = 0; run < 3; ++run) {
        ok(kTiny + " --epochs 1");
    }
    EXPECT_THAT(tree(), IsSupersetOf({"runs/train/simpler_cnn/run.json", "runs/train/simpler_cnn-2/run.json",
                                      "runs/train/simpler_cnn-3/run.json"}));
    EXPECT_EQ(fs::read_symlink(*this / "runs/train/latest"), "simpler_cnn-3");
    EXPECT_EQ(read("runs/train/simpler_cnn/weights/last.safetensors"),
              read("runs/train/simpler_cnn-3/weights/last.safetensors"));
    const auto before = tree();
    ok(kTiny + " --epochs 2 --exist-ok");
    EXPECT_EQ(tree(), before);
    EXPECT_EQ(fs::read_symlink(*this / "runs/train/latest"), "simpler_cnn");
    EXPECT_EQ(read_json("runs/train/simpler_cnn/run.json")["epochs_done"], 2);
    ok(kTiny + " --epochs 1 --out elsewhere --name mine");
    EXPECT_TRUE(fs::exists(*this / "elsewhere/mine/run.json"));
}

TEST_F(Train, TakesSettingsFromRecipeFileEnvironmentAndFlags) {
    write("my.toml", "[train]\nepochs = 7\nbatch = 20\nwidth = 0.2\n");
    const Outcome dry = ok("train --recipe quickstart --config my.toml --width 0.1 --data synthetic:140 --dry-run",
                           {.environment = {{"FER_TRAIN_BATCH", "28"}}});
    EXPECT_THAT(dry.out, HasSubstr(" 96,876 params | 112 train / 28 val | batch 28 | 4 steps/epoch | adam 0.0003 "));
    fails(2, "train --dry-run", "FER_TRAIN_BATCH: 'many' is not a whole number",
          {.environment = {{"FER_TRAIN_BATCH", "many"}}});
    EXPECT_THAT(ok("train --width 0.1 --dry-run", {.environment = {{"FER_DATA", "synthetic:70"}}}).out,
                HasSubstr("56 train / 14 val"));
}

TEST_F(Train, SaysItInPlainLinesWithoutATerminal) {
    for (const char* variable : {"UNUSED", "NO_COLOR", "CI"}) {
        const Outcome train = ok(kTiny + " --epochs 1 --exist-ok", {.environment = {{variable, "1"}}});
        EXPECT_FALSE(has_escape_codes(train.out + train.err)) << variable;
        EXPECT_EQ((train.out + train.err).find_first_of("\r\b"), std::string::npos) << variable;
    }
}

// Keras 3's line, then images a second and memory; colours only where a terminal wants them.
TEST_F(Train, SaysItAsKerasDoesOnATerminal) {
    const Outcome train = ok(kTiny + " --epochs 1 --progress rich");
    const std::size_t at = train.err.find("\r4/4 ");
    ASSERT_NE(at, std::string::npos) << train.err;
    EXPECT_THAT(train.err.substr(at, train.err.find('\n', at) - at),
                ::testing::MatchesRegex("\r4/4 (━){20} [0-9]+s [0-9]+[mu]?s/step - accuracy: [0-9.]+ - loss: [0-9.]+ - "
                                        "val_accuracy: [0-9.]+ - val_loss: [0-9.]+ - learning_rate: [0-9.e-]+ - "
                                        "[0-9]+ img/s - [0-9.]+ [MG]B\033\\[K"));
    EXPECT_EQ(train.err.find("\033[3"), std::string::npos) << "a colour in a file";
}

TEST_F(Train, QuietLeavesResultsAndErrors) {
    const Outcome train = ok(kTiny + " --epochs 1 --quiet");
    EXPECT_EQ(train.err, "");
    EXPECT_THAT(train.out, HasSubstr("saved runs/train/simpler_cnn\n"));
    fails(2, kTiny + " --quiet --lr 0", "--lr: 0 is out of range");
}

TEST_F(Train, DivergenceIsExitSix) {
    const Outcome train = fer(kTiny + " --epochs 2 --optimizer sgd --lr 1000");
    EXPECT_EQ(train.status, 6);
    EXPECT_THAT(train.err, HasSubstr("fer: error: the loss is not finite in epoch 1, "));
    EXPECT_THAT(train.err, ::testing::ContainsRegex("  why: first tensor that is not finite: [a-z_0-9]+/"));
    EXPECT_THAT(train.err, HasSubstr("  try: a smaller --lr"));
    EXPECT_THAT(read_json("runs/train/simpler_cnn/run.json")["exit_reason"].get<std::string>(),
                StartsWith("failed: the loss is not finite"));
}

// The CUDA executor and kernels from the command line, without a GPU.
TEST_F(Train, OnTheEmulatedDevice) {
    if (ok("--version").out.find("emulated") == std::string::npos) {
        GTEST_SKIP() << "this build has no emulated device";
    }
    ok("train custom_cnn --device emulated --data synthetic:64 --width 0.125 --epochs 1 --precision bf16");
    const auto manifest = read_json("runs/train/custom_cnn/run.json");
    EXPECT_EQ(manifest["device"], "emulated");
    EXPECT_EQ(manifest["precision"], "bf16");
    const Outcome there = ok("evaluate runs/train/custom_cnn --device emulated --out there");
    const Outcome here = ok("evaluate runs/train/custom_cnn --device cpu --out here");
    EXPECT_NEAR(read_json("there/metrics.json")["loss"].get<double>(),
                read_json("here/metrics.json")["loss"].get<double>(), 1e-4);
}

TEST_F(Train, OutOfDeviceMemoryNamesABatchThatFits) {
    if (ok("--version").out.find("emulated") == std::string::npos) {
        GTEST_SKIP() << "this build has no emulated device";
    }
    const std::string command = "train custom_cnn --device emulated --data synthetic:70 --dry-run --batch ";
    const Outcome full = fer(command + "8192");
    EXPECT_EQ(full.status, 5);
    EXPECT_THAT(full.err, HasSubstr("out of device memory: batch 8192 needs "));
    const std::string hint = "  try: --batch ";
    const std::size_t at = full.err.find(hint);
    ASSERT_NE(at, std::string::npos) << full.err;
    const int fits = std::stoi(full.err.substr(at + hint.size()));
    EXPECT_GT(fits, 64);
    EXPECT_EQ(fer(command + std::to_string(fits + 1)).status, 5);
}

TEST_F(Train, StopsEarlyAndSaysWhy) {
    const Outcome train = ok(kTiny + " --epochs 30 --patience 1 --lr 0.05");
    EXPECT_THAT(train.err, ::testing::ContainsRegex("Epoch [0-9]+: early stopping, val_loss has not improved on "));
    EXPECT_EQ(read_json("runs/train/simpler_cnn/run.json")["exit_reason"], "stopped early");
    EXPECT_THAT(ok("train --resume runs/train/simpler_cnn").err, HasSubstr("stopped early after epoch"));
}

TEST_F(Train, ResumeGoesOnWithMoreEpochs) {
    ok("train --recipe quickstart --width 0.1 --data synthetic:70 --epochs 3 --name whole");
    ok("train --recipe quickstart --width 0.1 --data synthetic:70 --epochs 1 --name parts");
    ok("train --resume runs/train/parts --epochs 3");
    for (const char* file : {"best", "last"}) {
        EXPECT_TRUE(read(fmt::format("runs/train/whole/weights/{}.safetensors", file)) ==
                    read(fmt::format("runs/train/parts/weights/{}.safetensors", file)))
            << file << " differs; the recipe's name is part of it";
    }
    EXPECT_EQ(read_json("runs/train/parts/run.json")["recipe"], "quickstart");
    const Outcome done = ok("train --resume runs/train/parts");
    EXPECT_THAT(done.err, HasSubstr("epoch 3 of 3 is done: nothing is left to train (a larger --epochs goes on)"));
    EXPECT_THAT(done.err, Not(HasSubstr("Epoch")));
}

TEST_F(Train, ResumeRefusesAnotherRun) {
    ok(kTiny + " --epochs 1 --name run");
    const auto before = tree();
    const std::string config = read("runs/train/run/config.toml");
    const std::string manifest = read("runs/train/run/run.json");
    const std::string resume = "train --resume runs/train/run";
    fails(2, resume + " --lr 0.1", "--lr 0.1 would change a run that has begun");
    fails(2, resume + " --batch 8", "--batch 8 would change a run that has begun");
    fails(2, resume + " --recipe quickstart", "--resume goes on with the run's own settings");
    fails(2, "train custom_cnn --resume runs/train/run", "runs/train/run trains simpler_cnn, not custom_cnn");
    fails(3, resume + " --data synthetic:77", "the data set synthetic:77 is not the one this run began with");
    fails(3, "train --resume nowhere", "no run to resume in nowhere");
    EXPECT_EQ(tree(), before);
    EXPECT_EQ(read("runs/train/run/config.toml"), config);
    EXPECT_EQ(read("runs/train/run/run.json"), manifest);
}

TEST_F(Train, ResumeRefusesAStateThatIsNotTheRuns) {
    ok(kTiny + " --epochs 1 --name run");
    ok("train gap_cnn --width 0.1 --data synthetic:70 --batch 16 --epochs 1 --name other");
    ok("train simpler_cnn --width 0.2 --data synthetic:70 --batch 16 --epochs 1 --name wide");
    const std::string state = "weights/last.state.safetensors";
    const std::string own = read("runs/train/run/" + state);
    const std::string config = read("runs/train/run/config.toml");
    struct Case {
        std::string bytes, what, why;
    };
    std::string damaged = own;
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    const std::vector<Case> cases{
        {read("runs/train/other/" + state), "last.state.safetensors is of gap_cnn", "trains simpler_cnn"},
        {read("runs/train/wide/" + state), "last.state.safetensors does not fit this run", " there, "},
        {read("runs/train/run/weights/last.safetensors"), "is not the state of a training run", ""},
        {own.substr(0, own.size() / 2), "is not a usable safetensors file", ""},
        {damaged, "is not a usable safetensors file", "the data is damaged"},
        {"version https://git-lfs.github.com/spec/v1\n", "is not a usable safetensors file", "Git LFS pointer"}};
    for (const Case& c : cases) {
        write("runs/train/run/" + state, c.bytes);
        EXPECT_THAT(fails(3, "train --resume runs/train/run", c.what).err, HasSubstr(c.why));
        EXPECT_EQ(read("runs/train/run/config.toml"), config) << "nothing is overwritten";
        EXPECT_TRUE(read("runs/train/run/" + state) == c.bytes);
    }
    fs::remove(*this / ("runs/train/run/" + state));
    EXPECT_THAT(fails(3, "train --resume runs/train/run", "nothing to resume in runs/train/run").err,
                HasSubstr("try: start it again without --resume"));
}

TEST_F(Train, AnUnwritableStandardErrorStopsNothing) {
    const Outcome train = ok(kTiny + " --epochs 1", {.standard_error = "/dev/full"});
    EXPECT_THAT(train.out, HasSubstr("saved runs/train/simpler_cnn\n"));
}

TEST_F(Train, NamesNeedNotBeUtf8) {
    const Outcome train = fer({"train", "simpler_cnn", "--width", "0.1", "--data", "synthetic:70", "--batch", "16",
                               "--epochs", "1", "--name", "caf\xE9"});
    EXPECT_EQ(train.status, 0) << train.err;
    EXPECT_TRUE(fs::exists(*this / "runs/train/caf\xE9/run.json"));
}

}  // namespace
}  // namespace fer::test
