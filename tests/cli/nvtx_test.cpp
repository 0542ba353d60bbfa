// The ranges that a profiler sees of a real training run, heard by a library that NVTX loads as it would load Nsight's.
#include <map>
#include <set>

#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

struct Range {
    std::string name;
    std::vector<long long> work;  // FLOPs, bytes, extents; empty: no node
    std::vector<Range> inside;
};

/// The ranges as they lie in each other. Fails if a pop lacks its push or a push its pop.
std::vector<Range> parse(const std::string& record) {
    std::vector<std::vector<Range>> open(1);
    for (const std::string& line : lines(record)) {
        const std::vector<std::string> parts = words(line);
        if (parts[0] == "push") {
            Range range{parts[1], {}, {}};
            for (std::size_t i = 2; i < parts.size(); ++i) {
                range.work.push_back(std::stoll(parts[i]));
            }
            open.back().push_back(range);
            open.emplace_back();
        } else if (open.size() < 2) {
            ADD_FAILURE() << "a pop without its push";
            return {};
        } else {
            std::vector<Range> inside = std::move(open.back());
            open.pop_back();
            open.back().back().inside = std::move(inside);
        }
    }
    EXPECT_EQ(open.size(), 1u) << "a push without its pop";
    return open[0];
}

/// Every range of that name, however deep.
std::vector<Range> named(const std::vector<Range>& ranges, const std::string& name) {
    std::vector<Range> found;
    for (const Range& range : ranges) {
        if (range.name == name) {
            found.push_back(range);
        }
        const std::vector<Range> deeper = named(range.inside, name);
        found.insert(found.end(), deeper.begin(), deeper.end());
    }
    return found;
}

void collect_nodes(const std::vector<Range>& ranges, std::vector<Range>& nodes) {
    for (const Range& range : ranges) {
        if (!range.work.empty()) {
            nodes.push_back(range);
        }
        collect_nodes(range.inside, nodes);
    }
}

class Nvtx : public ProgramTest {
protected:
    /// Epochs of two steps of 16 images and one of what is left, and an evaluation after each.
    std::vector<Range> record(const std::string& device, int epochs,
                              const std::map<std::string, std::string>& more = {}) const {
        std::map<std::string, std::string> environment{{"NVTX_INJECTION64_PATH", NVTX_RECORDER},
                                                       {"FER_NVTX_RECORD", (*this / "record").string()}};
        environment.insert(more.begin(), more.end());
        ok(fmt::format("train simpler_cnn --width 0.05 --data synthetic:40 --batch 16 --epochs {} --quiet --device {}",
                       epochs, device),
           {.environment = environment});
        return fs::exists(*this / "record") ? parse(read("record")) : std::vector<Range>{};
    }
    /// The names of the nodes that `fer plan` shows, views left out.
    std::set<std::string> plan(const std::string& device) const {
        std::set<std::string> names;
        for (const std::string& line : lines(ok("plan simpler_cnn --width 0.05 --batch 16 --device " + device).out)) {
            const std::vector<std::string> parts = words(line);
            if (parts.size() > 2 && parts[0].find_first_not_of("0123456789") == std::string::npos &&
                parts[2].find(".view") == std::string::npos) {
                names.insert(parts[1]);
            }
        }
        return names;
    }
};

TEST_F(Nvtx, AStepHasItsPhasesAndEachNodeOnce) {
    const std::vector<Range> ranges = record("cpu", 2);
    const std::set<std::string> expected = plan("cpu");
    ASSERT_GT(expected.size(), 20u);
    ASSERT_EQ(named(ranges, "epoch/1").size(), 1u);
    ASSERT_EQ(named(ranges, "epoch/2").size(), 1u);
    EXPECT_EQ(named(ranges, "eval").size(), 2u);
    const std::vector<Range> steps = named(named(ranges, "epoch/2"), "step");
    ASSERT_EQ(steps.size(), 3u);
    const Range& step = steps[0];  // of 16 images, as the plan's
    for (const char* phase : {"data", "forward", "loss", "backward", "optimizer"}) {
        EXPECT_FALSE(named(step.inside, phase).empty()) << phase;
    }
    std::vector<Range> nodes;
    collect_nodes(step.inside, nodes);
    std::map<std::string, int> times;
    for (const Range& node : nodes) {
        ++times[node.name];
    }
    EXPECT_EQ(times.size(), expected.size());
    for (const std::string& name : expected) {
        EXPECT_EQ(times[name], 1) << name;
    }
}

TEST_F(Nvtx, NodesCarryTheirWork) {
    const std::vector<Range> convolutions = named(record("cpu", 1), "conv2d_1");
    ASSERT_FALSE(convolutions.empty());
    // 16 images, 48x48, from 2 to 3 channels by 3x3; bias and ReLU in the same node.
    const long long flops = 2LL * 16 * 48 * 48 * 3 * (9 * 2);
    const long long bytes = 4LL * (16 * 48 * 48 * (2 + 3) + 9 * 2 * 3 + 3);
    EXPECT_THAT(convolutions[0].work, ElementsAre(flops, bytes, 16, 48, 48, 3));
}

#ifndef FER_CHECKED  // whose plans have canaries and are not recorded
// Of a step that is replayed only its own range is seen; its nodes were, while it was recorded.
TEST_F(Nvtx, ARecordedStepIsOneRange) {
    if (ok("--version").out.find("emulated") == std::string::npos) {
        GTEST_SKIP() << "this build has no device `emulated`";
    }
    const std::vector<Range> ranges = record("emulated", 1);
    const std::vector<Range> steps = named(named(ranges, "epoch/1"), "step");
    ASSERT_EQ(steps.size(), 3u);
    EXPECT_FALSE(steps[0].inside.empty()) << "runs node by node, and is recorded";
    EXPECT_TRUE(steps[1].inside.empty()) << "is replayed";
    std::vector<Range> nodes;
    collect_nodes(ranges, nodes);
    std::set<std::string> names;
    for (const Range& node : nodes) {
        names.insert(node.name);
    }
    for (const std::string& name : plan("emulated")) {
        EXPECT_THAT(names, Contains(name));
    }
}
#endif

TEST_F(Nvtx, CanBeTurnedOff) { EXPECT_TRUE(record("cpu", 1, {{"FER_NVTX", "0"}}).empty()); }

TEST_F(Nvtx, AProfilerIsToldWhichSteps) {
    ok(kTiny + " --epochs 1 --quiet --profile-steps 1:3");
    for (const char* text : {"3:1", "-1:2", "5", "a:b", "1:2:3", "2:2"}) {
        fails(2, kTiny + " --profile-steps=" + text, "is no range of steps");
    }
}

}  // namespace
}  // namespace fer::test
