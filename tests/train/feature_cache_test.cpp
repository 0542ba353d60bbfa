// Training behind a cached trunk is training with the trunk in every step, to the last bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.hpp"
#include "tests/support/threads.hpp"
#include "tests/train/small_run.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

/// Two values cross the border: the trunk's output and a branch of it.
void frozen_trunk(Net& net) {
    net.freeze_first(5);
    net.conv(4, 3).relu().max_pool(4, 4);
    const ValueId branch = net.here();
    net.conv(4, 3).batch_norm().conv(4, 3).relu().add(branch).global_avg_pool();
    net.dense(8).relu().dropout(0.5f);
    net.logits(7);
}

Config config_with(bool cached) {
    Config config = eventful_config();  // 56 images in steps of 16, 16, 16 and 8
    config.train.epochs = 2;
    config.augment = {};
    config.train.feature_cache = cached;
    return config;
}

struct Where {
    std::string_view device;
    Precision precision;
};
void PrintTo(const Where& where, std::ostream* out) { *out << where.device << " " << name_of(where.precision); }

class FeatureCacheOn : public ::testing::TestWithParam<Where> {
protected:
    SmallRun run(bool cached, const std::filesystem::path& folder) const {
        return SmallRun(config_with(cached), folder, SmallRun::default_faces(), frozen_trunk, {},
                        find_device(GetParam().device), GetParam().precision);
    }
};

TEST_P(FeatureCacheOn, GivesTheSameWeights) {
    const Threads one(1);
    const TemporaryFolder folder;
    SmallRun plain = run(false, folder / "plain");
    SmallRun cached = run(true, folder / "cached");
    EXPECT_EQ(plain.session().feature_bytes(), 0);
    EXPECT_GT(cached.session().feature_bytes(), 0);
    ASSERT_EQ(plain.run(), Outcome::kFinished);
    ASSERT_EQ(cached.run(), Outcome::kFinished);
    expect_same_files(folder / "cached", folder / "plain");
    expect_same_history(cached.progress(), plain.progress());
}

INSTANTIATE_TEST_SUITE_P(Devices, FeatureCacheOn,
                         ::testing::Values(Where{"cpu", Precision::kFp32}, Where{"emulated", Precision::kBf16}));

TEST(FeatureCache, IsMadeAgainWhenARunIsResumed) {
    const Threads one(1);
    const TemporaryFolder folder;
    const auto run = [&](const char* name) {
        return SmallRun(config_with(true), folder / name, SmallRun::default_faces(), frozen_trunk);
    };
    run("whole").run();
    {
        SmallRun first = run("parts");
        first.watcher.stop_after = 6;  // within the second epoch
        EXPECT_EQ(first.run(), Outcome::kInterrupted);
    }
    SmallRun second = run("parts");
    second.resume();
    EXPECT_EQ(second.run(), Outcome::kFinished);
    expect_same_files(folder / "parts", folder / "whole");
}

TEST(FeatureCache, SaysWhereItGainsNothing) {
    const auto refusal = [](Config config, const ModelBuilder& net) {
        return error_of<UsageError>([&] { SmallRun(config, {}, SmallRun::default_faces(), net); });
    };
    Config augmented = config_with(true);
    augmented.augment.horizontal_flip = true;
    EXPECT_THAT(refusal(augmented, frozen_trunk), HasSubstr("augmentation makes every epoch's images new ones"));
    EXPECT_THAT(refusal(config_with(true), small_net), HasSubstr("no layer in front is frozen"));
}

TEST(FeatureCache, TheTrunkLeavesTheStep) {
    StepOptions options;
    options.batch = options.input.images = 2;
    options.cache_features = true;
    options.input.stored_height = options.input.stored_width = options.input.height = options.input.width = 24;
    Step step = training_step(frozen_trunk, options);
    const auto convolutions = [](const Graph& graph) {
        return std::ranges::count(graph.nodes(), OpKind::kConv2d, &Node::kind);
    };
    const auto before = convolutions(step.graph);
    Graph trunk;
    const std::vector<Feature> features = split_features(step.graph, trunk);
    ASSERT_EQ(features.size(), 2u);
    EXPECT_EQ(before, 3);
    EXPECT_EQ(convolutions(trunk), 2);
    EXPECT_EQ(convolutions(step.graph), 1);
    for (const Feature& feature : features) {
        EXPECT_TRUE(feature.name.starts_with("features/"));
        EXPECT_EQ(trunk.value(feature.value).info, feature.info);
    }
}

}  // namespace
}  // namespace fer::test
