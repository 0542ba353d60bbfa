// Models as layers: names and counts as Keras has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/graph/op_table.hpp"
#include "engine/graph/step.hpp"
#include "models/models.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/small_models.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Layers {
    explicit Layers(const NetOptions& options = {}) : net(graph, x, clock, options) {}
    Graph graph;
    ValueId x = graph.add("x", Role::kInput, {{2, 12, 12, 1}, DType::kF32});
    ValueId clock = graph.add("clock", Role::kState, {{kClockFields}, DType::kI64});
    Net net;

    std::vector<std::string> names() const {
        std::vector<std::string> list;
        for (const Layer& layer : net.layers()) {
            list.push_back(layer.name);
        }
        return list;
    }
    std::vector<std::string> variables() const {
        std::vector<std::string> list;
        for (const Variable& v : net.variables()) {
            list.push_back(graph.value(v.id).name);
        }
        return list;
    }
};

TEST(Net, NamesLayersAsKerasDoes) {
    Layers l;
    l.net.conv(2, 3).relu().separable_conv(3, 3).relu().conv(2, 3).batch_norm().relu().max_pool().dropout(0.5f);
    l.net.batch_norm().avg_pool().zero_pad({1, 1, 1, 1}).depthwise_conv(3).flatten().dense(4).relu().logits(7);
    EXPECT_THAT(l.names(),
                ElementsAre("input", "conv2d", "separable_conv2d", "conv2d_1", "batch_normalization", "activation",
                            "max_pooling2d", "dropout", "batch_normalization_1", "average_pooling2d", "zero_padding2d",
                            "depthwise_conv2d", "flatten", "dense", "dense_1"));
}

TEST(Net, OrdersVariablesAsKerasDoes) {
    Layers l;
    l.net.conv(2, 3).separable_conv(3, 3).batch_norm().flatten().dense(4);
    EXPECT_THAT(l.variables(),
                ElementsAre("conv2d/kernel", "conv2d/bias", "separable_conv2d/depthwise_kernel",
                            "separable_conv2d/pointwise_kernel", "separable_conv2d/bias", "batch_normalization/gamma",
                            "batch_normalization/beta", "batch_normalization/moving_mean",
                            "batch_normalization/moving_variance", "dense/kernel", "dense/bias"));
}

TEST(Net, CountsFansAsKerasDoes) {
    Layers l;
    l.net.conv(8, 3).separable_conv(5, 3).flatten().dense(4);
    const auto fans = [&](std::size_t i) {
        return std::pair(l.net.variables()[i].fan_in, l.net.variables()[i].fan_out);
    };
    EXPECT_EQ(fans(0), std::pair(std::int64_t{9}, std::int64_t{72}));
    EXPECT_EQ(fans(2), std::pair(std::int64_t{72}, std::int64_t{9})) << "depthwise: (3, 3, 8, 1)";
    EXPECT_EQ(fans(3), std::pair(std::int64_t{8}, std::int64_t{5}));
    EXPECT_EQ(fans(5), std::pair(std::int64_t{720}, std::int64_t{4}));
}

TEST(Net, InferenceDropsDropoutAndUsesMovingStatistics) {
    Layers l({.mode = Mode::kInfer});
    l.net.conv(2, 3).batch_norm().dropout(0.5f);
    for (const Node& node : l.graph.nodes()) {
        EXPECT_NE(node.kind, OpKind::kDropout);
        EXPECT_NE(node.kind, OpKind::kBatchNorm);
    }
    EXPECT_THAT(l.names(), ElementsAre("input", "conv2d", "batch_normalization", "dropout"));
}

TEST(Net, ErrorsNameTheLayerAndTheValues) {
    Layers l;
    l.net.conv(2, 3);
    EXPECT_THAT(error_of<UsageError>([&] { l.net.dense(4); }),
                AllOf(HasSubstr("'dense'"), HasSubstr("(2, 12, 12, 2)"), HasSubstr("flatten()")));
    Layers pools;
    pools.net.max_pool(3, 2).max_pool(3, 2);
    EXPECT_THAT(error_of<UsageError>([&] { pools.net.max_pool(3, 2); }),
                AllOf(HasSubstr("'max_pooling2d_2'"), HasSubstr("window 3 does not fit into 2")));
    Layers residual;
    const ValueId start = residual.net.here();
    residual.net.conv(2, 3);
    EXPECT_THAT(error_of<UsageError>([&] { residual.net.add(start); }),
                AllOf(HasSubstr("'add'"), HasSubstr("(2, 12, 12, 1)"), HasSubstr("(2, 12, 12, 2)")));
    EXPECT_THAT(error_of<UsageError>([] { Layers({.width = 0}); }), HasSubstr("width must be positive, got 0"));
}

std::string test_name(const ::testing::TestParamInfo<models::Model>& info) { return std::string(info.param.name); }

class ModelCounts : public ::testing::TestWithParam<models::Model> {};

/// total, trainable
std::pair<std::int64_t, std::int64_t> counts(const Step& step) {
    std::int64_t total = 0, trainable = 0;
    for (const Variable& v : step.variables) {
        const std::int64_t count = step.graph.value(v.id).info.shape.count();
        total += count;
        trainable += v.trainable ? count : 0;
    }
    return {total, trainable};
}

TEST_P(ModelCounts, AreThoseOfKeras) {
    const models::Model& model = GetParam();
    for (const char* fusions : {"on", "off"}) {
        StepOptions options = two_images_for(model);
        options.fuse = fusions;
        EXPECT_EQ(counts(training_step(model.build, options)), std::pair(model.total, model.trainable));
        EXPECT_EQ(counts(evaluation_step(model.build, options)), std::pair(model.total, model.trainable));
    }
}

TEST_P(ModelCounts, EveryParameterHasAGradientAndIsUpdated) {
    const Step step = training_step(GetParam().build, two_images_for(GetParam()));
    std::set<ValueId> with_gradient;
    for (const Value& value : step.graph.values()) {
        if (value.role == Role::kGradient) {
            EXPECT_TRUE(with_gradient.insert(value.of).second);
            EXPECT_EQ(value.info, step.graph.value(value.of).info);
        }
    }
    std::set<ValueId> updated;
    for (const Node& node : step.graph.nodes()) {
        if (node.kind == OpKind::kAdam) {
            updated.insert(node.state.begin(), node.state.end());
        }
    }
    for (const Variable& v : step.variables) {
        EXPECT_EQ(with_gradient.contains(v.id), v.trainable) << step.graph.value(v.id).name;
        EXPECT_EQ(updated.contains(v.id), v.trainable) << step.graph.value(v.id).name;
    }
}

INSTANTIATE_TEST_SUITE_P(All, ModelCounts, ::testing::ValuesIn(models::all().begin(), models::all().end()), test_name);

TEST(Models, WidthScalesTheNetwork) {
    for (const models::Model& model : small_models()) {
        StepOptions options = two_images_for(model);
        options.width = 0.25f;
        const Step step = training_step(model.build, options);
        EXPECT_LT(counts(step).first, model.total / 4) << model.name;
        EXPECT_EQ(step.graph.value(step.probabilities).info.shape, (Shape{2, models::kClasses}));
    }
}

// Total and non-trainable as Keras prints them, and those of our own two by the same rule; the table in models.cpp is
// held against this one.
TEST(Models, AreThoseOfTheSpecification) {
    const std::map<std::string_view, std::pair<std::int64_t, std::int64_t>> want{
        {"custom_cnn", {17'046'535, 1'664}},        {"simpler_cnn", {9'534'727, 384}},
        {"deeper_cnn", {12'863'495, 2'688}},        {"residual_cnn", {12'978'055, 4'736}},
        {"separable_cnn", {13'565'424, 1'664}},     {"gap_cnn", {4'463'623, 1'664}},
        {"new_model", {4'478'727, 3'968}},          {"fer_fast", {6'574'919, 4'480}},
        {"fer_best", {11'180'871, 9'600}},          {"vgg16_tl", {40'934'215, 9'995'072}},
        {"resnet50v2_tl", {29'996'295, 7'216'768}}, {"mobilenetv2_tl", {3'576'903, 2'257'984}},
        {"resnet50_tl", {23'850'887, 23'587'712}},  {"vgg16_fc_tl", {134'289'223, 134'260'544}}};
    EXPECT_EQ(models::all().size(), want.size());
    for (const models::Model& model : models::all()) {
        ASSERT_TRUE(want.contains(model.name)) << model.name;
        EXPECT_EQ(model.total, want.at(model.name).first) << model.name;
        EXPECT_EQ(model.total - model.trainable, want.at(model.name).second) << model.name;
    }
}

TEST(Models, UnknownNamesGetTheNearest) {
    EXPECT_EQ(models::find("gap_cnn").total, 4'463'623);
    EXPECT_THAT(error_of<UsageError>([] { models::find("costum_cnn"); }),
                AllOf(HasSubstr("unknown model 'costum_cnn'"), HasSubstr("did you mean 'custom_cnn'?")));
    EXPECT_THAT(error_of<UsageError>([] { models::find("transformer"); }),
                HasSubstr("one of: custom_cnn, simpler_cnn"));
}

TEST(Step, AModelMustEndInTheClasses) {
    StepOptions options = two_images_for(models::find("simpler_cnn"));
    options.classes = 8;
    EXPECT_THAT(error_of<UsageError>([&] { training_step(models::simpler_cnn, options); }),
                HasSubstr("the model ends in (2, 7), not in 8 classes"));
}

}  // namespace
}  // namespace fer::test
