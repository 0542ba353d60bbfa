#include "engine/run/tuner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "engine/core/file.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/devices.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Graph dense_graph() {
    Graph graph;
    const ValueId x = graph.add("x", Role::kInput, {{5, 6}, DType::kF32});
    const ValueId w = graph.add("w", Role::kParameter, {{6, 7}, DType::kF32});
    graph.keep(graph.apply1(OpKind::kDense, "dense", DenseAttrs{}, {x, w}));
    return graph;
}

/// What the reference computes, some milliseconds later and `wrong` by a factor.
template <int Milliseconds, bool Wrong>
Kernel slow(const OpDesc& op) {
    const Kernel right = cpu_device(true).implementations(OpKind::kDense).back().make(op);
    const auto count = static_cast<std::size_t>(op.out[0].shape.count());
    return [right, count](const Operands& t) {
        right(t);
        std::this_thread::sleep_for(std::chrono::milliseconds(Milliseconds));
        for (std::size_t i = 0; Wrong && i < count; ++i) {
            t.output<float>(0)[i] *= 1.01f;
        }
    };
}

Refusal never(const OpDesc&) { return "never"; }

/// Dense layers in four ways: in the order of the list the slowest comes first.
class Choices : public Device {
public:
    std::string_view name() const override { return "choices"; }
    std::string_view fusions() const override { return ""; }
    std::span<const Implementation> implementations(OpKind) const override { return list_; }

private:
    std::array<Implementation, 4> list_{Implementation{"slow", nullptr, nullptr, slow<5, false>},
                                        Implementation{"refusing", never, nullptr, slow<0, false>},
                                        Implementation{"wrong", nullptr, nullptr, slow<0, true>},
                                        Implementation{"quick", nullptr, nullptr, slow<0, false>}};
};

std::vector<std::string> names(const std::vector<Timing>& timings) {
    std::vector<std::string> all;
    for (const Timing& timing : timings) {
        all.push_back(timing.implementation);
    }
    return all;
}

Plan plan_with(const Device& device, std::shared_ptr<const Timings> timings) {
    PlanOptions options;
    options.timings = std::move(timings);
    return make_plan(dense_graph(), device, options);
}

TEST(Tuner, TheFastestRightCandidateRuns) {
    const Choices device;
    Tuner tuner(device, host_runtime(), "");
    EXPECT_EQ(plan_with(device, tuner.timings()).steps[0].implementation->name, "slow") << "the order of the list";
    EXPECT_EQ(tuner.tune(dense_graph()), 1);
    const Plan plan = plan_with(device, tuner.timings());
    EXPECT_EQ(plan.steps[0].implementation->name, "quick");
    EXPECT_THAT(names(plan.steps[0].timings), ElementsAre("quick", "slow"));
    EXPECT_GT(plan.steps[0].timings[1].microseconds, 2500);
    EXPECT_LT(plan.steps[0].timings[0].microseconds, plan.steps[0].timings[1].microseconds);
    EXPECT_THAT(describe(plan, "dense"), HasSubstr("slow measured: "));
    ASSERT_EQ(tuner.findings().size(), 1u);
    EXPECT_THAT(tuner.findings()[0], HasSubstr("wrong is not used for dense: f32(5, 6) f32(6, 7) ->"));
}

TEST(Tuner, MeasuresNothingTwice) {
    const Choices device;
    Tuner tuner(device, host_runtime(), "");
    EXPECT_EQ(tuner.tune(dense_graph()), 1);
    EXPECT_EQ(tuner.tune(dense_graph()), 0);
}

TEST(Tuner, ForcingGoesBeforeTimes) {
    const Choices device;
    Tuner tuner(device, host_runtime(), "");
    tuner.tune(dense_graph());
    PlanOptions options;
    options.timings = tuner.timings();
    options.force = {{"dense", "slow"}};
    EXPECT_EQ(make_plan(dense_graph(), device, options).steps[0].implementation->name, "slow");
}

TEST(Tuner, RemembersInAFile) {
    const test::TemporaryFolder folder;
    const std::filesystem::path path = folder.path() / "new" / "tune.json";
    const Choices device;
    {
        Tuner tuner(device, host_runtime(), path);
        EXPECT_EQ(tuner.tune(dense_graph()), 1);
    }
    Tuner again(device, host_runtime(), path);
    EXPECT_EQ(again.tune(dense_graph()), 0);
    EXPECT_EQ(plan_with(device, again.timings()).steps[0].implementation->name, "quick");
    EXPECT_THAT(TuneFile(path).devices(), ElementsAre(host_runtime().tuning_key()));
}

// Two processes write: neither loses what the other measured.
TEST(Tuner, FilesKeepWhatOthersAdded) {
    const test::TemporaryFolder folder;
    const std::filesystem::path path = folder.path() / "tune.json";
    TuneFile first(path);
    TuneFile second(path);
    first.add("one", {{"a", {{"x", 1.5}}}});
    second.add("one", {{"b", {{"y", 2}, {"z", 3}}}});
    second.add("two", {{"a", {}}});
    const TuneFile read(path);
    const Timings want{{"a", {{"x", 1.5}}}, {"b", {{"y", 2}, {"z", 3}}}};
    EXPECT_EQ(read.timings("one"), want);
    EXPECT_EQ(read.timings("two").at("a"), std::vector<Timing>{});
    EXPECT_THAT(read.timings("three"), IsEmpty());
}

TEST(Tuner, ADamagedFileIsSaidAndReplaced) {
    const test::TemporaryFolder folder;
    const std::filesystem::path path = folder.path() / "tune.json";
    for (const char* text : {"", "[]", "{", R"({"format": 2, "devices": {}})", R"({"format": 1})",
                             R"({"format": 1, "devices": {"x": {"y": [["z", -1]]}}})",
                             R"({"format": 1, "devices": {"x": {"y": [[1, 2]]}}})"}) {
        SCOPED_TRACE(text);
        write_file(path, text);
        EXPECT_THAT(test::error_of<DataError>([&] { TuneFile file(path); }),
                    HasSubstr("tune.json is not a tune cache of this version"));
        const Choices device;
        Tuner tuner(device, host_runtime(), path);
        EXPECT_EQ(tuner.findings().size(), 1u);
    }
}

TEST(Tuner, KeysTellProblemsApart) {
    OpDesc op;
    op.kind = OpKind::kConv2d;
    op.name = "conv";
    op.attrs = ConvAttrs{};
    op.in = {{{1, 8, 8, 3}, DType::kBF16}, {{3, 3, 3, 4}, DType::kBF16}};
    op.out = {{{1, 8, 8, 4}, DType::kBF16}};
    EXPECT_EQ(node_key(op), "conv2d stride 1 same: bf16(1, 8, 8, 3) bf16(3, 3, 3, 4) -> bf16(1, 8, 8, 4)");
    std::set<std::string> keys{node_key(op)};
    const auto differs = [&](auto change) {
        OpDesc other = op;
        change(other);
        EXPECT_TRUE(keys.insert(node_key(other)).second) << node_key(other);
    };
    differs([](OpDesc& o) { std::get<ConvAttrs>(o.attrs).stride = 2; });
    differs([](OpDesc& o) { std::get<ConvAttrs>(o.attrs).padding = Padding::kValid; });
    differs([](OpDesc& o) { std::get<ConvAttrs>(o.attrs).activation = Activation::kRelu; });
    differs([](OpDesc& o) { std::get<ConvAttrs>(o.attrs).tf32 = true; });
    differs([](OpDesc& o) { o.in[0].dtype = DType::kF16; });
    differs([](OpDesc& o) { o.in[0].shape = {2, 8, 8, 3}; });
    differs([](OpDesc& o) { o.in.push_back({{4}, DType::kF32}); });
    differs([](OpDesc& o) { o.kind = OpKind::kConv2dDgrad; });
    OpDesc renamed = op;
    renamed.name = "another";
    EXPECT_EQ(node_key(renamed), node_key(op));
    EXPECT_EQ(node_key({.kind = OpKind::kRelu, .name = "relu", .attrs = NoAttrs{}, .in = {}, .out = {}, .state = {}}),
              "");
}

// The emulator has two ways for a float32 convolution, and memory of its own.
TEST(Tuner, MeasuresOnADeviceWithMemoryOfItsOwn) {
    const auto built = device_names();
    if (std::ranges::count(built, "emulated") == 0) {
        GTEST_SKIP() << "no emulated device in this build";
    }
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        Graph graph;
        const ValueId x = graph.add("x", Role::kInput, {{2, 6, 6, 2}, dtype});
        const ValueId w = graph.add("w", Role::kParameter, {{3, 3, 2, 5}, dtype});
        graph.keep(graph.apply1(OpKind::kConv2d, "conv", ConvAttrs{}, {x, w}));
        const Device& device = find_device("emulated");
        Tuner tuner(device, open_runtime(device), "");
        EXPECT_EQ(tuner.tune(graph), 1);
        EXPECT_THAT(tuner.findings(), IsEmpty());
        const std::vector<Timing>& timings = tuner.timings()->begin()->second;
        EXPECT_EQ(timings.size(), dtype == DType::kF32 ? 3u : 2u);
        EXPECT_GT(timings[0].microseconds, 0);
    }
}

}  // namespace
}  // namespace fer
