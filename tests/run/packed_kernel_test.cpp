// A kernel that no step of a plan changes is put into the library's layout once; whoever changes it from outside is
// seen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/executor.hpp"
#include "tests/support/numbers.hpp"

namespace fer::test {
namespace {

constexpr std::int64_t kChannels = 32;
const Shape kKernel{3, 3, kChannels, kChannels};

/// y = conv2d(x, w), and w = the average of itself and of `value`, each a plan of its own on the same variables.
class PackedKernel : public ::testing::Test {
protected:
    PackedKernel() {
        const ValueId x = forward_.add("x", Role::kInput, {{1, 6, 6, kChannels}, DType::kF32});
        const ValueId w = forward_.add("w", Role::kParameter, {kKernel, DType::kF32});
        y_ = forward_.apply1(OpKind::kConv2d, "y", ConvAttrs{}, {x, w});
        forward_.keep(y_);
        const ValueId value = update_.add("value", Role::kState, {kKernel, DType::kF32});
        const ValueId average = update_.add("w", Role::kParameter, {kKernel, DType::kF32});
        update_.apply(OpKind::kEma, "average", ScalarAttrs{0.5f, {}}, {value}, {average});
        variables_.emplace(std::vector<const Graph*>{&forward_, &update_});
        variables_->write("w", std::span<const float>(as<float>(uniform(count(), 1, -1, 1))));
        variables_->write("value", std::span<const float>(as<float>(uniform(count(), 2, -1, 1))));
        pixels_ = as<float>(uniform(static_cast<std::size_t>(36 * kChannels), 3, -1, 1));
        arena_.reserve(1 << 24);
    }
    static std::size_t count() { return static_cast<std::size_t>(kKernel.count()); }
    Executor executor() { return {make_plan(forward_, cpu_device()), *variables_, arena_, {{"x", pixels_.data()}}}; }
    std::vector<float> run(Executor& executor) const {
        executor.run();
        return executor.read<float>(y_);
    }
    std::vector<float> fresh() {
        Executor once = executor();
        return run(once);
    }

    Graph forward_, update_;
    ValueId y_ = kNoValue;
    std::optional<Variables> variables_;
    std::vector<float> pixels_;
    Arena arena_;
};

TEST_F(PackedKernel, IsMadeOnce) {
    Executor kept = executor();
    const PlanStep& step = kept.plan().steps.front();
    ASSERT_EQ(step.implementation->name, "onednn");
    EXPECT_EQ(step.op.fixed, 0b10u);
    OpDesc changing = step.op;
    changing.fixed = 0;
    const std::int64_t saved = step.implementation->workspace(changing) - step.workspace_bytes;
    if (saved == 0) {
        GTEST_SKIP() << "on this processor the library takes kernels as they lie";
    }
    EXPECT_GE(saved, kKernel.count() * static_cast<std::int64_t>(sizeof(float)));
    const std::vector<float> before = run(kept);
    std::memset(variables_->at("w").address, 0, count() * sizeof(float));  // behind everybody's back
    EXPECT_EQ(run(kept), before);
}

TEST_F(PackedKernel, FollowsTheHost) {
    Executor kept = executor();
    const std::vector<float> before = run(kept);
    variables_->write("w", std::span<const float>(as<float>(uniform(count(), 4, -1, 1))));
    const std::vector<float> after = run(kept);
    EXPECT_NE(after, before);
    EXPECT_EQ(after, fresh());
}

TEST_F(PackedKernel, FollowsOtherPlans) {
    Executor kept = executor();
    Executor update(make_plan(update_, cpu_device()), *variables_, arena_, {});
    const std::vector<float> before = run(kept);
    for (int i = 0; i < 2; ++i) {
        update.run();
        const std::vector<float> after = run(kept);
        EXPECT_NE(after, before);
        EXPECT_EQ(after, fresh());
    }
}

}  // namespace
}  // namespace fer::test
