// Single ops against Keras 2.15: by the reference in float32 and float64, and by oneDNN.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/formats/safetensors.hpp"
#include "tests/support/golden_ops.hpp"
#include "tests/support/threads.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

const SafetensorsFile& golden() {
    static const SafetensorsFile file(golden_path("ops.safetensors"));
    return file;
}

const nlohmann::json& cases() {
    static const nlohmann::json list = nlohmann::json::parse(golden().metadata().at("cases"));
    return list;
}

std::vector<double> wanted(const std::string& name) {
    const auto* entry = golden().find(name);
    FER_ASSERT(entry != nullptr, "no golden {}", name);
    if (entry->dtype == DType::kF32) {
        const auto values = golden().get<float>(name);
        return {values.begin(), values.end()};
    }
    const auto values = golden().get<double>(name);
    return {values.begin(), values.end()};
}

/// Chains of at most a few hundred operations on numbers no larger than the tensor's largest, or than the inputs' where
/// cancellation left less.
Tolerance chain(const std::vector<double>& want, DType real, double input_scale) {
    double largest = input_scale;
    for (const double v : want) {
        largest = std::max(largest, std::abs(v));
    }
    constexpr int kOperations = 160;
    return real == DType::kF64 ? double_steps(kOperations, largest) : float_steps(kOperations, largest);
}

/// A few attributes are float32 by contract, whatever the step computes in: they are off by 2^-24 of themselves.
Tolerance with_float_attributes(Tolerance t, const nlohmann::json& c) {
    if (c.contains("l2") || c.value("label_smoothing", 0.0) != 0.0) {
        t.absolute += kRoundFloat;
        t.relative += kRoundFloat;
    }
    return t;
}

/// Batch norm around a mean of 100 with variance 0.003: x - mean loses the digits float32 spends on the mean, and what
/// is left is multiplied by gamma/sqrt(variance + epsilon), here up to 19.
double conditioning(const nlohmann::json& c) {
    const auto& x = c["inputs"].value("x", nlohmann::json::object());
    return std::max(1.0, x.value("offset", 0.0) * (c["op"] == "batch_norm" ? 1.0 : 0.0));
}

void compare(const Device& device, DType real) {
    const Threads one(1);
    for (const auto& c : cases()) {
        const auto name = c["name"].get<std::string>();
        SCOPED_TRACE(name);
        const Results results = GoldenOp(c, device, real).run();
        int compared = 0;
        for (const auto& [result, tensor] : results) {
            if (golden().find(name + "/" + result) == nullptr) {
                continue;  // regularized cases do not repeat what the plain ones pin
            }
            const std::vector<double> want = wanted(name + "/" + result);
            const Tolerance allowed =
                c["exact"].get<bool>() ? exact() : with_float_attributes(chain(want, real, conditioning(c)), c);
            EXPECT_TRUE(close(tensor.values, want, allowed)) << result;
            ++compared;
        }
        EXPECT_GE(compared, 2);
    }
}

TEST(GoldenOps, ReferenceInFloat32) { compare(cpu_device(true), DType::kF32); }
TEST(GoldenOps, ReferenceInFloat64) { compare(cpu_device(true), DType::kF64); }
TEST(GoldenOps, OneDnn) { compare(cpu_device(), DType::kF32); }

}  // namespace
}  // namespace fer::test
