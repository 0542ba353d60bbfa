// Rewrites of the forward graph: what is taken in, what must stay outside, and how rules are chosen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "engine/graph/fuse.hpp"
#include "engine/graph/net.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/graph/step.hpp"
#include "models/models.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Layers {
    Graph graph;
    ValueId x = graph.add("x", Role::kInput, {{2, 6, 6, 2}, DType::kF32});
    ValueId clock = graph.add("clock", Role::kState, {{kClockFields}, DType::kI64});
    Net net{graph, x, clock, {}};

    std::vector<std::string_view> kinds() const {
        std::vector<std::string_view> list;
        for (const Node& node : graph.nodes()) {
            list.push_back(name_of(node.kind));
        }
        return list;
    }
};

int count_of(const std::vector<FusionCount>& counts, std::string_view rule) {
    const auto found = std::ranges::find(counts, rule, &FusionCount::rule);
    return found == counts.end() ? -1 : found->count;
}

TEST(Fuse, TakesBiasAndActivationIntoTheLayer) {
    Layers l;
    l.net.conv(3, 3).relu().conv(3, 3).relu6().flatten().dense(4).relu();
    const auto counts = fuse(l.graph, "on");
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "conv2d", "flatten", "dense"));
    EXPECT_EQ(count_of(counts, "bias"), 3);
    EXPECT_EQ(count_of(counts, "activation"), 3);
    EXPECT_EQ(std::get<ConvAttrs>(l.graph.nodes()[0].attrs).activation, Activation::kRelu);
    EXPECT_EQ(std::get<ConvAttrs>(l.graph.nodes()[1].attrs).activation, Activation::kRelu6);
    EXPECT_EQ(l.graph.nodes()[0].inputs.size(), 3u);
    for (std::size_t n = 0; n < l.graph.nodes().size(); ++n) {
        for (const ValueId out : l.graph.nodes()[n].outputs) {
            EXPECT_EQ(l.graph.value(out).writer, static_cast<int>(n));
        }
    }
}

TEST(Fuse, OffChangesNothing) {
    Layers l;
    l.net.conv(3, 3).relu();
    EXPECT_TRUE(fuse(l.graph, "off").empty());
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "bias", "relu"));
}

TEST(Fuse, RulesCanBeNamed) {
    Layers l;
    l.net.conv(3, 3).relu();
    const auto counts = fuse(l.graph, "bias");
    ASSERT_EQ(counts.size(), 1u);
    EXPECT_EQ(counts[0].rule, "bias");
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "relu"));
    Layers both;
    both.net.conv(3, 3).relu();
    fuse(both.graph, "bias,activation");
    EXPECT_THAT(both.kinds(), ElementsAre("conv2d"));
}

TEST(Fuse, ActivationDoesNotJumpOverABias) {
    Layers l;
    l.net.conv(3, 3).relu();
    EXPECT_EQ(fuse(l.graph, "activation")[0].count, 0);
}

TEST(Fuse, ABatchNormBetweenKeepsTheActivationOutside) {
    Layers l;
    l.net.conv(3, 3).batch_norm().relu();
    fuse(l.graph, "bias,activation");
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "batch_norm", "relu"));
}

TEST(Fuse, ABatchNormTakesInSumAndActivation) {
    Layers l;
    l.net.conv(3, 3).batch_norm().relu6();
    const ValueId before = l.net.here();
    l.net.conv(3, 3).batch_norm();
    const ValueId main = l.net.here();
    l.net.from(before).conv(3, 1).batch_norm().add(main).relu();
    const ValueId end = l.net.here();
    const auto counts = fuse(l.graph, "on");
    EXPECT_EQ(count_of(counts, "norm"), 2);
    // The norm of the main branch now stands where the sum stood, after the other branch.
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "batch_norm", "conv2d", "conv2d", "batch_norm", "batch_norm"));
    const Node& last = l.graph.nodes().back();
    EXPECT_EQ(last.inputs.size(), 4u);
    EXPECT_EQ(last.outputs[0], end);
    EXPECT_EQ(std::get<BatchNormAttrs>(last.attrs).activation, Activation::kRelu);
    EXPECT_EQ(std::get<BatchNormAttrs>(l.graph.nodes()[1].attrs).activation, Activation::kRelu6);
}

TEST(Fuse, ABatchNormTakesInThePoolBehindIt) {
    Layers l;
    l.net.conv(3, 3).relu().batch_norm().max_pool();
    const ValueId end = l.net.here();
    fuse(l.graph, "on");
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "batch_norm_pool"));
    EXPECT_EQ(l.graph.nodes().back().outputs[0], end);
    EXPECT_EQ(l.graph.nodes().back().outputs.size(), 4u);

    Layers odd;  // 3 is not 2
    odd.net.conv(3, 3).relu().batch_norm().max_pool(3, 2);
    fuse(odd.graph, "on");
    EXPECT_THAT(odd.kinds(), ElementsAre("conv2d", "batch_norm", "max_pool"));
}

// The convolution's ReLU is behind its result, which the norm reads.
TEST(Fuse, TheGradientOfABatchNormTakesInTheReluBeforeIt) {
    StepOptions options;
    options.input.images = options.batch = 2;
    const auto kinds = [&](const char* fusions) {
        options.fuse = fusions;
        std::map<std::string_view, int> counts;
        const Step step = training_step(models::simpler_cnn, options);
        for (const Node& node : step.graph.nodes()) {
            ++counts[name_of(node.kind)];
        }
        return counts;
    };
    EXPECT_EQ(kinds("bias,activation,norm_pool")["relu_grad"], 4);
    EXPECT_EQ(kinds("on")["relu_grad"], 2);
    EXPECT_EQ(kinds("on")["batch_norm_pool_grad"], 2);
}

TEST(Fuse, ValuesReadElsewhereStayOutside) {
    Layers l;
    l.net.conv(3, 3);
    const ValueId before = l.net.here();
    l.net.relu();
    l.net.add(before);
    fuse(l.graph, "on");
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "relu", "add"));
}

TEST(Fuse, KeptValuesStayOutside) {
    Layers l;
    l.net.conv(3, 3);
    l.graph.keep(l.net.here());
    l.net.relu();
    fuse(l.graph, "on");
    EXPECT_THAT(l.kinds(), ElementsAre("conv2d", "relu"));
}

TEST(Fuse, UnknownRulesNameTheNearest) {
    Layers l;
    EXPECT_THAT(error_of<UsageError>([&] { fuse(l.graph, "activatoin"); }),
                AllOf(HasSubstr("unknown fusion rule 'activatoin'"), HasSubstr("did you mean 'activation'?")));
    EXPECT_THAT(
        error_of<UsageError>([&] { fuse(l.graph, "bias,everything"); }),
        AllOf(
            HasSubstr("'everything'"),
            HasSubstr("one of: on, off, fold, bias, activation, pad, depthwise, fixed_norm, norm, residual, norm_pool, "
                      "norm_mask, norm_sums, loss, l2, gray, input, image_conv, shadow, hoist")));
}

}  // namespace
}  // namespace fer::test
