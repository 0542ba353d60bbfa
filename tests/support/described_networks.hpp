// Every network narrow and small as its own description, with values for its variables: what exports are checked on.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/core/random.hpp"
#include "engine/graph/step.hpp"
#include "engine/interchange/run_network.hpp"
#include "engine/interchange/weights.hpp"
#include "models/models.hpp"
#include "tests/support/golden.hpp"

namespace fer::test {

inline constexpr float kWidth = 0.05f;

/// The network as its description, narrow and with small images.
inline Architecture described(const models::Model& model) {
    StepOptions options;
    options.batch = options.input.images = 2;
    options.input.height = options.input.width = model.height == 48 ? 48 : 33;
    options.input.channels = model.channels;
    options.width = kWidth;
    options.fuse = "off";
    return architecture_of(training_step(model.build, options), std::string(model.name));
}

/// Values for every variable of an architecture, away from what layers start with.
struct Filled {
    std::map<std::string, std::vector<float>> owned;
    VariableValues values;

    explicit Filled(const Architecture& architecture) {
        const Step step = evaluation_step_of(architecture);
        std::uint32_t stream = 0;
        for (const TargetLayer& layer : target_layers(step)) {
            for (std::size_t i = 0; i < layer.kinds.size(); ++i) {
                const std::string name = layer.name + "/" + layer.kinds[i];
                const std::string fill = layer.kinds[i].ends_with("kernel") ? "kernel" : layer.kinds[i];
                const std::vector<double> values_f64 = golden_tensor(fill, stream++, layer.shapes[i]);
                owned[name].assign(values_f64.begin(), values_f64.end());
            }
        }
        for (const auto& [name, numbers] : owned) {
            values[name] = numbers.data();
        }
    }
};

inline std::vector<float> random_images(const Shape& shape) {
    const RandomStream random(7, 0, 1);
    std::vector<float> pixels(static_cast<std::size_t>(shape.count()));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = random.uniform(i);
    }
    return pixels;
}

}  // namespace fer::test
