// A run that stopped and was taken up again is the run that never stopped, to the last bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/threads.hpp"
#include "tests/train/small_run.hpp"

namespace fer::test {
namespace {

constexpr int kStepsPerEpoch = 4;

/// FER_RESUME_EPOCHS=10 cuts a run of forty steps at every one of them.
int epochs() {
    const char* given = std::getenv("FER_RESUME_EPOCHS");
    return given == nullptr ? 3 : std::atoi(given);
}
const int kSteps = kStepsPerEpoch * epochs();

Config long_config() {
    Config config = eventful_config();
    config.train.epochs = epochs();
    config.early_stopping.patience = epochs();
    return config;
}

TEST(Resume, SameSeedSameBytesOtherSeedOtherBytes) {
    const Threads two(2);  // whoever takes which share of the work
    const TemporaryFolder folder;
    for (const char* name : {"a", "b", "c"}) {
        Config config = eventful_config();
        config.train.epochs = 1;
        config.train.seed = *name == 'c' ? 1 : 0;
        EXPECT_EQ(SmallRun(config, folder / name).run(), Outcome::kFinished);
    }
    expect_same_files(folder / "a", folder / "b");
    EXPECT_NE(tensors_of(TrainFiles{folder / "a"}.last()), tensors_of(TrainFiles{folder / "c"}.last()));
}

// oneDNN adds up in an order that depends on the number of threads: bits are the same for the same number only.
// The reference implementations do not care.
TEST(Resume, ReferenceGivesTheSameBytesWithOneThreadAndTwo) {
    const std::map<std::string, std::string> reference{{"conv2d", "reference"},       {"conv2d_wgrad", "reference"},
                                                       {"conv2d_dgrad", "reference"}, {"dense", "reference"},
                                                       {"dense_wgrad", "reference"},  {"dense_dgrad", "reference"},
                                                       {"batch_norm", "reference"},   {"batch_norm_grad", "reference"}};
    const TemporaryFolder folder;
    for (const int threads : {1, 2}) {
        const Threads limit(threads);
        Config config = eventful_config();
        config.train.epochs = 1;
        SmallRun(config, folder / std::to_string(threads), SmallRun::default_faces(), small_net, reference).run();
    }
    expect_same_files(folder / "1", folder / "2");
}

class ResumeAtStep : public ::testing::TestWithParam<int> {};

TEST_P(ResumeAtStep, EndsAsIfNeverStopped) {
    const Threads one(1);
    const TemporaryFolder folder;
    SmallRun whole(long_config(), folder / "whole");
    ASSERT_EQ(whole.run(), Outcome::kFinished);
    ASSERT_EQ(whole.watcher.steps, kSteps);
    ASSERT_LT(whole.progress().history.back().learning_rate, 1e-2f) << "nothing happened between the epochs";

    const int stop_after = GetParam();
    {
        SmallRun first(long_config(), folder / "parts");
        first.watcher.stop_after = stop_after;
        ASSERT_EQ(first.run(), stop_after == kSteps ? Outcome::kFinished : Outcome::kInterrupted);
        EXPECT_EQ(first.watcher.steps, stop_after);
        EXPECT_EQ(first.progress().epoch, stop_after / kStepsPerEpoch);
    }
    SmallRun second(long_config(), folder / "parts");
    second.resume();
    EXPECT_EQ(second.run(), Outcome::kFinished);
    EXPECT_EQ(second.watcher.steps, kSteps - stop_after);
    expect_same_files(folder / "parts", folder / "whole");
    expect_same_history(second.progress(), whole.progress());
}

INSTANTIATE_TEST_SUITE_P(EveryStep, ResumeAtStep, ::testing::Range(1, kSteps + 1));

TEST(Resume, StoppedAgainAndAgain) {
    const Threads one(1);
    const TemporaryFolder folder;
    SmallRun(long_config(), folder / "whole").run();
    for (int process = 0; process < kSteps; ++process) {
        SmallRun run(long_config(), folder / "parts");
        if (process > 0) {
            run.resume();
        }
        run.watcher.stop_after = 1;
        run.run();
    }
    expect_same_files(folder / "parts", folder / "whole");
}

struct Rule {
    const char* name;
    double momentum;
    bool nesterov;
};

class ResumeOptimizer : public ::testing::TestWithParam<Rule> {};

TEST_P(ResumeOptimizer, CarriesItsState) {
    const Threads one(1);
    Config config = small_config(2);
    config.optimizer.name = GetParam().name;
    config.optimizer.momentum = GetParam().momentum;
    config.optimizer.nesterov = GetParam().nesterov;
    const TemporaryFolder folder;
    SmallRun(config, folder / "whole").run();
    SmallRun first(config, folder / "parts");
    first.watcher.stop_after = 6;
    ASSERT_EQ(first.run(), Outcome::kInterrupted);
    SmallRun second(config, folder / "parts");
    second.resume();
    ASSERT_EQ(second.run(), Outcome::kFinished);
    expect_same_files(folder / "parts", folder / "whole");
}

INSTANTIATE_TEST_SUITE_P(Rules, ResumeOptimizer,
                         ::testing::Values(Rule{"adam", 0, false}, Rule{"sgd", 0, false}, Rule{"sgd", 0.9, false},
                                           Rule{"sgd", 0.9, true}, Rule{"rmsprop", 0, false},
                                           Rule{"rmsprop", 0.9, false}),
                         [](const auto& at) { return fmt::format("{}{}", at.param.name, at.index); });

TEST(Resume, MoreEpochsThanAskedAtFirst) {
    const Threads one(1);
    const TemporaryFolder folder;
    SmallRun(small_config(3), folder / "whole").run();
    EXPECT_EQ(SmallRun(small_config(1), folder / "parts").run(), Outcome::kFinished);
    SmallRun longer(small_config(3), folder / "parts");
    longer.resume();
    EXPECT_EQ(longer.run(), Outcome::kFinished);
    EXPECT_EQ(longer.watcher.steps, 2 * kStepsPerEpoch);
    expect_same_files(folder / "parts", folder / "whole");
}

TEST(Resume, AFinishedOrStoppedRunTrainsNoFurther) {
    const Threads one(1);
    const TemporaryFolder folder;
    Config config = small_config(5);
    config.early_stopping = {.enabled = true, .monitor = "val_accuracy", .patience = 1};
    config.early_stopping.min_delta = 10;  // only the first epoch improves
    EXPECT_EQ(SmallRun(config, folder / "run").run(), Outcome::kStoppedEarly);
    const auto before = read_file(TrainFiles{folder / "run"}.last());
    SmallRun again(config, folder / "run");
    again.resume();
    EXPECT_EQ(again.run(), Outcome::kStoppedEarly);
    EXPECT_EQ(again.watcher.steps, 0);
    EXPECT_EQ(read_file(TrainFiles{folder / "run"}.last()), before);
}

TEST(Resume, AStopBeforeTheFirstStepSavesTheStart) {
    const Threads one(1);
    const TemporaryFolder folder;
    SmallRun first(small_config(1), folder / "parts");
    first.watcher.stop = true;
    EXPECT_EQ(first.run(), Outcome::kInterrupted);
    SmallRun second(small_config(1), folder / "parts");
    second.resume();
    EXPECT_EQ(second.run(), Outcome::kFinished);
    SmallRun(small_config(1), folder / "whole").run();
    expect_same_files(folder / "parts", folder / "whole");
}

// The CUDA executor: recorded steps, state in the device's memory, a scale of the loss in fp16.
class ResumeOnDevice : public ::testing::TestWithParam<Precision> {};

TEST_P(ResumeOnDevice, StoppedAfterEveryStep) {
    const auto names = device_names();
    if (std::ranges::count(names, "emulated") == 0) {
        GTEST_SKIP() << "this build has no emulated device";
    }
#ifdef FER_CHECKED
    const int epochs = 3;
#else
    const int epochs = GetParam() == Precision::kBf16 ? 10 : 3;
#endif
    const TemporaryFolder folder;
    const auto run = [&](const char* name) {
        Config config = eventful_config();
        config.train.epochs = epochs;
        config.early_stopping.patience = epochs;
        return std::make_unique<SmallRun>(config, folder / name, SmallRun::default_faces(), small_net,
                                          std::map<std::string, std::string>{}, find_device("emulated"), GetParam());
    };
    ASSERT_EQ(run("whole")->run(), Outcome::kFinished);
    for (int step = 0; step < epochs * kStepsPerEpoch; ++step) {
        const auto part = run("parts");
        if (step > 0) {
            part->resume();
        }
        part->watcher.stop_after = 1;
        ASSERT_EQ(part->run(), step + 1 < epochs * kStepsPerEpoch ? Outcome::kInterrupted : Outcome::kFinished);
    }
    expect_same_files(folder / "parts", folder / "whole");
}

INSTANTIATE_TEST_SUITE_P(Precisions, ResumeOnDevice,
                         ::testing::Values(Precision::kFp32, Precision::kBf16, Precision::kFp16),
                         [](const auto& at) { return std::string(name_of(at.param)); });

}  // namespace
}  // namespace fer::test
