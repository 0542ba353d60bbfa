// The inputs of the golden files, which are formulas, not data: tests/golden/README.md.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/core/random.hpp"
#include "engine/core/shape.hpp"

namespace fer::test {

inline constexpr std::uint64_t kGoldenSeed = 2026;
inline constexpr std::uint32_t kGoldenImageStream = 1000;
inline constexpr std::int64_t kGoldenBatch = 6;
inline constexpr std::int64_t kGoldenSamples = 256;

inline std::string golden_path(const std::string& name) {
    return std::string(FER_SOURCE_DIR) + "/tests/golden/" + name;
}

inline Shape shape_of(const nlohmann::json& extents) {
    Shape shape;
    for (const auto& extent : extents) {
        shape.push_back(extent.get<std::int64_t>());
    }
    return shape;
}

/// Every step in float32 with one rounding: what NumPy does.
inline float glorot_limit(const Shape& shape) {
    std::int64_t places = 1;
    for (int axis = 0; axis + 2 < shape.rank(); ++axis) {
        places *= shape[axis];
    }
    const std::int64_t fans = (shape[shape.rank() - 2] + shape[shape.rank() - 1]) * places;
    return static_cast<float>(std::sqrt(6.0 / static_cast<double>(fans)));
}

inline float golden_element(const std::string& kind, float u, float limit) {
    const float s = 2.0f * u - 1.0f;  // exact
    if (kind == "kernel") {
        return s * limit;
    }
    if (kind == "bias" || kind == "beta" || kind == "moving_mean") {
        return 0.1f * s;
    }
    if (kind == "gamma") {
        const volatile float scaled = 0.2f * s;  // rounded on its own, never fused into the addition
        return 1.0f + scaled;
    }
    if (kind == "moving_variance") {
        return 1.0f + 0.5f * u;  // the product is exact
    }
    if (kind == "integers") {
        return std::floor(9.0f * u) - 4.0f;
    }
    throw InternalError("no such fill: " + kind);
}

inline std::vector<double> golden_tensor(const std::string& kind, std::uint32_t stream, const Shape& shape) {
    const RandomStream random(kGoldenSeed, 0, stream);
    const float limit = kind == "kernel" ? glorot_limit(shape) : 0.0f;
    std::vector<double> values(static_cast<std::size_t>(shape.count()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(golden_element(kind, random.uniform(i), limit));
    }
    return values;
}

/// An input of ops.safetensors from its description.
inline std::vector<double> golden_input(const nlohmann::json& spec) {
    const Shape shape = shape_of(spec["shape"]);
    const auto stream = spec["stream"].get<std::uint32_t>();
    const auto kind = spec["fill"].get<std::string>();
    if (kind != "signed") {
        return golden_tensor(kind, stream, shape);
    }
    const RandomStream random(kGoldenSeed, 0, stream);
    const auto offset = static_cast<float>(spec.value("offset", 0.0));
    const auto scale = static_cast<float>(spec.value("scale", 1.0));
    std::vector<double> values(static_cast<std::size_t>(shape.count()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        const volatile float scaled = scale * (2.0f * random.uniform(i) - 1.0f);
        values[i] = static_cast<double>(offset + scaled);
    }
    return values;
}

inline std::vector<double> golden_images(const Shape& image) {
    const RandomStream random(kGoldenSeed, 0, kGoldenImageStream);
    std::vector<double> values(static_cast<std::size_t>(kGoldenBatch * image.count()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(random.uniform(i));
    }
    return values;
}

inline std::vector<std::int32_t> golden_labels() {
    std::vector<std::int32_t> labels;
    for (std::int32_t i = 0; i < kGoldenBatch; ++i) {
        labels.push_back(3 * i % 7);
    }
    return labels;
}

/// Small tensors whole, of larger ones 256 elements spread evenly.
template <class T>
std::vector<double> golden_sample(std::span<const T> values) {
    std::vector<double> sample;
    const auto count = static_cast<std::int64_t>(values.size());
    for (std::int64_t k = 0; k < std::min(count, kGoldenSamples); ++k) {
        const std::int64_t at = count <= kGoldenSamples ? k : k * count / kGoldenSamples;
        sample.push_back(static_cast<double>(values[static_cast<std::size_t>(at)]));
    }
    return sample;
}

}  // namespace fer::test
