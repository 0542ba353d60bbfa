// Rewrites of whole steps and of what they need not repeat: what is taken in, and what must stay.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/graph/gradient.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/graph/step.hpp"
#include "models/models.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/small_models.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

StepOptions options(const std::string& fusions, Precision precision = Precision::kFp32) {
    StepOptions o;
    o.batch = o.input.images = 2;
    o.fuse = fusions;
    o.precision = precision;
    return o;
}

std::map<std::string_view, int> kinds(const Graph& graph) {
    std::map<std::string_view, int> counts;
    for (const Node& node : graph.nodes()) {
        ++counts[name_of(node.kind)];
    }
    return counts;
}

const Node& node_named(const Graph& graph, std::string_view name) {
    const auto found = std::ranges::find(graph.nodes(), name, &Node::name);
    FER_CHECK(found != graph.nodes().end(), "no node '{}'", name);
    return *found;
}

/// Every value is written before it is read, by the node it names, and by one alone.
void expect_in_order(const Graph& graph) {
    std::set<ValueId> written;
    for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
        const Node& node = graph.nodes()[n];
        for (const ValueId id : node.inputs) {
            EXPECT_TRUE(graph.value(id).writer < 0 || written.contains(id)) << node.name << " reads too early";
        }
        for (const ValueId id : node.outputs) {
            EXPECT_TRUE(written.insert(id).second) << node.name << " writes what is written";
            EXPECT_EQ(graph.value(id).writer, static_cast<int>(n)) << node.name;
        }
    }
}

TEST(FuseStep, EveryNetworkStaysInOrder) {
    for (const models::Model& model : models::all()) {
        SCOPED_TRACE(model.name);
        for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
            StepOptions o = two_images_for(model);
            o.width = 0.125f;
            o.fuse = "on";
            o.precision = precision;
            for (const Step& step : {training_step(model.build, o), evaluation_step(model.build, o)}) {
                expect_in_order(step.graph);
                expect_in_order(step.prepare);
            }
        }
    }
}

TEST(FuseStep, ConvolutionsTakeTheStatisticsOfTheNormBehindThem) {
    const Step step = training_step(models::simpler_cnn, options("bias,activation,norm_pool,norm_sums"));
    auto counts = kinds(step.graph);
    EXPECT_EQ(counts["batch_norm"], 0);
    EXPECT_EQ(counts["batch_norm_pool"], 2);
    const Node& conv = node_named(step.graph, "conv2d_1");
    EXPECT_TRUE(std::get<ConvAttrs>(conv.attrs).statistics);
    EXPECT_EQ(conv.outputs.size(), 3u);
    EXPECT_EQ(conv.state.size(), 2u);
    const Node& norm = node_named(step.graph, "batch_normalization");
    EXPECT_TRUE(norm.state.empty());
    EXPECT_EQ(norm.inputs[3], conv.outputs[1]);
    EXPECT_EQ(norm.inputs[4], conv.outputs[2]);
    EXPECT_FALSE(std::get<ConvAttrs>(node_named(step.graph, "conv2d").attrs).statistics) << "no norm behind it";
}

// A second norm on the same convolution, and one behind another op, keep their own pass.
TEST(FuseStep, StatisticsAreTakenOnce) {
    const auto model = [](Net& net) {
        net.conv(4, 3);
        const ValueId y = net.here();
        net.batch_norm();
        const ValueId one = net.here();
        net.from(y).batch_norm().add(one).max_pool().batch_norm().flatten();
        net.logits(7);
    };
    const Step step = training_step(model, options("bias,norm_sums"));
    EXPECT_EQ(kinds(step.graph)["batch_norm"], 2);
    EXPECT_EQ(kinds(step.graph)["batch_norm_inference"], 1);
}

TEST(FuseStep, StatisticsHaveNoGradient) {
    Graph graph;
    const ValueId x = graph.add("x", Role::kInput, {{1, 4, 4, 2}, DType::kF32});
    const ValueId w = graph.add("w", Role::kParameter, {{3, 3, 2, 2}, DType::kF32});
    const ValueId moving = graph.add("moving", Role::kState, {{2}, DType::kF32});
    const auto y = graph.apply(OpKind::kConv2d, "conv", ConvAttrs{.statistics = true}, {x, w}, {moving, moving});
    const ValueId loss = graph.apply1(OpKind::kL2Penalty, "loss", ScalarAttrs{1}, {y[0]});
    const ValueId wrt[] = {w};
    EXPECT_THAT(error_of<UsageError>([&] { differentiate(graph, loss, wrt); }),
                HasSubstr("statistics are fused after"));
}

TEST(FuseStep, TheLossGivesItsGradient) {
    const Step apart = training_step(models::simpler_cnn, options("off", Precision::kBf16));
    const Step step = training_step(models::simpler_cnn, options("loss", Precision::kBf16));
    EXPECT_EQ(kinds(step.graph)["softmax_xent_grad"], 0);
    const Node& loss = node_named(step.graph, "loss");
    EXPECT_EQ(loss.outputs.size(), 4u);
    EXPECT_EQ(step.graph.value(loss.inputs[0]).info.dtype, DType::kBF16) << "the casts around it went too";
    EXPECT_EQ(step.graph.value(loss.outputs[3]).info.dtype, DType::kBF16);
    EXPECT_EQ(kinds(apart.graph)["cast"] - kinds(step.graph)["cast"], 1) << "the other one is dead, and no longer read";
}

TEST(FuseStep, ThePenaltyAddsToTheGradient) {
    const Step apart = training_step(models::custom_cnn, options("off"));
    const Step step = training_step(models::custom_cnn, options("l2"));
    EXPECT_EQ(kinds(step.graph)["l2_grad"], 4);
    EXPECT_EQ(kinds(apart.graph)["add"] - kinds(step.graph)["add"], 4);
    for (const Node& node : step.graph.nodes()) {
        if (node.kind == OpKind::kL2Grad) {
            ASSERT_EQ(node.state.size(), 1u);
            const Value& gradient = step.graph.value(node.state[0]);
            EXPECT_EQ(gradient.role, Role::kGradient);
            EXPECT_EQ(gradient.of, node.inputs[0]);
            const Node& writer = step.graph.nodes()[static_cast<std::size_t>(gradient.writer)];
            EXPECT_EQ(writer.kind, OpKind::kConv2dWgrad);
            EXPECT_LT(&writer, &node) << "adds to what is not there yet";
        }
    }
}

TEST(FuseStep, ALargeLayerIsUpdatedAsSoonAsItCanBe) {
    const Step apart = training_step(models::custom_cnn, options("shadow,l2", Precision::kBf16));
    const Step step = training_step(models::custom_cnn, options("shadow,l2,early_update", Precision::kBf16));
    expect_in_order(step.graph);
    const Node& early = node_named(step.graph, "adam_early");
    const Node& rest = node_named(step.graph, "adam");
    ASSERT_EQ(early.inputs.size(), 3u);
    ASSERT_EQ(early.state.size(), 4u) << "weights, two moments, the 16-bit copy";
    EXPECT_EQ(step.graph.value(early.state[0]).name, "dense/kernel");
    EXPECT_EQ(step.graph.value(early.inputs[2]).of, early.state[0]);
    std::multiset<ValueId> together(early.state.begin(), early.state.end());
    together.insert(rest.state.begin(), rest.state.end());
    const Node& whole = node_named(apart.graph, "adam");
    EXPECT_TRUE(together == std::multiset<ValueId>(whole.state.begin(), whole.state.end()));
    const Node& before = *(&early - 1);  // the last one that reads the weights
    EXPECT_EQ(before.name, "dense/dx");
}

TEST(FuseStep, NoUpdateIsEarlyBeforeAllGradientsAreLookedAt) {
    const Step step = training_step(models::custom_cnn, options("early_update", Precision::kFp16));
    EXPECT_EQ(kinds(step.graph)["adam"], 1);
    EXPECT_EQ(step.fusions.back().count, 0);
}

TEST(FuseStep, TheGatherTakesInWhatFollows) {
    StepOptions o = options("input", Precision::kBf16);
    o.input.augment.rotation = 10;
    const Step step = training_step(models::simpler_cnn, o);
    auto counts = kinds(step.graph);
    EXPECT_EQ(counts["gather"] + counts["augment"] + counts["rescale"], 0);
    const Node& batch = node_named(step.graph, "batch");
    EXPECT_EQ(std::get<ImageBatchAttrs>(batch.attrs).to, DType::kBF16);
    EXPECT_EQ(std::get<ImageBatchAttrs>(batch.attrs).augment, o.input.augment);
    EXPECT_EQ(node_named(step.graph, "conv2d").inputs[0], batch.outputs[0]);
}

TEST(FuseStep, TheFirstConvolutionMakesItsImages) {
    StepOptions o = options("bias,activation,input,image_conv", Precision::kBf16);
    o.input.augment.rotation = 10;
    const Step step = training_step(models::residual_cnn, o);
    auto counts = kinds(step.graph);
    EXPECT_EQ(counts["image_batch"], 0);
    EXPECT_EQ(counts["image_conv"], 1);
    const Node& first = node_named(step.graph, "conv2d");
    const auto& attrs = std::get<ImageConvAttrs>(first.attrs);
    EXPECT_EQ(attrs.images.augment, o.input.augment);
    EXPECT_EQ(attrs.conv.activation, Activation::kRelu);
    EXPECT_EQ(first.inputs.size(), 6u) << "four of the images, weights and bias";
    EXPECT_EQ(step.graph.value(first.outputs[2]).info.shape.str(), "(2, 48, 48, 32)");
    const auto reads_images = [&](const Node& node) {
        return node.kind == OpKind::kConv2dWgrad && node.inputs[0] == first.outputs[0];
    };
    EXPECT_EQ(std::ranges::count_if(step.graph.nodes(), reads_images), 1);
    o.precision = Precision::kTf32;
    EXPECT_EQ(kinds(training_step(models::residual_cnn, o).graph)["image_conv"], 0) << "it does not round to tf32";
}

TEST(FuseStep, AResizeTakesInWhatFollows) {
    StepOptions o = options("input", Precision::kBf16);
    o.input.height = o.input.width = 224;
    o.input.channels = 3;
    o.input.rescale = {1, {-103.939f, -116.779f, -123.68f}};
    auto counts = kinds(training_step(models::vgg16_tl, o).graph);
    EXPECT_EQ(counts["gather"], 1) << "bytes are fewer than floats: nothing to take in";
    EXPECT_EQ(counts["resize"], 1);
    EXPECT_EQ(counts["gray_to_rgb"] + counts["rescale"], 0);
    o.input.augment.horizontal_flip = true;
    EXPECT_EQ(kinds(training_step(models::vgg16_tl, o).graph)["image_batch"], 1);
}

TEST(FuseStep, EqualChannelsBecomeOne) {
    StepOptions o = options("gray");
    o.input.height = o.input.width = 224;
    o.input.channels = 3;
    o.input.rescale = {1 / 127.5f, {-1, -1, -1}};
    const Step step = evaluation_step(models::resnet50v2_tl, o);
    EXPECT_EQ(kinds(step.graph)["gray_to_rgb"], 0);
    const Node& conv = node_named(step.graph, "conv1_conv");
    EXPECT_EQ(step.graph.value(conv.inputs[0]).info.shape[3], 1);
    EXPECT_EQ(step.graph.value(conv.inputs[1]).info.shape, (Shape{7, 7, 1, 64}));
    o.input.rescale.offset = {-1, -1, -2};
    EXPECT_EQ(kinds(evaluation_step(models::resnet50v2_tl, o).graph)["gray_to_rgb"], 1) << "they differ";
}

TEST(Prepare, TheOptimizerKeepsThe16BitCopies) {
    const Step step = training_step(models::simpler_cnn, options("shadow", Precision::kBf16));
    for (const Node& node : step.graph.nodes()) {
        EXPECT_FALSE(node.kind == OpKind::kCast && step.graph.value(node.inputs[0]).role == Role::kParameter)
            << node.name;
    }
    const Node& adam = node_named(step.graph, "adam");
    const std::size_t count = adam.inputs.size() - 2;
    ASSERT_EQ(adam.state.size(), 4 * count) << "parameters, two moments, copies";
    for (std::size_t k = 0; k < count; ++k) {
        const Value& copy = step.graph.value(adam.state[3 * count + k]);
        EXPECT_EQ(copy.info.dtype, DType::kBF16);
        EXPECT_TRUE(copy.derived);
        EXPECT_EQ(copy.name, "prepared/" + step.graph.value(adam.state[k]).name + "/bf16");
        EXPECT_NE(step.prepare.find(copy.name), kNoValue);
    }
}

TEST(Prepare, WhatNoStepChangesIsHoisted) {
    const auto model = [](Net& net) {
        net.freeze_first(6);
        net.conv(4, 3).batch_norm().relu().conv(4, 3).batch_norm().conv(4, 3, {.l2 = 0.1f}).relu().flatten();
        net.logits(7);
    };
    const Step train = training_step(model, options("on", Precision::kBf16));
    auto once = kinds(train.prepare);
    EXPECT_EQ(once["batch_norm_inference_grad"], 2) << "two folded kernels";
    EXPECT_EQ(kinds(train.graph)["batch_norm_inference"], 0);
    EXPECT_EQ(once["l2_penalty"], 0) << "of a kernel that is trained";
    const Step evaluate = evaluation_step(model, options("on", Precision::kBf16));
    EXPECT_EQ(kinds(evaluate.prepare)["l2_penalty"], 1);
    EXPECT_EQ(kinds(evaluate.graph)["cast"], 1) << "of the logits";
    for (const Step* step : {&train, &evaluate}) {
        for (const ValueId id : step->prepare.kept()) {
            const Value& made = step->prepare.value(id);
            EXPECT_TRUE(made.derived && made.name.starts_with("prepared/")) << made.name;
            const ValueId read = step->graph.find(made.name);
            ASSERT_NE(read, kNoValue) << made.name;
            EXPECT_EQ(step->graph.value(read).info, made.info);
            EXPECT_TRUE(step->graph.value(read).derived);
        }
    }
}

// Nothing that depends on the batch, the clock, or what the optimizer and the norms change.
TEST(Prepare, WhatChangesStays) {
    const Step step = training_step(models::custom_cnn, options("hoist", Precision::kFp32));
    EXPECT_EQ(kinds(step.prepare), (std::map<std::string_view, int>{{"constant", 1}})) << "the gradient of the loss";
    StepOptions other = options("on", Precision::kBf16);
    other.batch = 1;
    const Step one = evaluation_step(models::custom_cnn, other);
    const Step two = evaluation_step(models::custom_cnn, options("on", Precision::kBf16));
    ASSERT_EQ(one.prepare.values().size(), two.prepare.values().size());
    for (std::size_t i = 0; i < one.prepare.values().size(); ++i) {
        EXPECT_EQ(one.prepare.values()[i].info, two.prepare.values()[i].info) << one.prepare.values()[i].name;
    }
}

}  // namespace
}  // namespace fer::test
