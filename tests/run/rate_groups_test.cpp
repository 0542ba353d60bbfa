// Learning rates by layer: the update of each group by the formula, on every device that this machine can run on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/run/devices.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/open_devices.hpp"
#include "tests/support/step_runner.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void trunk_and_head(Net& net) {
    net.conv(4, 3).relu().batch_norm().max_pool(4, 4).flatten().dense(8).relu();
    net.logits(7);
}

StepOptions options_with(const OptimizerAttrs& rule, const std::vector<RateGroup>& groups) {
    StepOptions options;
    options.batch = options.input.images = 3;
    options.input.stored_height = options.input.stored_width = options.input.height = options.input.width = 12;
    options.optimizer = rule;
    options.rate_groups = groups;
    return options;
}

class RateGroups : public ::testing::TestWithParam<std::string_view> {
protected:
    StepRunner runner(const OptimizerAttrs& rule, const std::vector<RateGroup>& groups) const {
        const Device& device = find_device(GetParam());
        return {trunk_and_head, options_with(rule, groups), device, 1, open_runtime(device), false};
    }
};

INSTANTIATE_TEST_SUITE_P(All, RateGroups, ::testing::ValuesIn(open_devices()),
                         [](const auto& at) { return std::string(at.param); });

// w - (lr * factor) * g in float32, bit for bit: factor 1 before the first group, then that of each.
TEST_P(RateGroups, GradientDescentByTheFormula) {
    StepRunner run = runner(SgdAttrs{}, {{"batch_normalization", 0.1f}, {"dense", 3}});
    const Variables& variables = run.variables();
    constexpr float kRate = 0.05f;
    variables.write(kLearningRate, kRate);
    std::map<std::string, std::vector<float>> before;
    for (const Variable& variable : run.step().variables) {
        const std::string& name = run.step().graph.value(variable.id).name;
        before[name] = variables.read<float>(name);
    }
    run.train();
    int checked = 0;
    for (const Value& value : run.step().graph.values()) {
        if (value.role != Role::kGradient) {
            continue;
        }
        const std::string& name = run.step().graph.value(value.of).name;
        const float factor = name.starts_with("conv2d") ? 1.0f : name.starts_with("batch_norm") ? 0.1f : 3.0f;
        const std::vector<float> g = variables.read<float>(value.name);
        std::vector<float> want = before.at(name);
        for (std::size_t i = 0; i < want.size(); ++i) {
            const float step = kRate * factor * g[i];
            want[i] -= step;
        }
        EXPECT_TRUE(variables.read<float>(name) == want) << name;
        ++checked;
    }
    EXPECT_EQ(checked, 8);
}

// A factor on all layers is another learning rate, for rules with moments too; moments keep their names.
TEST_P(RateGroups, OneGroupOfAllLayersIsAnotherLearningRate) {
    for (const OptimizerAttrs& rule :
         {OptimizerAttrs(AdamAttrs{}), OptimizerAttrs(RmsPropAttrs{}), OptimizerAttrs(SgdAttrs{.momentum = 0.9})}) {
        StepRunner grouped = runner(rule, {{"conv2d", 0.25f}});
        StepRunner plain = runner(rule, {});
        plain.variables().write(kLearningRate, 0.25e-3f);
        for (int i = 0; i < 3; ++i) {
            grouped.train();
            plain.train();
        }
        for (const auto& [name, entry] : plain.variables().entries()) {
            if (name != kLearningRate) {
                EXPECT_TRUE(grouped.variables().read_bytes(grouped.variables().at(name)) ==
                            plain.variables().read_bytes(entry))
                    << name;
            }
        }
    }
}

TEST(RateGroupsOfStep, FrozenOnesAreLeftOutAndUnknownOnesNamed) {
    StepOptions options = options_with(SgdAttrs{}, {{"max_pooling2d", 0.5f}, {"dense", 2}});
    options.freeze = 4;
    const Step step = training_step(trunk_and_head, options);
    ASSERT_EQ(step.rate_groups.size(), 1u);
    EXPECT_EQ(step.rate_groups[0].layer, "dense");
    options.rate_groups = {{"dence", 2}};
    EXPECT_THAT(error_of<UsageError>([&] { training_step(trunk_and_head, options); }),
                AllOf(HasSubstr("there is no layer 'dence'"), HasSubstr("did you mean 'dense'?")));
    options.rate_groups = {{"dense", 2}, {"conv2d", 1}};
    EXPECT_THAT(error_of<UsageError>([&] { training_step(trunk_and_head, options); }),
                HasSubstr("out of the network's order: 'conv2d'"));
}

}  // namespace
}  // namespace fer::test
