// What a person meets first: help, versions, lists, and slips of the hand.
#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Help : public ProgramTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(Help, FitsOnAScreen) {
    const Outcome help = ok(std::string(GetParam()) + " --help");
    EXPECT_EQ(help.err, "");
    EXPECT_LE(lines(help.out).size(), 48u);
    EXPECT_GE(lines(help.out).size(), 4u);
    for (const std::string& line : lines(help.out)) {
        EXPECT_LE(line.size(), 100u) << line;
    }
    EXPECT_THAT(help.out, HasSubstr("Usage: "));
    EXPECT_EQ(ok(std::string(GetParam()) + " -h").out, help.out);
    EXPECT_TRUE(tree().empty());
}

INSTANTIATE_TEST_SUITE_P(Commands, Help,
                         ::testing::Values("", "train", "evaluate", "predict", "summary", "plan", "data", "data info",
                                           "data preview", "data export", "recipe", "recipe list", "recipe show",
                                           "recipe diff", "doctor"),
                         [](const auto& at) { return fmt::format("Case{}", at.index); });

INSTANTIATE_TEST_SUITE_P(Report, Help, ::testing::Values("report"));

using Look = ProgramTest;

TEST_F(Look, HelpBeginsWithThreeExamples) {
    const Outcome help = ok("--help");
    EXPECT_LE(lines(help.out).size(), 32u);
    for (const char* example : {"  fer train ", "  fer evaluate ", "  fer predict "}) {
        EXPECT_LT(help.out.find(example), help.out.find("Usage: ")) << example;
    }
}

TEST_F(Look, HelpComesAtOnce) {
    std::vector<double> seconds;
    for (int run = 0; run < 5; ++run) {
        const auto start = std::chrono::steady_clock::now();
        fer("--help");
        seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::ranges::sort(seconds);
#ifndef FER_CHECKED  // sanitizers take longer to start than the program
    EXPECT_LT(seconds[2], 0.05);
#endif
}

TEST_F(Look, Version) { EXPECT_THAT(ok("--version").out, ::testing::MatchesRegex("fer [0-9.]+ .*\n")); }

TEST_F(Look, ListsNetworksAndRecipes) {
    const Outcome networks = ok("summary --list");
    EXPECT_THAT(networks.out, StartsWith("custom_cnn     48x48x1  "));
    EXPECT_GE(lines(networks.out).size(), 7u);
    EXPECT_EQ(networks.err, "");
    const Outcome recipes = ok("recipe list");
    EXPECT_THAT(recipes.out, HasSubstr("\nquickstart "));
    for (const std::string& line : lines(recipes.out)) {
        const std::string name = line.substr(0, line.find(' '));
        EXPECT_THAT(ok("recipe show " + name).out, HasSubstr("# recipe " + name + "\n"));
    }
}

TEST_F(Look, SummaryInTextAndJson) {
    EXPECT_THAT(ok("summary custom_cnn").out, HasSubstr(" Total params: 17,046,535 (65.03 MB)\n"));
    const auto json = nlohmann::json::parse(ok("summary custom_cnn --json").out);
    EXPECT_EQ(json["total_params"], 17'046'535);
    EXPECT_THAT(ok("summary custom_cnn --width 0.5").out, HasSubstr(" Total params: 4,"));
}

TEST_F(Look, PlanAndOneNodeOfIt) {
    const Outcome plan = ok("plan simpler_cnn --batch 4 --width 0.1");
    EXPECT_THAT(plan.out, HasSubstr("conv2d_1"));
    EXPECT_EQ(plan.err, "");
    const Outcome node = ok("plan simpler_cnn --batch 4 --width 0.1 --explain conv2d_1");
    EXPECT_THAT(node.out, StartsWith("conv2d 'conv2d_1'\n  reads   conv2d/relu "));
    EXPECT_THAT(node.out, HasSubstr("conv2d_wgrad 'conv2d_1/dw'"));
    EXPECT_THAT(ok("plan simpler_cnn --phase infer --batch 1 --width 0.1").out, ::testing::Not(HasSubstr("wgrad")));
    EXPECT_THAT(ok("plan --impl conv2d=reference simpler_cnn --batch 4 --width 0.1").out, HasSubstr("reference"));
    fails(2, "plan simpler_cnn --width 0.1 --explain conv2d_9", "the plan has no node 'conv2d_9'");
    fails(2, "plan simpler_cnn --width 0.1 --impl conv2d=magic", "no implementation 'magic' of conv2d on cpu");
    fails(2, "plan simpler_cnn --width 0.1 --impl conv2d", "op=name, got 'conv2d'");
    fails(2, "plan simpler_cnn --width 0.1 --fuse all", "unknown fusion rule 'all'");
}

struct Slip {
    const char* line;
    const char* what;
    const char* advice;
};

class Slips : public ProgramTest, public ::testing::WithParamInterface<Slip> {};

TEST_P(Slips, AreToldWithWhatComesNear) {
    const Outcome outcome = fails(2, GetParam().line, GetParam().what);
    EXPECT_THAT(outcome.err, HasSubstr(GetParam().advice));
    EXPECT_TRUE(tree().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Usage, Slips,
    ::testing::Values(
        Slip{"", "error: which command?", "one of: train, evaluate, predict"},
        Slip{"data", "fer data: which command?", "one of: info, preview, export"},
        Slip{"trian", "error: unknown command 'trian'", "did you mean 'train'?"},
        Slip{"data inf", "fer data: unknown command 'inf'", "did you mean 'info'?"},
        Slip{"train --epoch 3", "fer train: unknown option '--epoch'", "did you mean '--epochs'?"},
        Slip{"train --epoch=3", "fer train: unknown option '--epoch'", "did you mean '--epochs'?"},
        Slip{"data info --sed 3", "fer data info: unknown option '--sed'", "did you mean '--seed'?"},
        Slip{"train --quit", "fer train: unknown option '--quit'", "did you mean '--quiet'?"},
        Slip{"train --zzzzzzzzz", "fer train: unknown option '--zzzzzzzzz'", "try: fer train --help"},
        Slip{"train simpler_cnn custom_cnn", "fer train: unexpected argument 'custom_cnn'", "fer train --help"},
        Slip{"evaluate", "fer evaluate: run is required", "try: fer evaluate --help"},
        Slip{"report", "fer report: runs is required", "try: fer report --help"},
        Slip{"evaluate x --split tset", "--split: unknown value 'tset'; did you mean 'test'?", "--help"},
        Slip{"evaluate x --batch many", "--batch", "--help"},
        Slip{"train --lr", "fer train: --lr needs a value", "try: fer train --help"},
        Slip{"summary custom_cnn --width x", "fer summary: --width: 'x' is not a number", "--help"},
        Slip{"summary", "fer summary: which network?", "fer summary --list"},
        Slip{"summary simper_cnn", "unknown model 'simper_cnn'", "did you mean 'simpler_cnn'?"},
        Slip{"train simper_cnn", "unknown model 'simper_cnn'", "did you mean 'simpler_cnn'?"},
        Slip{"plan zzz", "unknown model 'zzz'", "one of: custom_cnn, simpler_cnn"},
        Slip{"train --recipe quikstart", "unknown recipe 'quikstart'", "did you mean 'quickstart'?"},
        Slip{"recipe show quikstart", "unknown recipe 'quikstart'", "did you mean 'quickstart'?"},
        Slip{"train --split offical", "--split: unknown value 'offical'", "did you mean 'official'?"},
        Slip{"train --lr fast", "--lr: 'fast' is not a number", ""},
        Slip{"train --batch 0", "--batch: 0 is out of range", "lies between 1 and 65536"},
        Slip{"train --data synthetic:many", "synthetic:N needs a number of faces from 1 to 1000000, got 'many'", ""},
        Slip{"train --device gpu", "--device: unknown value 'gpu'", ""},
        Slip{"train --progress bars", "--progress: unknown value 'bars'; one of auto, rich, plain, off", ""},
        Slip{"train --config nowhere.toml", "--config: cannot read nowhere.toml", "No such file or directory"},
        Slip{"train --data synthetic:7", "synthetic:7: no validation images", "--val-split 0 to validate on test/"},
        Slip{"train --data synthetic:70 --name a/b", "--name is the name of a folder, not a path: 'a/b'", ""}),
    [](const auto& at) { return fmt::format("Case{}", at.index); });

// "no CUDA device found", or "this build has no device 'cuda'".
TEST_F(Look, NoGpuHere) {
    const Outcome seen = ok("doctor");
    if (seen.out.find("ok    cuda") != std::string::npos) {
        GTEST_SKIP() << "there is one";
    }
    EXPECT_THAT(seen.out, HasSubstr("warn  cuda"));
    for (const char* line : {"train simpler_cnn --data synthetic:70 --device cuda", "evaluate run --device cuda",
                             "predict run x.png --device cuda"}) {
        const Outcome outcome = fails(4, line, "device");
        EXPECT_THAT(outcome.err, HasSubstr("try: --device cpu"));
    }
    EXPECT_TRUE(tree().empty());
}

TEST_F(Look, DoctorLooksAtDevicesFoldersAndData) {
    const Outcome seen = ok("doctor --data synthetic:70");
    for (const char* line : {"ok    fer ", "ok    cpu ", "ok    runs ", "    gnuplot   ", "    opencv    ",
                             "ok    weights   ", "ok    data      synthetic:70: 56 train / 14 val / 14 test"}) {
        EXPECT_THAT(seen.out, HasSubstr(line));
    }
    const Outcome bare = ok("doctor", {.environment = {{"FER_GNUPLOT", "/nowhere/gnuplot"}}});
    EXPECT_THAT(bare.out, HasSubstr("warn  gnuplot   not installed: reports have tables, but no plots\n"
                                    "                fix: apt-get install gnuplot-nox\n"));
    const Outcome lost = fer("doctor --data nowhere.zip");
    EXPECT_EQ(lost.status, 3);
    EXPECT_THAT(lost.out, HasSubstr("fail  data      no data at 'nowhere.zip'"));
    EXPECT_TRUE(tree().empty());
}

// A plan needs no hardware.
TEST_F(Look, PlansForAGpuAnywhere) {
    if (ok("--version").out.find("cuda") == std::string::npos) {
        GTEST_SKIP() << "this build has no cuda";
    }
    const Outcome plan = ok("plan custom_cnn --device cuda --precision bf16 --batch 64");
    for (const char* text :
         {"conv2d.first", "conv2d.handwritten", "image_conv.handwritten", "declined", "peak ", "GFLOP"}) {
        EXPECT_THAT(plan.out, HasSubstr(text));
    }
    EXPECT_THAT(ok("plan custom_cnn --device cuda --precision bf16 --explain conv2d_1").out,
                HasSubstr("first declined: 32 input channels, the kernel takes up to 4"));
    fails(2, "plan custom_cnn --device cpu --precision bf16", "the cpu computes in fp32, not in bf16");
    fails(2, "plan custom_cnn --device cuda --precision bf61", "unknown precision 'bf61'");
}

struct BadFile {
    const char* text;
    const char* what;
    const char* more;
};

class ConfigFile : public ProgramTest, public ::testing::WithParamInterface<BadFile> {};

TEST_P(ConfigFile, MistakesAreToldWithTheirPlace) {
    write("my.toml", GetParam().text);
    const Outcome outcome = fails(2, "train --config my.toml", GetParam().what);
    EXPECT_THAT(outcome.err, HasSubstr(GetParam().more));
    EXPECT_THAT(tree(), ::testing::ElementsAre("my.toml"));
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, ConfigFile,
    ::testing::Values(BadFile{"[train]\nepochs = 3\nepoch = 3\n", "unknown key 'epoch' in [train]",
                              "  --> my.toml:3:1\n  try: did you mean 'epochs'?"},
                      BadFile{"[trian]\n", "unknown table 'trian'", "  --> my.toml:1:2\n  try: did you mean 'train'?"},
                      BadFile{"[train]\nepochs = \"3\"\n",
                              "my.toml:2:1: train.epochs must be a whole number, not \"3\"", ""},
                      BadFile{"[train]\nepochs = 0\n", "my.toml:2:1: train.epochs: 0 is out of range", "between 1 and"},
                      BadFile{"[train\n", "my.toml is not valid TOML", "  --> my.toml:1:7"}),
    [](const auto& at) { return fmt::format("Case{}", at.index); });

}  // namespace
}  // namespace fer::test
