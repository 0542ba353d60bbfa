// Keras files with what Keras computed from them, and the same by this program.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/formats/safetensors.hpp"
#include "engine/interchange/run_network.hpp"
#include "engine/interchange/weights.hpp"
#include "engine/run/cpu/cpu_device.hpp"

namespace fer::test {

/// Of outputs near one: float32 sums of a few thousand products in another order than Keras's.
inline constexpr double kOutputTolerance = 1e-5;

inline VariableValues values_of(const ImportedWeights& weights) {
    VariableValues values;
    for (const TensorView& tensor : weights.tensors) {
        values[tensor.name] = tensor.data;
    }
    return values;
}

/// Models of a folder: files beside a .safetensors of the same name.
inline std::vector<std::filesystem::path> keras_files(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string kind = entry.path().extension();
        if ((kind == ".h5" || kind == ".keras") &&
            std::filesystem::exists(std::filesystem::path(entry.path()).replace_extension(".safetensors"))) {
            files.push_back(entry.path());
        }
    }
    std::ranges::sort(files);
    return files;
}

/// Largest difference, as a share of the largest output if that is above one. Infinite where one is not a number.
inline double largest_difference(std::span<const float> got, std::span<const float> want) {
    double difference = got.size() == want.size() ? 0 : INFINITY;
    double scale = 1;
    for (std::size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
        scale = std::max(scale, std::abs(static_cast<double>(want[i])));
        const double d = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
        difference = d >= 0 ? std::max(difference, d) : INFINITY;
    }
    return difference / scale;
}

/// A model that Keras wrote, imported, and what Keras computed from it, which lies beside it.
struct KerasGolden {
    explicit KerasGolden(const std::filesystem::path& path)
        : file(read_keras(path)),
          model(parse_keras_config(file.config, path.filename().string())),
          weights(take_weights(model, file, path.filename().string())),
          golden(std::filesystem::path(path).replace_extension(".safetensors")) {}

    const Architecture& architecture() const { return model.architecture; }
    VariableValues values() const { return values_of(weights); }
    const Shape& images() const { return golden.find("images")->shape; }
    std::span<const float> pixels() const { return golden.get<float>("images"); }
    std::span<const float> outputs() const { return golden.get<float>("outputs"); }

    KerasFile file;
    KerasModel model;
    ImportedWeights weights;
    SafetensorsFile golden;
};

/// Imports the file and compares its outputs with Keras's beside it.
inline double difference_from_keras(const std::filesystem::path& path) {
    const KerasGolden keras(path);
    return largest_difference(run_network(builder_of(keras.architecture()), keras.values(), keras.images(),
                                          keras.pixels(), {.softmax = keras.architecture().softmax}, cpu_device(true)),
                              keras.outputs());
}

}  // namespace fer::test
