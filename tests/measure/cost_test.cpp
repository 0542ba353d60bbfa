// What a node costs: FLOPs and bytes against closed forms, and those of whole steps against a calculation of its own
// that was made by hand from the networks (GFLOP per image; convolutions and dense layers, two per multiply-add).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/graph/op_table.hpp"
#include "engine/graph/step.hpp"
#include "engine/measure/peaks.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/devices.hpp"
#include "models/models.hpp"
#include "tests/support/tolerance.hpp"

namespace fer {
namespace {

using test::close;

OpDesc conv(OpKind kind, std::vector<TensorInfo> in, ConvAttrs attrs) {
    OpDesc op{kind, "node", attrs, std::move(in), {}, {}};
    op.out = spec_of(kind).infer(op);
    return op;
}

TensorInfo f32(const Shape& shape) { return {shape, DType::kF32}; }
TensorInfo bf16(const Shape& shape) { return {shape, DType::kBF16}; }

TEST(Cost, OfAConvolution) {
    // 5 images 9x7x3 -> 9x7x4 by 3x3: every output element takes 27 products.
    const OpDesc op = conv(OpKind::kConv2d, {f32({5, 9, 7, 3}), f32({3, 3, 3, 4})}, {});
    EXPECT_EQ(flops_of(op), 2 * 5 * 9 * 7 * 4 * 27);
    EXPECT_EQ(traffic_of(op), 4 * (5 * 9 * 7 * 3 + 27 * 4 + 5 * 9 * 7 * 4));
    const OpDesc strided = conv(OpKind::kConv2d, {bf16({5, 9, 7, 3}), bf16({3, 3, 3, 4})}, {.stride = 2});
    EXPECT_EQ(flops_of(strided), 2 * 5 * 5 * 4 * 4 * 27);
    EXPECT_EQ(traffic_of(strided), 2 * (5 * 9 * 7 * 3 + 27 * 4 + 5 * 5 * 4 * 4));
}

TEST(Cost, OfAConvolutionsGradients) {
    const OpDesc dgrad = conv(OpKind::kConv2dDgrad, {f32({5, 9, 7, 4}), f32({3, 3, 3, 4})}, {.input = {5, 9, 7, 3}});
    EXPECT_EQ(flops_of(dgrad), 2 * 5 * 9 * 7 * 4 * 27);
    EXPECT_EQ(traffic_of(dgrad), 4 * (5 * 9 * 7 * 4 + 27 * 4 + 5 * 9 * 7 * 3));
    const OpDesc wgrad = conv(OpKind::kConv2dWgrad, {f32({5, 9, 7, 3}), f32({5, 9, 7, 4})}, {.kernel = {3, 3, 3, 4}});
    EXPECT_EQ(flops_of(wgrad), 2 * 5 * 9 * 7 * 4 * 27);
    EXPECT_EQ(traffic_of(wgrad), 4 * (5 * 9 * 7 * 3 + 5 * 9 * 7 * 4 + 27 * 4));
}

TEST(Cost, OfADenseLayer) {
    OpDesc op{OpKind::kDense, "dense", DenseAttrs{}, {f32({6, 10}), f32({10, 4})}, {}, {}};
    op.out = spec_of(op.kind).infer(op);
    EXPECT_EQ(flops_of(op), 2 * 6 * 10 * 4);
    EXPECT_EQ(traffic_of(op), 4 * (6 * 10 + 10 * 4 + 6 * 4));
}

Plan plan_of(std::string_view model, std::string_view device, Precision precision, bool train, std::int64_t batch) {
    const models::Model& m = models::find(model);
    StepOptions options;
    options.batch = options.input.images = batch;
    options.input.height = m.height;
    options.input.width = m.width;
    options.input.channels = m.channels;
    options.precision = precision;
    options.fuse = fusions_for(find_device(device), "on");
    const Step step = train ? training_step(m.build, options) : evaluation_step(m.build, options);
    return make_plan(step.graph, find_device(device));
}

// Per parameter in float32: the gradient is read, weight and two moments are read and written; the 16-bit copy that
// mixed precision keeps is written.
TEST(Cost, OfAdam) {
    const auto adam_bytes = [](const Plan& plan) {
        std::int64_t bytes = 0;
        for (const PlanStep& step : plan.steps) {
            bytes += step.op.kind == OpKind::kAdam ? traffic_of(step.op) : 0;
        }
        return static_cast<double>(bytes);
    };
    const auto parameters = static_cast<double>(models::find("gap_cnn").trainable);
    const double counters = 72;  // clock and learning rate, of two updates where one runs early
    EXPECT_TRUE(
        close(adam_bytes(plan_of("gap_cnn", "cpu", Precision::kFp32, true, 2)), 28 * parameters, {counters, 0}));
    const auto built = device_names();
    if (std::ranges::count(built, "emulated") == 0) {
        GTEST_SKIP() << "this build has no device `emulated`";
    }
    // Biases, gammas and betas have no copy: four thousand of 4.5 million.
    const double mixed = adam_bytes(plan_of("gap_cnn", "emulated", Precision::kBf16, true, 2));
    EXPECT_LE(mixed, 30 * parameters + counters);
    EXPECT_GE(mixed, 30 * parameters - 2 * 10'000);
}

struct Work {
    const char* model;
    double forward, step;  // GFLOP per image, to the digits given
    double
        megabytes;  // per image of a training step of 1024 in bf16, if every tensor is moved as few times as it can be
};

std::string model_name(const ::testing::TestParamInfo<Work>& tested) { return tested.param.model; }

class Totals : public ::testing::TestWithParam<Work> {};

TEST_P(Totals, OfTheNetwork) {
    const Work& want = GetParam();
    const auto per_image = [&](bool train) {
        return static_cast<double>(plan_of(want.model, "cpu", Precision::kFp32, train, 4).flops()) * 1e-9 / 4;
    };
    EXPECT_TRUE(close(per_image(false), want.forward, test::printed_decimals(3)));
    EXPECT_TRUE(close(per_image(true), want.step, test::printed_decimals(3)));
}

// The floor leaves out what these plans do not: masks of a bit each, statistics from pooled tensors. They were 1.07
// to 1.33 times above it in November 2026; a fusion that no longer applies shows here.
TEST_P(Totals, BytesAreNearTheFloor) {
    if (std::ranges::count(device_names(), "emulated") == 0) {
        GTEST_SKIP() << "this build has no device `emulated`";
    }
    constexpr std::int64_t kBatch = 1024;
    const Plan plan = plan_of(GetParam().model, "emulated", Precision::kBf16, true, kBatch);
    const double got = static_cast<double>(plan.traffic()) * 1e-6 / kBatch;
    EXPECT_GE(got, 0.95 * GetParam().megabytes);
    EXPECT_LE(got, 1.4 * GetParam().megabytes);
}

INSTANTIATE_TEST_SUITE_P(
    Networks, Totals,
    ::testing::Values(Work{"custom_cnn", 1.339, 4.017, 8.4}, Work{"simpler_cnn", 0.190, 0.569, 4.1},
                      Work{"deeper_cnn", 1.557, 4.671, 8.7}, Work{"residual_cnn", 0.954, 2.862, 20.4},
                      Work{"separable_cnn", 0.177, 0.531, 11.5}, Work{"gap_cnn", 1.314, 3.941, 8.0}),
    model_name);

TEST(Limit, IsTheLongerOfMathAndMemory) {
    const OpDesc op = conv(OpKind::kConv2d, {f32({5, 9, 7, 3}), f32({3, 3, 3, 4})}, {});
    const auto flops = static_cast<double>(flops_of(op));
    const auto bytes = static_cast<double>(traffic_of(op));
    const Limit slow_math = limit_of(op, {flops, 2 * bytes});
    EXPECT_EQ(slow_math.seconds, 1);
    EXPECT_EQ(slow_math.bound, Bound::kMath);
    const Limit slow_memory = limit_of(op, {4 * flops, bytes / 2});
    EXPECT_EQ(slow_memory.seconds, 2);
    EXPECT_EQ(slow_memory.bound, Bound::kMemory);
}

TEST(Limit, OfAPlanIsTheSumOverItsSteps) {
    const Plan plan = plan_of("simpler_cnn", "cpu", Precision::kFp32, true, 2);
    const Peaks memory{1e30, 1};  // one byte per second, and arithmetic for nothing
    EXPECT_TRUE(close(limit_seconds(plan, memory), static_cast<double>(plan.traffic()), test::double_sum(1000, 1e9)));
    const Peaks math{1, 1e30};
    EXPECT_TRUE(close(limit_seconds(plan, math), static_cast<double>(plan.flops()), test::double_sum(1000, 1e9)));
}

TEST(Peaks, AreWhatADeviceDoes) {
    const Peaks peaks = measure_peaks(cpu_device(), host_runtime(), Precision::kFp32);
    EXPECT_GT(peaks.flops_per_s, 1e8);
    EXPECT_LT(peaks.flops_per_s, 1e15);
    EXPECT_GT(peaks.bytes_per_s, 1e7);
    EXPECT_LT(peaks.bytes_per_s, 1e13);
}

}  // namespace
}  // namespace fer
