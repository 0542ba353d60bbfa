// What a plan contains and says: forced implementations, refusals, dropped nodes, shared memory, the printed form.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/executor.hpp"
#include "models/models.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/golden_text.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

StepOptions two_images() {
    StepOptions options;
    options.batch = 2;
    options.input.images = 4;
    options.fuse = cpu_device().fusions();
    return options;
}

Graph conv_graph(DType real = DType::kF32) {
    Graph g;
    const ValueId x = g.add("x", Role::kInput, {{1, 4, 4, 2}, real});
    const ValueId w = g.add("w", Role::kParameter, {{3, 3, 2, 3}, real});
    g.keep(g.apply1(OpKind::kRelu, "relu", NoAttrs{}, {g.apply1(OpKind::kConv2d, "conv", ConvAttrs{}, {x, w})}));
    return g;
}

PlanOptions forced(const std::string& op, const std::string& how) {
    PlanOptions options;
    options.force[op] = how;
    return options;
}

TEST(Plan, TakesTheFirstImplementationThatAccepts) {
    EXPECT_EQ(make_plan(conv_graph(), cpu_device()).steps[0].implementation->name, "onednn");
    const Plan plan = make_plan(conv_graph(DType::kF64), cpu_device());
    EXPECT_EQ(plan.steps[0].implementation->name, "reference");
    ASSERT_EQ(plan.steps[0].declined.size(), 1u);
    EXPECT_EQ(plan.steps[0].declined[0].implementation, "onednn");
    EXPECT_EQ(plan.steps[0].declined[0].reason, "oneDNN computes in float32");
}

TEST(Plan, ForcesAnImplementation) {
    const Step step = training_step(models::simpler_cnn, two_images());
    const Plan plan = make_plan(step.graph, cpu_device(), forced("conv2d", "reference"));
    int convolutions = 0;
    for (const PlanStep& s : plan.steps) {
        if (s.op.kind == OpKind::kConv2d) {
            EXPECT_EQ(s.implementation->name, "reference");
            ++convolutions;
        }
        if (s.op.kind == OpKind::kConv2dDgrad) {
            EXPECT_NE(s.implementation->name, "reference") << "only conv2d was forced";
        }
    }
    EXPECT_EQ(convolutions, 3);
}

TEST(Plan, ForcingErrorsNameWhatThereIs) {
    const auto plan_with = [](DType real, const PlanOptions& options) {
        return error_of<UsageError>([&] { make_plan(conv_graph(real), cpu_device(), options); });
    };
    EXPECT_THAT(plan_with(DType::kF32, forced("conv2", "reference")),
                AllOf(HasSubstr("unknown op 'conv2'"), HasSubstr("did you mean 'conv2d'?")));
    EXPECT_THAT(plan_with(DType::kF32, forced("conv2d", "cudnn")),
                AllOf(HasSubstr("no implementation 'cudnn' of conv2d on cpu"), HasSubstr("one of: onednn, reference")));
    EXPECT_THAT(plan_with(DType::kF64, forced("conv2d", "onednn")),
                AllOf(HasSubstr("conv2d 'conv'"), HasSubstr("onednn: oneDNN computes in float32")));
}

TEST(Plan, DropsWhatNobodyNeeds) {
    Graph g = conv_graph();
    g.apply1(OpKind::kRelu6, "unread", NoAttrs{}, {g.find("conv")});
    const Plan plan = make_plan(g, cpu_device());
    EXPECT_EQ(plan.steps.size(), 2u);
    EXPECT_EQ(plan.placements[static_cast<std::size_t>(g.find("unread"))].place, Place::kNowhere);
}

// The last step may not write over a kept value it reads.
TEST(Plan, KeptValuesSurviveTheLastStep) {
    Graph g;
    const ValueId x = g.add("x", Role::kInput, {{4}, DType::kF32});
    const ValueId a = g.apply1(OpKind::kRelu, "a", NoAttrs{}, {x});
    const ValueId b = g.apply1(OpKind::kRelu6, "b", NoAttrs{}, {a});
    g.keep(a);
    g.keep(b);
    Plan plan = make_plan(g, cpu_device());
    const Graph* graphs[] = {&g};
    const Variables variables(graphs);
    Arena arena;
    arena.reserve(plan.arena_bytes);
    const float values[] = {-1, 2, 7, 9};
    Executor executor(std::move(plan), variables, arena, {{"x", values}});
    executor.run();
    EXPECT_THAT(executor.read<float>(a), ::testing::ElementsAre(0, 2, 7, 9));
    EXPECT_THAT(executor.read<float>(b), ::testing::ElementsAre(0, 2, 6, 6));
}

TEST(Plan, InPlaceResultsAndViewsTakeTheirInputsMemory) {
    Graph g;
    const ValueId x = g.add("x", Role::kInput, {{2, 2, 2, 3}, DType::kF32});
    const ValueId p = g.apply1(OpKind::kZeroPad, "pad", PadAttrs{1, 1, 1, 1}, {x});
    const ValueId r = g.apply1(OpKind::kRelu, "relu", NoAttrs{}, {p});
    const ValueId f = g.apply1(OpKind::kFlatten, "flatten", NoAttrs{}, {r});
    g.keep(f);
    const Plan plan = make_plan(g, cpu_device());
    const auto placement = [&](ValueId id) { return plan.placements[static_cast<std::size_t>(id)]; };
    EXPECT_EQ(placement(r).shares, p);
    EXPECT_EQ(placement(f).shares, r);
    EXPECT_EQ(placement(f).offset, placement(p).offset);
    EXPECT_EQ(plan.steps[2].implementation, nullptr) << "a view runs nothing";
}

TEST(Plan, AnInputListedTwiceIsNotOverwritten) {
    Graph g;
    const ValueId x = g.add("x", Role::kInput, {{4}, DType::kF32});
    const ValueId a = g.apply1(OpKind::kRelu, "a", NoAttrs{}, {x});
    const ValueId s = g.apply1(OpKind::kAdd, "sum", NoAttrs{}, {a, a});
    g.keep(s);
    const Plan plan = make_plan(g, cpu_device());
    EXPECT_EQ(plan.placements[static_cast<std::size_t>(s)].shares, kNoValue);
}

TEST(Plan, BatchesOfOneModelAgreeOnPersistentValues) {
    StepOptions options = two_images();
    const Step a = training_step(models::simpler_cnn, options);
    options.batch = 3;
    const Step b = training_step(models::simpler_cnn, options);
    const Step c = evaluation_step(models::simpler_cnn, options);
    const Graph* graphs[] = {&a.graph, &b.graph, &c.graph};
    EXPECT_NO_THROW(Variables{graphs});
    EXPECT_GT(make_plan(b.graph, cpu_device(true)).arena_bytes, make_plan(a.graph, cpu_device(true)).arena_bytes);
}

Step fused_step() {
    StepOptions options = two_images();
    options.fuse = cpu_device().fusions();
    return training_step(models::simpler_cnn, options);
}

// On the reference: scratch sizes of a library depend on the processor.
TEST(PlanText, TrainingStep) {
    const Step step = fused_step();
    expect_golden_text(describe(make_plan(step.graph, cpu_device(true))), "tests/plan/simpler_cnn_b2.plan.txt");
}

TEST(PlanText, ExplainsOneNode) {
    const Step step = fused_step();
    expect_golden_text(describe(make_plan(step.graph, cpu_device(true)), "batch_normalization"),
                       "tests/plan/simpler_cnn_b2.explain.txt");
}

TEST(PlanText, ExplainsRefusals) {
    EXPECT_THAT(describe(make_plan(conv_graph(DType::kF64), cpu_device()), "conv"),
                AllOf(HasSubstr("onednn declined: oneDNN computes in float32"), HasSubstr("runs    reference")));
}

TEST(PlanText, UnknownNodeNamesTheNearest) {
    const Plan plan = make_plan(conv_graph(), cpu_device());
    EXPECT_THAT(error_of<UsageError>([&] { describe(plan, "comv"); }),
                AllOf(HasSubstr("no node 'comv'"), HasSubstr("did you mean 'conv'?")));
}

TEST(Executor, NeedsItsInputsAndItsArena) {
    const Graph g = conv_graph();
    const Plan plan = make_plan(g, cpu_device());
    const Graph* graphs[] = {&g};
    const Variables variables(graphs);
    Arena arena;
    const std::vector<float> x(32);
    EXPECT_THAT(error_of<UsageError>([&] {
                    Executor(plan, variables, arena, {{"x", x.data()}});
                }),
                HasSubstr(fmt::format("the plan needs {}", plan.arena_bytes)));
    arena.reserve(plan.arena_bytes);
    EXPECT_THAT(error_of<UsageError>([&] { Executor(plan, variables, arena, {}); }),
                HasSubstr("input 'x' has no data"));
    const Executor executor(plan, variables, arena, {{"x", x.data()}});
    EXPECT_THAT(error_of<UsageError>([&] { executor.read<double>(g.find("relu")); }),
                HasSubstr("'relu' is f32, not f64"));
}

TEST(Executor, RebindsInputs) {
    Graph g;
    g.keep(g.apply1(OpKind::kRelu, "y", NoAttrs{}, {g.add("x", Role::kInput, {{2}, DType::kF32})}));
    const Graph* graphs[] = {&g};
    const Variables variables(graphs);
    Arena arena;
    Plan plan = make_plan(g, cpu_device());
    arena.reserve(plan.arena_bytes);
    const float first[] = {1, 2}, second[] = {3, 4};
    Executor executor(std::move(plan), variables, arena, {{"x", first}});
    executor.run();
    EXPECT_THAT(executor.read<float>(g.find("y")), ::testing::ElementsAre(1, 2));
    executor.rebind("x", second);
    executor.run();
    EXPECT_THAT(executor.read<float>(g.find("y")), ::testing::ElementsAre(3, 4));
}

TEST(Executor, AddsUpSecondsPerStep) {
    Graph g;
    g.keep(g.apply1(OpKind::kRelu, "y", NoAttrs{}, {g.add("x", Role::kInput, {{2}, DType::kF32})}));
    const Graph* graphs[] = {&g};
    const Variables variables(graphs);
    Arena arena;
    Plan plan = make_plan(g, cpu_device());
    arena.reserve(plan.arena_bytes);
    const float x[] = {1, 2};
    Executor executor(std::move(plan), variables, arena, {{"x", x}});
    executor.run();
    EXPECT_TRUE(executor.step_seconds().empty());
    executor.time_steps(true);
    executor.run();
    ASSERT_EQ(executor.step_seconds().size(), 1u);
    EXPECT_GT(executor.step_seconds()[0], 0);
}

/// Writes one element too many.
class Overrunning : public Device {
public:
    std::string_view name() const override { return "overrunning"; }
    std::string_view fusions() const override { return "off"; }
    std::span<const Implementation> implementations(OpKind) const override {
        static const Implementation list[] = {{"careless", nullptr, nullptr, [](const OpDesc& op) -> Kernel {
                                                   const auto count = static_cast<std::size_t>(op.out[0].shape.count());
                                                   return [count](const Operands& t) {
                                                       std::fill_n(t.output<float>(0), count + 1, 1.0f);
                                                   };
                                               }}};
        return list;
    }
};

TEST(Executor, CanariesNameTheNodeThatBrokeThem) {
    Graph g;
    g.keep(g.apply1(OpKind::kRelu, "culprit", NoAttrs{}, {g.add("x", Role::kInput, {{64}, DType::kF32})}));
    const Graph* graphs[] = {&g};
    const Variables variables(graphs);
    PlanOptions options;
    options.gap = 64;
    Plan plan = make_plan(g, Overrunning(), options);
    Arena arena;
    arena.reserve(plan.arena_bytes);
    const std::vector<float> x(64);
    Executor executor(std::move(plan), variables, arena, {{"x", x.data()}});
    EXPECT_THAT(error_of<InternalError>([&] { executor.run(); }), HasSubstr("'culprit' wrote past the end"));
}

TEST(Variables, NamesTheNearest) {
    const Step step = evaluation_step(models::simpler_cnn, two_images());
    const Graph* graphs[] = {&step.graph};
    const Variables variables(graphs);
    EXPECT_THAT(error_of<UsageError>([&] { variables.at("conv2d_1/kernal"); }),
                AllOf(HasSubstr("no variable 'conv2d_1/kernal'"), HasSubstr("did you mean 'conv2d_1/kernel'?")));
    EXPECT_THAT(error_of<UsageError>([&] { variables.get<double>("conv2d/kernel"); }), HasSubstr("is f32, not f64"));
}

TEST(Variables, GraphsMustAgree) {
    Graph a, b;
    a.add("w", Role::kParameter, {{2, 3}, DType::kF32});
    b.add("w", Role::kParameter, {{3, 2}, DType::kF32});
    const Graph* graphs[] = {&a, &b};
    EXPECT_THAT(error_of<UsageError>([&] { Variables{graphs}; }),
                AllOf(HasSubstr("'w'"), HasSubstr("(2, 3)"), HasSubstr("(3, 2)")));
}

// An optimizer may walk parameters and gradients as two long vectors.
TEST(Variables, GradientsLieAsTheirParametersDo) {
    const Step step = training_step(models::simpler_cnn, two_images());
    const Graph* graphs[] = {&step.graph};
    const Variables variables(graphs);
    const char* first_parameter = nullptr;
    const char* first_gradient = nullptr;
    int pairs = 0;
    for (const Value& value : step.graph.values()) {
        if (value.role == Role::kGradient) {
            const char* gradient = variables.at(value.name).address;
            const char* parameter = variables.at(step.graph.value(value.of).name).address;
            first_parameter = first_parameter == nullptr ? parameter : first_parameter;
            first_gradient = first_gradient == nullptr ? gradient : first_gradient;
            EXPECT_EQ(gradient - first_gradient, parameter - first_parameter) << value.name;
            ++pairs;
        }
    }
    EXPECT_EQ(pairs, 14);
}

}  // namespace
}  // namespace fer::test
