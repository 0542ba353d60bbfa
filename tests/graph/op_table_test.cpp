// The table itself, and what its shape rules accept and say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/graph/graph.hpp"
#include "engine/graph/op_table.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(OpTable, EveryRowIsNamedOnceAndInOrder) {
    std::set<std::string_view> names;
    std::size_t index = 0;
    for (const OpSpec& row : all_ops()) {
        EXPECT_EQ(row.kind, static_cast<OpKind>(index++));
        EXPECT_TRUE(names.insert(row.name).second) << row.name << " stands twice";
        EXPECT_EQ(row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string_view::npos)
            << row.name;
        EXPECT_NE(row.infer, nullptr);
        EXPECT_EQ(&spec_of(row.kind), &row);
        EXPECT_EQ(name_of(row.kind), row.name);
    }
    EXPECT_EQ(index, static_cast<std::size_t>(OpKind::kCount));
}

struct PadRow {
    std::int64_t size, kernel, stride, before, after;
};

// Same padding with stride 2: an even input is padded behind only.
TEST(Window, SamePaddingTable) {
    for (const PadRow& row :
         {PadRow{48, 3, 2, 0, 1}, PadRow{47, 3, 2, 1, 1}, PadRow{48, 5, 2, 1, 2}, PadRow{48, 7, 2, 2, 3},
          PadRow{48, 2, 2, 0, 0}, PadRow{47, 2, 2, 0, 1}, PadRow{3, 3, 2, 1, 1}, PadRow{48, 3, 1, 1, 1},
          PadRow{5, 1, 2, 0, 0}, PadRow{1, 5, 1, 2, 2}}) {
        SCOPED_TRACE(fmt::format("{} {} {}", row.size, row.kernel, row.stride));
        const Window window = window_of(row.size, row.kernel, row.stride, Padding::kSame);
        EXPECT_EQ(window.out, (row.size + row.stride - 1) / row.stride);
        EXPECT_EQ(window.before, row.before);
        EXPECT_EQ(window.after, row.after);
    }
}

TEST(Window, ValidDropsWhatDoesNotFit) {
    const auto out = [](std::int64_t size, std::int64_t kernel, std::int64_t stride) {
        const Window window = window_of(size, kernel, stride, Padding::kValid);
        EXPECT_EQ(window.before + window.after, 0);
        return window.out;
    };
    EXPECT_EQ(out(24, 3, 1), 22);
    EXPECT_EQ(out(11, 2, 2), 5);
    EXPECT_EQ(out(5, 5, 3), 1);
    EXPECT_EQ(out(8, 3, 2), 3);
    EXPECT_THAT(error_of<UsageError>([&] { out(2, 3, 1); }), HasSubstr("window 3 does not fit into 2"));
    EXPECT_THAT(error_of<UsageError>([&] { out(2, 1, 0); }), HasSubstr("must be positive"));
}

class Inference : public ::testing::Test {
protected:
    ValueId given(const Shape& shape, DType dtype = DType::kF32) {
        return graph.add("given", Role::kInput, {shape, dtype});
    }
    /// What applying the op says, or "(shape) (shape)" of its outputs.
    std::string outcome(OpKind kind, const Attributes& attrs, const std::vector<ValueId>& in,
                        const std::vector<ValueId>& state = {}) {
        try {
            std::string shapes;
            for (const ValueId id : graph.apply(kind, "block3/layer", attrs, in, state)) {
                shapes += (shapes.empty() ? "" : " ") + graph.value(id).info.shape.str();
            }
            return shapes;
        } catch (const UsageError& error) {
            EXPECT_THAT(error.what(), AllOf(HasSubstr("'block3/layer'"), HasSubstr(std::string(name_of(kind)))));
            return error.what();
        }
    }
    Graph graph;
};

TEST_F(Inference, Conv2d) {
    const ValueId x = given({2, 24, 24, 16}), w = given({3, 3, 16, 8});
    EXPECT_EQ(outcome(OpKind::kConv2d, ConvAttrs{}, {x, w}), "(2, 24, 24, 8)");
    EXPECT_EQ(outcome(OpKind::kConv2d, ConvAttrs{.padding = Padding::kValid}, {x, w}), "(2, 22, 22, 8)");
    EXPECT_EQ(outcome(OpKind::kConv2d, ConvAttrs{.stride = 2}, {x, w}), "(2, 12, 12, 8)");
    EXPECT_THAT(outcome(OpKind::kConv2d, ConvAttrs{}, {x, given({3, 3, 5, 8})}),
                HasSubstr("input (2, 24, 24, 16) has 16 channels but the kernel (3, 3, 5, 8) takes 5"));
    EXPECT_THAT(outcome(OpKind::kConv2d, ConvAttrs{}, {x, w, given({9})}), HasSubstr("input 2 must be (8,), got (9,)"));
    EXPECT_THAT(outcome(OpKind::kConv2d, ConvAttrs{}, {x}), HasSubstr("takes 2 to 4 inputs, got 1"));
    EXPECT_THAT(outcome(OpKind::kConv2d, ConvAttrs{}, {given({2, 24}), w}),
                HasSubstr("input 0 must have 4 axes, got (2, 24)"));
    EXPECT_THAT(outcome(OpKind::kConv2d, ConvAttrs{}, {given({2, 24, 24, 16}, DType::kU8), w}),
                HasSubstr("input 0 must be floating point, got u8"));
    EXPECT_THAT(outcome(OpKind::kConv2d, ConvAttrs{.padding = Padding::kValid}, {given({1, 2, 2, 16}), w}),
                HasSubstr("window 3 does not fit into 2"));
}

TEST_F(Inference, AttributesOfAnotherOpAreAUsageError) {
    EXPECT_THAT(outcome(OpKind::kConv2d, DenseAttrs{}, {given({1, 4, 4, 1}), given({3, 3, 1, 1})}),
                HasSubstr("wrong attributes"));
}

TEST_F(Inference, DepthwiseConv) {
    const ValueId x = given({2, 9, 9, 4});
    EXPECT_EQ(outcome(OpKind::kDepthwiseConv, ConvAttrs{.stride = 2}, {x, given({3, 3, 4, 1})}), "(2, 5, 5, 4)");
    EXPECT_THAT(outcome(OpKind::kDepthwiseConv, ConvAttrs{}, {x, given({3, 3, 4, 2})}),
                HasSubstr("depth multiplier 1"));
    EXPECT_THAT(outcome(OpKind::kDepthwiseConv, ConvAttrs{}, {x, given({3, 3, 4, 1}), given({3})}),
                HasSubstr("input 2"));
}

TEST_F(Inference, DenseAndBias) {
    const ValueId x = given({5, 12});
    EXPECT_EQ(outcome(OpKind::kDense, DenseAttrs{}, {x, given({12, 7})}), "(5, 7)");
    EXPECT_THAT(outcome(OpKind::kDense, DenseAttrs{}, {x, given({11, 7})}),
                HasSubstr("has 12 features but the kernel"));
    EXPECT_EQ(outcome(OpKind::kBias, NoAttrs{}, {x, given({12})}), "(5, 12)");
    EXPECT_THAT(outcome(OpKind::kBias, NoAttrs{}, {x, given({5})}), HasSubstr("input 1 must be (12,), got (5,)"));
    EXPECT_THAT(outcome(OpKind::kBias, NoAttrs{}, {given({}), given({5})}), HasSubstr("scalar"));
}

TEST_F(Inference, BatchNorm) {
    const ValueId x = given({2, 3, 3, 6}), c = given({6}), wrong = given({5});
    EXPECT_EQ(outcome(OpKind::kBatchNorm, BatchNormAttrs{}, {x, c, c}, {c, c}), "(2, 3, 3, 6) (6,) (6,)");
    EXPECT_THAT(outcome(OpKind::kBatchNorm, BatchNormAttrs{}, {x, c, c}), HasSubstr("two moving statistics, got 0"));
    EXPECT_THAT(outcome(OpKind::kBatchNorm, BatchNormAttrs{}, {x, c, wrong}, {c, c}),
                HasSubstr("input 2 must be (6,)"));
    EXPECT_THAT(outcome(OpKind::kBatchNormInference, BatchNormAttrs{}, {x, c, c, c, wrong}),
                HasSubstr("input 4 must be (6,)"));
}

TEST_F(Inference, PoolsAndPads) {
    const ValueId x = given({1, 5, 7, 3});
    EXPECT_EQ(outcome(OpKind::kMaxPool, PoolAttrs{}, {x}), "(1, 2, 3, 3) (1, 2, 3, 3)");
    EXPECT_EQ(outcome(OpKind::kAvgPool, PoolAttrs{2, 2, Padding::kSame, {}}, {x}), "(1, 3, 4, 3)");
    EXPECT_THAT(outcome(OpKind::kMaxPool, PoolAttrs{17, 1, Padding::kSame, {}}, {x}), HasSubstr("window of 17"));
    EXPECT_EQ(outcome(OpKind::kGlobalAvgPool, NoAttrs{}, {x}), "(1, 3)");
    EXPECT_EQ(outcome(OpKind::kZeroPad, PadAttrs{1, 2, 3, 4}, {x}), "(1, 8, 14, 3)");
    EXPECT_THAT(outcome(OpKind::kZeroPad, PadAttrs{-1, 0, 0, 0}, {x}), HasSubstr("must not be negative"));
    EXPECT_EQ(outcome(OpKind::kFlatten, NoAttrs{}, {x}), "(1, 105)");
    EXPECT_EQ(outcome(OpKind::kFlatten, NoAttrs{}, {given({0, 3, 3, 2})}), "(0, 0)");
}

TEST_F(Inference, AddDropoutAndLoss) {
    const ValueId x = given({4, 7}), clock = given({kClockFields}, DType::kI64);
    EXPECT_THAT(outcome(OpKind::kAdd, NoAttrs{}, {x, given({4, 6})}),
                HasSubstr("input 1 is (4, 6), input 0 is (4, 7)"));
    EXPECT_THAT(outcome(OpKind::kAdd, NoAttrs{}, {x}), HasSubstr("at least two inputs, got 1"));
    EXPECT_THAT(outcome(OpKind::kDropout, DropoutAttrs{.rate = 1}, {x, clock}),
                HasSubstr("rate must be in [0, 1), got 1"));
    EXPECT_THAT(outcome(OpKind::kDropout, DropoutAttrs{.rate = -0.5f}, {x, clock}), HasSubstr("got -0.5"));
    EXPECT_THAT(outcome(OpKind::kL2Penalty, ScalarAttrs{-1}, {x}), HasSubstr("must not be negative, got -1"));
    const ValueId labels = given({4}, DType::kI32), weights = given({7});
    EXPECT_EQ(outcome(OpKind::kSoftmaxXent, XentAttrs{}, {x, labels, weights}), "() (4, 7) (4,)");
    EXPECT_THAT(outcome(OpKind::kSoftmaxXent, XentAttrs{}, {x, given({5}, DType::kI32), weights}),
                HasSubstr("must be (4,)"));
    EXPECT_THAT(outcome(OpKind::kSoftmaxXent, XentAttrs{}, {x, given({4}), weights}),
                HasSubstr("labels must be i32, got f32"));
    EXPECT_THAT(outcome(OpKind::kSoftmax, NoAttrs{}, {given({4})}), HasSubstr("must have 2 axes"));
}

TEST_F(Inference, DataAndUpdates) {
    const ValueId images = given({9, 48, 48}, DType::kU8), labels = given({9}, DType::kI32),
                  clock = given({4}, DType::kI64);
    EXPECT_EQ(outcome(OpKind::kGather, GatherAttrs{4}, {images, labels, labels, clock}), "(4, 48, 48, 1) (4,)");
    EXPECT_THAT(outcome(OpKind::kGather, GatherAttrs{0}, {images, labels, labels, clock}),
                HasSubstr("batch must be positive"));
    EXPECT_THAT(outcome(OpKind::kGrayToRgb, NoAttrs{}, {given({1, 2, 2, 3})}), HasSubstr("needs one channel, got 3"));
    EXPECT_THAT(outcome(OpKind::kResize, ResizeAttrs{0, 5}, {given({1, 2, 2, 3})}), HasSubstr("cannot resize to 0x5"));
    EXPECT_EQ(outcome(OpKind::kRescale, RescaleAttrs{}, {given({1, 2, 2, 3}, DType::kU8)}), "(1, 2, 2, 3)");
    EXPECT_THAT(outcome(OpKind::kRescale, RescaleAttrs{}, {given({1, 2, 2, 4})}), HasSubstr("three channels, got 4"));
    const ValueId rate = given({}), g = given({3}), h = given({4});
    EXPECT_EQ(outcome(OpKind::kSgd, SgdAttrs{}, {rate, clock, g}, {g}), "");
    EXPECT_THAT(outcome(OpKind::kSgd, SgdAttrs{}, {rate, clock, g}, {h}),
                HasSubstr("state 0 does not match its gradient"));
    EXPECT_THAT(outcome(OpKind::kSgd, SgdAttrs{}, {rate, clock}), HasSubstr("at least one gradient"));
    EXPECT_THAT(outcome(OpKind::kAdam, AdamAttrs{}, {rate, clock, g, h}, {g, h, g}),
                HasSubstr("2 gradients, 3 state tensors"));
    EXPECT_THAT(outcome(OpKind::kMetrics, NoAttrs{}, {rate, h}), HasSubstr("needs the metrics tensor"));
    EXPECT_THAT(outcome(OpKind::kAdvance, GatherAttrs{}, {}, {h}), "");
    EXPECT_THAT(outcome(OpKind::kAdvance, GatherAttrs{}, {}, {g}), HasSubstr("needs the clock"));
}

TEST_F(Inference, MixupAndWhatStandsBeforeTheOptimizer) {
    const ValueId x = given({4, 6, 5, 1}), labels = given({4}, DType::kI32), clock = given({4}, DType::kI64);
    const MixupAttrs mix{.alpha = 0.5f};
    EXPECT_EQ(outcome(OpKind::kMixup, mix, {x, labels, clock}), "(4, 6, 5, 1) (4,) (4,)");
    EXPECT_THAT(outcome(OpKind::kMixup, MixupAttrs{}, {x, labels, clock}), HasSubstr("alpha must be in (0, 1], got 0"));
    EXPECT_THAT(outcome(OpKind::kMixup, mix, {given({4, 6, 5, 1}, DType::kU8), labels, clock}),
                HasSubstr("mixes float32 images"));
    const ValueId logits = given({4, 7}), weights = given({7}), share = given({4});
    EXPECT_EQ(outcome(OpKind::kSoftmaxXent, XentAttrs{}, {logits, labels, weights, labels, share}), "() (4, 7) (4,)");
    EXPECT_THAT(outcome(OpKind::kSoftmaxXent, XentAttrs{}, {logits, labels, weights, share, share}),
                HasSubstr("must be i32 and shares f32"));
    const ValueId rate = given({}), images = given({}), g = given({3}), h = given({4});
    EXPECT_EQ(outcome(OpKind::kSchedule, Schedule{}, {rate, clock}), "()");
    EXPECT_EQ(outcome(OpKind::kAccumulate, AccumulateAttrs{.batch = 8}, {}, {g, h, g, h, images, clock}), "");
    EXPECT_THAT(outcome(OpKind::kAccumulate, AccumulateAttrs{.batch = 8}, {}, {g, h, h, g, images, clock}),
                HasSubstr("sum 0 does not match its gradient"));
    EXPECT_THAT(outcome(OpKind::kAccumulate, AccumulateAttrs{.batch = 8}, {}, {g, g, clock, images}),
                HasSubstr("needs the number of images and the clock last"));
    EXPECT_EQ(outcome(OpKind::kClipGradients, ClipAttrs{.norm = 1}, {}, {g, h}), "");
    EXPECT_THAT(outcome(OpKind::kClipGradients, ClipAttrs{1, 1}, {}, {g}), HasSubstr("to a norm or to a value"));
    EXPECT_THAT(outcome(OpKind::kClipGradients, ClipAttrs{1, 0}, {rate}, {g}), HasSubstr("but the loss scale"));
    EXPECT_EQ(outcome(OpKind::kEma, ScalarAttrs{0.9f}, {g, h, clock}, {g, h}), "");
    EXPECT_THAT(outcome(OpKind::kEma, ScalarAttrs{0.9f}, {g, clock}, {g, h}), HasSubstr("1 values, 2 averages"));
}

TEST(GraphValues, OutputsAreNamedAfterTheirNode) {
    Graph graph;
    const ValueId x = graph.add("x", Role::kInput, {{1, 4, 4, 1}, DType::kF32});
    const auto outputs = graph.apply(OpKind::kMaxPool, "pool", PoolAttrs{}, {x});
    EXPECT_EQ(graph.value(outputs[0]).name, "pool");
    EXPECT_EQ(graph.value(outputs[1]).name, "pool.argmax");
    EXPECT_EQ(graph.value(outputs[1]).info.dtype, DType::kU8);
    EXPECT_EQ(graph.value(outputs[1]).writer, 0);
    EXPECT_EQ(graph.find("pool.argmax"), outputs[1]);
    EXPECT_EQ(graph.find("nothing"), kNoValue);
}

TEST(Flops, TwoPerMultiplyAdd) {
    Graph graph;
    const ValueId x = graph.add("x", Role::kInput, {{2, 8, 8, 3}, DType::kF32});
    const ValueId w = graph.add("w", Role::kParameter, {{3, 3, 3, 5}, DType::kF32});
    graph.apply1(OpKind::kConv2d, "conv", ConvAttrs{}, {x, w});
    EXPECT_EQ(flops_of(graph.describe(graph.nodes().back())), 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3));
    graph.apply1(OpKind::kRelu, "relu", NoAttrs{}, {x});
    EXPECT_EQ(flops_of(graph.describe(graph.nodes().back())), 0);
}

}  // namespace
}  // namespace fer::test
