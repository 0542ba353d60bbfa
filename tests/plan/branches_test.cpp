#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/plan/plan.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "tests/support/random_graph.hpp"

namespace fer::test {
namespace {

/// The reference, as if it could work on two branches at once.
class Overlapping : public Device {
public:
    std::string_view name() const override { return "overlapping"; }
    std::string_view fusions() const override { return cpu_device(true).fusions(); }
    bool overlaps() const override { return true; }
    std::span<const Implementation> implementations(OpKind kind) const override {
        return cpu_device(true).implementations(kind);
    }
};

struct Range {
    std::int64_t begin, end;
    bool writes;
};

/// What step `s` touches: bytes of the arena, and far behind them a place for every persistent value.
std::vector<Range> touched(const Plan& plan, std::size_t s) {
    std::vector<Range> ranges;
    const PlanStep& step = plan.steps[s];
    const Node& node = plan.graph.nodes()[static_cast<std::size_t>(step.node)];
    if (step.implementation == nullptr) {
        return ranges;
    }
    const auto add = [&](const std::vector<ValueId>& ids, bool writes) {
        for (const ValueId id : ids) {
            const Placement& p = plan.placements[static_cast<std::size_t>(id)];
            const std::int64_t bytes = plan.graph.value(id).info.bytes();
            if (p.place == Place::kArena) {
                ranges.push_back({p.offset, p.offset + bytes, writes});
            } else if (p.place == Place::kPersistent) {
                const std::int64_t place = (std::int64_t{1} << 50) + id;
                ranges.push_back({place, place + 1, writes});
            }
        }
    };
    add(node.inputs, false);
    add(node.outputs, true);
    add(node.state, true);
    ranges.push_back({step.workspace_offset, step.workspace_offset + step.workspace_bytes, true});
    return ranges;
}

bool conflict(const std::vector<Range>& a, const std::vector<Range>& b) {
    for (const Range& x : a) {
        for (const Range& y : b) {
            if ((x.writes || y.writes) && x.begin < y.end && y.begin < x.end) {
                return true;
            }
        }
    }
    return false;
}

/// before[s][t]: step t has ended when step s starts.
std::vector<std::vector<char>> order_of(const Plan& plan) {
    const std::size_t n = plan.steps.size();
    std::vector<std::vector<char>> before(n, std::vector<char>(n, 0));
    const auto follow = [&](std::size_t s, std::size_t t) {
        before[s][t] = 1;
        for (std::size_t u = 0; u < n; ++u) {
            before[s][u] = static_cast<char>(before[s][u] | before[t][u]);
        }
    };
    for (std::size_t s = 0; s < n; ++s) {
        for (std::size_t t = s; t-- > 0;) {
            if (plan.steps[t].branch == plan.steps[s].branch) {
                follow(s, t);
                break;
            }
        }
        for (const int t : plan.steps[s].after) {
            follow(s, static_cast<std::size_t>(t));
        }
    }
    return before;
}

/// Pairs of steps that touch the same bytes and may run at the same time.
int races(const Plan& plan) {
    const auto before = order_of(plan);
    int count = 0;
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
        for (std::size_t t = 0; t < s; ++t) {
            count += before[s][t] == 0 && conflict(touched(plan, s), touched(plan, t)) ? 1 : 0;
        }
    }
    return count;
}

TEST(Branches, WhateverConflictsIsOrdered) {
    int beside = 0;
    int found = 0;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        SCOPED_TRACE(seed);
        const RandomGraph random(seed);
        Plan plan = make_plan(random.graph, Overlapping());
        EXPECT_EQ(races(plan), 0);
        beside += static_cast<int>(std::ranges::count(plan.steps, 1, &PlanStep::branch));
        for (PlanStep& step : plan.steps) {  // the check itself can fail
            const std::vector<int> after = std::exchange(step.after, {});
            found += !after.empty() && races(plan) > 0 ? 1 : 0;
            step.after = after;
        }
    }
    EXPECT_GT(beside, 100);
    EXPECT_GT(found, 100);
}

TEST(Branches, NoneWhereTheDeviceDoesNotOverlapOrIsToldNotTo) {
    const RandomGraph random(1);
    PlanOptions options;
    options.overlap = false;
    for (const Plan& plan : {make_plan(random.graph, Overlapping(), options), make_plan(random.graph, cpu_device())}) {
        EXPECT_EQ(std::ranges::count(plan.steps, 0, &PlanStep::branch), std::ssize(plan.steps));
    }
}

// What the second branch touches stays untouched until its next step: the first need not wait for it at once.
TEST(Branches, AWeightGradientRunsBesideTheStepsBehindIt) {
    Graph graph;
    const ValueId x = graph.add("x", Role::kInput, {{2, 8, 8, 3}, DType::kF32});
    ValueId here = x;
    std::vector<ValueId> weights;
    for (int layer = 0; layer < 4; ++layer) {
        weights.push_back(graph.add(fmt::format("w{}", layer), Role::kParameter, {{3, 3, 3, 3}, DType::kF32}));
        here = graph.apply1(OpKind::kConv2d, fmt::format("conv{}", layer), ConvAttrs{}, {here, weights.back()});
        here = graph.apply1(OpKind::kRelu, fmt::format("relu{}", layer), NoAttrs{}, {here});
    }
    here = graph.apply1(OpKind::kFlatten, "flatten", NoAttrs{}, {here});
    const ValueId labels = graph.add("labels", Role::kInput, {{2}, DType::kI32});
    const ValueId ones = graph.add("ones", Role::kState, {{192}, DType::kF32});
    const ValueId loss = graph.apply(OpKind::kSoftmaxXent, "loss", XentAttrs{}, {here, labels, ones})[0];
    graph.keep(loss);
    for (const ValueId gradient : differentiate(graph, loss, weights)) {
        graph.keep(gradient);
    }
    const Plan plan = make_plan(graph, Overlapping());
    const auto before = order_of(plan);
    int overlapped = 0;
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
        for (std::size_t t = 0; t < s; ++t) {
            overlapped +=
                plan.steps[s].branch != plan.steps[t].branch && before[s][t] == 0 && before[t][s] == 0 ? 1 : 0;
        }
    }
    EXPECT_EQ(races(plan), 0);
    EXPECT_GE(overlapped, 6);  // each of the first three beside the data gradient and the mask behind it
}

}  // namespace
}  // namespace fer::test
