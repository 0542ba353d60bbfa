// Whole steps of every network on the devices other than the CPU, against the CPU reference; and recordings of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/run/devices.hpp"
#include "models/models.hpp"
#include "tests/support/golden_bounds.hpp"
#include "tests/support/small_models.hpp"
#include "tests/support/step_runner.hpp"

namespace fer::test {
namespace {

StepOptions small(std::int64_t batch = 3) {
    StepOptions options;
    options.batch = batch;
    options.width = 0.125f;
    options.input.images = batch;
    return options;
}

/// All devices with memory of their own that this machine can run on.
std::vector<std::string_view> devices() {
    std::vector<std::string_view> names;
    for (const std::string_view name : device_names()) {
        try {
            if (!open_runtime(find_device(name)).host_memory()) {
                names.push_back(name);
            }
        } catch (const DeviceError&) {  // no such hardware here
        }
    }
    return names;
}

/// The optimised build takes all; under the sanitizers two that have every kernel between them.
std::vector<models::Model> networks() {
    std::vector<models::Model> list = small_models();
#ifdef FER_CHECKED
    std::erase_if(list, [](const models::Model& m) { return m.name != "simpler_cnn" && m.name != "separable_cnn"; });
#endif
    return list;
}

using Case = std::tuple<std::string_view, models::Model>;

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
    return fmt::format("{}_{}", std::get<0>(info.param), std::get<1>(info.param).name);
}

class DeviceStep : public ::testing::TestWithParam<Case> {
protected:
    const Device& device() const { return find_device(std::get<0>(GetParam())); }
    ModelBuilder model() const { return std::get<1>(GetParam()).build; }
    /// With canaries behind every buffer, which excludes a recording, or without.
    StepRunner guarded(const StepOptions& options) const {
        return StepRunner(model(), options, device(), 1, open_runtime(device()), false, 64);
    }
    StepRunner runner(const StepOptions& options, bool record) const {
        return StepRunner(model(), options, device(), 1, open_runtime(device()), record, 0);
    }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceStep);
INSTANTIATE_TEST_SUITE_P(All, DeviceStep,
                         ::testing::Combine(::testing::ValuesIn(devices()), ::testing::ValuesIn(networks())),
                         case_name);

TEST_P(DeviceStep, Float32FollowsTheReference) {
    StepRunner got = guarded(small());
    StepRunner want(model(), small(), cpu_device(true));
    const NetworkBounds bounds = narrow_float_network(std::get<1>(GetParam()).name, 8);
    EXPECT_TRUE(close(got.train(), want.train(), {0, 1e-5}));
    std::vector<double> errors;
    for (const Value& value : got.step().graph.values()) {
        if (value.role != Role::kGradient) {
            continue;
        }
        const auto ours = got.numbers(got.step().graph.find(value.name));
        const auto theirs = want.numbers(want.step().graph.find(value.name));
        if (largest_magnitude(theirs) < 1e-6) {  // a bias before a batch norm: zero but for rounding
            EXPECT_LT(largest_magnitude(ours), 1e-4) << value.name;
            continue;
        }
        errors.push_back(nmse(std::span<const double>(ours), std::span<const double>(theirs)));
        EXPECT_LE(errors.back(), bounds.gradient_nmse_worst) << value.name;
    }
    std::ranges::nth_element(errors, errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2));
    EXPECT_LE(errors[errors.size() / 2], bounds.gradient_nmse_median);
    EXPECT_TRUE(close(got.evaluate(), want.evaluate(), {0, 1e-4}));
}

/// Cosine of the angle between two gradients.
double cosine(const std::vector<double>& a, const std::vector<double>& b) {
    double ab = 0;
    double aa = 0;
    double bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return ab / std::sqrt(aa * bb);
}

// What separates the gradients of these narrow networks on noise is single ReLU and max-pool decisions that rounding
// turns: measured 1 - cosine of 1e-4 to 0.016 with 10 bits of mantissa (tf32, fp16), up to 0.12 with bf16's 7.
TEST_P(DeviceStep, MixedPrecisionFollowsTheReference) {
    StepRunner want(model(), small(8), cpu_device(true));
    const double loss = want.train();
    for (const Precision precision : {Precision::kTf32, Precision::kBf16, Precision::kFp16}) {
        SCOPED_TRACE(name_of(precision));
        StepOptions options = small(8);
        options.precision = precision;
        StepRunner got = guarded(options);
        if (precision == Precision::kFp16) {  // low enough not to overflow at once
            const LossScaleState start{.scale = 16};
            got.variables().write_bytes(got.variables().at(kLossScale), &start);
        }
        EXPECT_TRUE(close(got.train(), loss, {0, 2e-2}));
        std::vector<double> ours;
        std::vector<double> theirs;
        for (const Value& value : want.step().graph.values()) {
            if (value.role == Role::kGradient) {
                const auto a = got.numbers(got.step().graph.find(value.name));
                const auto b = want.numbers(want.step().graph.find(value.name));
                ours.insert(ours.end(), a.begin(), a.end());
                theirs.insert(theirs.end(), b.begin(), b.end());
            }
        }
        EXPECT_GE(cosine(ours, theirs), precision == Precision::kBf16 ? 0.85 : 0.98);
    }
}

TEST_P(DeviceStep, ARecordingRepeatsTheStepBitForBit) {
    StepRunner recorded = runner(small(2), true);
    StepRunner plain = runner(small(2), false);
    for (int step = 0; step < 3; ++step) {
        EXPECT_EQ(recorded.train(), plain.train()) << step;
    }
    EXPECT_TRUE(recorded.recorded());
    EXPECT_FALSE(plain.recorded());
    EXPECT_TRUE(recorded.persistent() == plain.persistent());
}

}  // namespace
}  // namespace fer::test
