// What differentiate() builds and what it refuses. That the numbers are right: tests/run/gradient_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/graph/gradient.hpp"
#include "engine/graph/net.hpp"
#include "engine/graph/op_table.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// x -> dense(w1) -> relu -> dense(w2) -> l2 as the loss
struct Chain {
    Graph graph;
    ValueId x = graph.add("x", Role::kInput, {{3, 4}, DType::kF32});
    ValueId w1 = graph.add("w1", Role::kParameter, {{4, 5}, DType::kF32});
    ValueId w2 = graph.add("w2", Role::kParameter, {{5, 2}, DType::kF32});
    ValueId unused = graph.add("unused", Role::kParameter, {{2}, DType::kF32});
    ValueId h =
        graph.apply1(OpKind::kRelu, "relu", NoAttrs{}, {graph.apply1(OpKind::kDense, "first", DenseAttrs{}, {x, w1})});
    ValueId y = graph.apply1(OpKind::kDense, "second", DenseAttrs{}, {h, w2});
    ValueId loss = graph.apply1(OpKind::kL2Penalty, "loss", ScalarAttrs{1}, {y});

    std::vector<ValueId> differentiate(const std::vector<ValueId>& wrt) { return fer::differentiate(graph, loss, wrt); }
    std::vector<std::string> names(std::size_t first) const {
        std::vector<std::string> list;
        for (std::size_t n = first; n < graph.nodes().size(); ++n) {
            list.push_back(graph.nodes()[n].name);
        }
        return list;
    }
};

TEST(Differentiate, MarksGradientsOfParameters) {
    Chain c;
    const auto gradients = c.differentiate({c.w1, c.w2});
    ASSERT_EQ(gradients.size(), 2u);
    EXPECT_EQ(c.graph.value(gradients[0]).role, Role::kGradient);
    EXPECT_EQ(c.graph.value(gradients[0]).of, c.w1);
    EXPECT_EQ(c.graph.value(gradients[1]).of, c.w2);
    EXPECT_EQ(c.graph.value(gradients[1]).info.shape, (Shape{5, 2}));
}

TEST(Differentiate, BuildsOnlyWhatIsWanted) {
    Chain c;
    const std::size_t forward = c.graph.nodes().size();
    c.differentiate({c.w2});
    EXPECT_THAT(c.names(forward), ElementsAre("dloss", "loss/dsecond", "second/dw"))
        << "nothing lies before the trained layer that needs a gradient";
}

TEST(Differentiate, AnInputMayBeAskedFor) {
    Chain c;
    const auto gradients = c.differentiate({c.x});
    EXPECT_EQ(c.graph.value(gradients[0]).info.shape, (Shape{3, 4}));
    EXPECT_EQ(c.graph.value(gradients[0]).role, Role::kTemporary);
}

TEST(Differentiate, SeveralReadersAreJoinedByOneAdd) {
    Graph graph;
    const ValueId w = graph.add("w", Role::kParameter, {{4}, DType::kF32});
    const ValueId a = graph.apply1(OpKind::kRelu, "a", NoAttrs{}, {w});
    const ValueId b = graph.apply1(OpKind::kRelu6, "b", NoAttrs{}, {w});
    const ValueId sum = graph.apply1(OpKind::kAdd, "sum", NoAttrs{}, {a, b, w});
    const ValueId loss = graph.apply1(OpKind::kL2Penalty, "loss", ScalarAttrs{1}, {sum});
    const auto gradients = differentiate(graph, loss, std::vector{w});
    const Node& add = graph.nodes()[static_cast<std::size_t>(graph.value(gradients[0]).writer)];
    EXPECT_EQ(add.kind, OpKind::kAdd);
    EXPECT_EQ(add.name, "w/dsum");
    EXPECT_EQ(add.inputs.size(), 3u);
}

TEST(Differentiate, Refusals) {
    Chain c;
    EXPECT_THAT(error_of<UsageError>([&] { differentiate(c.graph, c.y, std::vector{c.w1}); }),
                HasSubstr("the loss must be a scalar, got (3, 2)"));
    EXPECT_THAT(error_of<UsageError>([&] { Chain().differentiate({c.unused}); }), HasSubstr("depends on no parameter"));
    EXPECT_THAT(error_of<UsageError>([&] {
                    Chain().differentiate({c.w1, c.unused});
                }),
                HasSubstr("the loss does not depend on 'unused'"));
}

TEST(Differentiate, AnOpWithoutGradientNamesItself) {
    Graph graph;
    const ValueId w = graph.add("w", Role::kParameter, {{1, 2, 2, 1}, DType::kF32});
    const ValueId y = graph.apply1(OpKind::kStandardize, "normalise", NoAttrs{}, {w});
    const ValueId loss = graph.apply1(OpKind::kL2Penalty, "loss", ScalarAttrs{1}, {y});
    EXPECT_THAT(error_of<UsageError>([&] { differentiate(graph, loss, std::vector{w}); }),
                HasSubstr("standardize 'normalise' has no gradient, but a trained parameter lies before it"));
}

TEST(Differentiate, FrozenStatisticsCannotTrainGamma) {
    Graph graph;
    const ValueId x = graph.add("x", Role::kInput, {{2, 3}, DType::kF32});
    const ValueId c = graph.add("c", Role::kState, {{3}, DType::kF32});
    const ValueId gamma = graph.add("gamma", Role::kParameter, {{3}, DType::kF32});
    const ValueId y = graph.apply1(OpKind::kBatchNormInference, "bn", BatchNormAttrs{}, {x, gamma, c, c, c});
    const ValueId loss = graph.apply1(OpKind::kL2Penalty, "loss", ScalarAttrs{1}, {y});
    EXPECT_THAT(error_of<UsageError>([&] { differentiate(graph, loss, std::vector{gamma}); }),
                AllOf(HasSubstr("'bn'"), HasSubstr("frozen statistics")));
}

// A frozen trunk behind a trained head: the backward pass stops at the head, and the trunk keeps its statistics.
TEST(Differentiate, AFrozenTrunkGetsNoGradientNodes) {
    Graph graph;
    const ValueId x = graph.add("x", Role::kInput, {{2, 8, 8, 1}, DType::kF32});
    const ValueId clock = graph.add("clock", Role::kState, {{kClockFields}, DType::kI64});
    Net trunk(graph, x, clock, {.trainable = false});
    trunk.conv(4, 3).batch_norm().relu().max_pool();
    const std::size_t trunk_nodes = graph.nodes().size();
    Net head(graph, trunk.here(), clock, {});
    head.conv(3, 3).relu().global_avg_pool();
    const ValueId loss = graph.apply1(OpKind::kL2Penalty, "loss", ScalarAttrs{1}, {head.here()});
    std::vector<ValueId> trained;
    for (const Variable& v : trunk.variables()) {
        EXPECT_FALSE(v.trainable);
        EXPECT_EQ(graph.value(v.id).role, Role::kState);
    }
    for (const Variable& v : head.variables()) {
        trained.push_back(v.id);
    }
    const std::size_t forward = graph.nodes().size();
    differentiate(graph, loss, trained);
    for (std::size_t n = 0; n < trunk_nodes; ++n) {
        EXPECT_TRUE(graph.nodes()[n].state.empty()) << "a frozen batch norm moves no statistics";
    }
    for (std::size_t n = forward; n < graph.nodes().size(); ++n) {
        EXPECT_NE(graph.nodes()[n].kind, OpKind::kConv2dDgrad) << "nothing before the head is trained";
        EXPECT_NE(graph.nodes()[n].kind, OpKind::kMaxPoolGrad);
    }
}

}  // namespace
}  // namespace fer::test
