// What the stronger recipes are made of: schedules, averaged weights, accumulation, clipping, mixup, cutout, crops. All
// of it resumes to the last bit and does what it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "engine/train/run_folder.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/threads.hpp"
#include "tests/train/small_run.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

/// All of them at once. Batches of 8: seven steps an epoch, three updates of three, three and one.
Config modern_config() {
    Config config = small_config(2);
    config.train.batch = 8;
    config.train.accumulate = 3;
    config.train.ema = 0.9;
    config.train.label_smoothing = 0.1;
    config.optimizer.name = "sgd";
    config.optimizer.momentum = 0.9;
    config.optimizer.nesterov = true;
    config.optimizer.lr = 0.05;
    config.optimizer.global_clipnorm = 1;
    config.schedule.name = "one_cycle";
    config.augment.horizontal_flip = true;
    config.augment.random_crop = 3;
    config.augment.cutout = 6;
    config.augment.cutout_probability = 0.5;
    config.augment.mixup = 0.3;
    config.augment.mixup_until = 0.8;
    return config;
}

constexpr int kSteps = 14;

class ModernResume : public ::testing::TestWithParam<int> {};

TEST_P(ModernResume, EndsAsIfNeverStopped) {
    const Threads one(1);
    const TemporaryFolder folder;
    SmallRun whole(modern_config(), folder / "whole");
    ASSERT_EQ(whole.run(), Outcome::kFinished);
    ASSERT_EQ(whole.watcher.steps, kSteps);
    {
        SmallRun first(modern_config(), folder / "parts");
        first.watcher.stop_after = GetParam();
        ASSERT_EQ(first.run(), Outcome::kInterrupted);
    }
    SmallRun second(modern_config(), folder / "parts");
    second.resume();
    ASSERT_EQ(second.run(), Outcome::kFinished);
    expect_same_files(folder / "parts", folder / "whole");
    expect_same_history(second.progress(), whole.progress());
}

// In the middle of a group of batches, behind one, at the end of the epoch, behind the last step with mixup.
INSTANTIATE_TEST_SUITE_P(Steps, ModernResume, ::testing::Values(1, 3, 5, 7, 12));

#ifdef FER_CHECKED
constexpr Precision kDevicePrecisions[] = {Precision::kFp16};
#else
constexpr Precision kDevicePrecisions[] = {Precision::kFp32, Precision::kBf16, Precision::kFp16};
#endif

TEST(Modern, ResumesOnTheEmulatedDevice) {
    if (std::ranges::count(device_names(), "emulated") == 0) {
        GTEST_SKIP() << "this build has no emulated device";
    }
    for (const Precision precision : kDevicePrecisions) {
        SCOPED_TRACE(name_of(precision));
        const TemporaryFolder folder;
        const auto run = [&](const char* name) {
            return std::make_unique<SmallRun>(modern_config(), folder / name, SmallRun::default_faces(), small_net,
                                              std::map<std::string, std::string>{}, find_device("emulated"), precision);
        };
        ASSERT_EQ(run("whole")->run(), Outcome::kFinished);
        {
            const auto first = run("parts");
            first->watcher.stop_after = 5;
            ASSERT_EQ(first->run(), Outcome::kInterrupted);
        }
        const auto second = run("parts");
        second->resume();
        ASSERT_EQ(second->run(), Outcome::kFinished);
        expect_same_files(folder / "whole", folder / "parts");
    }
}

/// Largest difference of two weight files, and the largest weight.
std::pair<double, double> difference(const std::filesystem::path& a, const std::filesystem::path& b) {
    const SafetensorsFile ours(a), theirs(b);
    double worst = 0, largest = 0;
    for (const auto& entry : theirs.entries()) {
        const auto* x = reinterpret_cast<const float*>(ours.data(*ours.find(entry.name)));
        const auto* y = reinterpret_cast<const float*>(theirs.data(entry));
        for (std::int64_t i = 0; i < entry.shape.count(); ++i) {
            worst = std::max(worst, static_cast<double>(std::abs(x[i] - y[i])));
            largest = std::max(largest, static_cast<double>(std::abs(y[i])));
        }
    }
    return {worst, largest};
}

// 56 images: 16, 16, 16 and 8 at once, or as pairs of 8 and one alone. Adam's bias correction counts updates, not
// batches.
TEST(Accumulation, SeveralBatchesMakeTheUpdateOfOne) {
    for (const char* optimizer : {"sgd", "adam"}) {
        SCOPED_TRACE(optimizer);
        const TemporaryFolder folder;
        Config config = small_config(2);
        config.optimizer.name = optimizer;
        config.optimizer.lr = 1e-3;
        config.optimizer.epsilon = 1e-3;  // where gradients are rounding errors, Adam's steps are too
        SmallRun(config, folder / "large", SmallRun::default_faces(), plain_net).run();
        config.train.batch = 8;
        config.train.accumulate = 2;
        SmallRun small(config, folder / "small", SmallRun::default_faces(), plain_net);
        small.run();
        EXPECT_EQ(small.watcher.steps, 2 * 7);
        const auto [worst, largest] =
            difference(TrainFiles{folder / "small"}.last(), TrainFiles{folder / "large"}.last());
        EXPECT_LT(worst, 1e-5 * largest);
        config.train.accumulate = 1;
        SmallRun(config, folder / "other", SmallRun::default_faces(), plain_net).run();
        EXPECT_GT(difference(TrainFiles{folder / "other"}.last(), TrainFiles{folder / "large"}.last()).first,
                  1e-4 * largest);
    }
}

TEST(Averages, AreWhatIsValidatedAndKept) {
    const TemporaryFolder folder;
    Config config = small_config(2);
    config.train.ema = 0.9;
    SmallRun run(config, folder / "run");
    ASSERT_EQ(run.run(), Outcome::kFinished);
    const TrainFiles files{folder / "run"};
    const auto state = tensors_of(files.state());
    const auto last = tensors_of(files.last());
    for (const auto& [name, bytes] : last) {
        EXPECT_TRUE(bytes == state.at(kAverages + name)) << name;
        EXPECT_FALSE(bytes == state.at(name)) << name << " is no average";
    }
    SmallRun fresh(config);
    load_weights(SafetensorsFile(files.last()), "last", fresh.session().variables(), fresh.session().step());
    EXPECT_EQ(fresh.session().evaluate(fresh.split().validation).metrics.loss, run.progress().history.back().val_loss);
}

TEST(Averages, BeginAtTheFirstWeightsAndWarmUp) {
    Config config = small_config(1);
    config.train.ema = 0.9;
    config.train.batch = 56;  // one update: the average moves nine tenths of the way
    SmallRun run(config);
    const auto read = [&](const std::string& name) { return run.session().variables().read<float>(name); };
    const std::string kernel = run.session().step().graph.value(run.session().step().variables[0].id).name;
    const std::vector<float> before = read(kernel);
    run.run();
    const std::vector<float> after = read(kernel), average = read(kAverages + kernel);
    for (std::size_t i = 0; i < before.size(); ++i) {
        EXPECT_FLOAT_EQ(average[i], 0.1f * before[i] + 0.9f * after[i]);
    }
}

TEST(Schedule, TheRecordedRateIsThatOfTheLastUpdate) {
    Config config = small_config(3);
    config.schedule = {.name = "one_cycle", .warmup = 0.5, .start = 0.1, .end = 0.01};
    SmallRun run(config);
    ASSERT_EQ(run.run(), Outcome::kFinished);
    const Schedule schedule{ScheduleKind::kOneCycle, 12, 0.5, 0.1, 0.01};
    for (int epoch = 0; epoch < 3; ++epoch) {
        const double rate = static_cast<double>(static_cast<float>(1e-2)) * schedule_factor(schedule, 4 * epoch + 3);
        EXPECT_EQ(run.progress().history[static_cast<std::size_t>(epoch)].learning_rate, static_cast<float>(rate));
    }
    EXPECT_FLOAT_EQ(run.progress().history[2].learning_rate, 1e-4f);
}

// A rate so high that the loss is lost without the limit.
TEST(Clipping, KeepsATrainingThatWouldBeLost) {
    Config config = small_config(1);
    config.optimizer.name = "sgd";
    config.optimizer.lr = 1e3;
    EXPECT_THROW(SmallRun(config).run(), DivergedError);
    config.optimizer.global_clipnorm = 1e-3;
    EXPECT_EQ(SmallRun(config).run(), Outcome::kFinished);
    config.optimizer.global_clipnorm = 0;
    config.optimizer.clipvalue = 1e-5;
    EXPECT_EQ(SmallRun(config).run(), Outcome::kFinished);
}

TEST(Techniques, WhatExcludesEachOtherIsRefused) {
    Config config;
    config.schedule.name = "cosine";
    config.reduce_lr.enabled = true;
    EXPECT_THAT(error_of<UsageError>([&] { check(config); }), HasSubstr("both move the learning rate"));
    config.reduce_lr.enabled = false;
    config.optimizer.global_clipnorm = config.optimizer.clipvalue = 1;
    EXPECT_THAT(error_of<UsageError>([&] { check(config); }), HasSubstr("only one may be set"));
}

TEST(RunLock, RemovesWhatAKilledWriterLeft) {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "weights");
    for (const char* name : {"weights/.fer-abc123", "weights/last.safetensors"}) {
        std::ofstream(folder / name) << "half";
    }
    const RunLock lock(folder.path());
    EXPECT_FALSE(std::filesystem::exists(folder / "weights/.fer-abc123"));
    EXPECT_TRUE(std::filesystem::exists(folder / "weights/last.safetensors"));
}

TEST(RunLock, OneWriterAtATime) {
    const TemporaryFolder folder;
    {
        const RunLock lock(folder.path());
        const std::string text = error_of<OutputError>([&] { const RunLock second(folder.path()); });
        EXPECT_THAT(text, HasSubstr("another fer is writing into"));
        EXPECT_THAT(text, HasSubstr(fmt::format("process {} holds", ::getpid())));
    }
    EXPECT_NO_THROW(RunLock(folder.path()));
}

}  // namespace
}  // namespace fer::test
