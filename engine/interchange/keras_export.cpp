#include "engine/interchange/keras_export.hpp"

#include <algorithm>
#include <map>

#include "engine/graph/step.hpp"
#include "engine/interchange/weights.hpp"

namespace fer {

KerasFile to_keras(const Architecture& architecture, const VariableValues& values) {
    KerasFile file{.layout = KerasLayout::kByName,
                   .keras_version = "2.15.0",
                   .config = keras_config(architecture),
                   .groups = {},
                   .storage = {}};
    const Step step = evaluation_step_of(architecture);
    const auto& shapes = step.graph;
    const auto keras_name = [](std::string name) {
        std::ranges::replace(name, '/', '_');
        return name;
    };
    file.groups.push_back({keras_name(architecture.input), {}});
    for (const LayerSpec& layer : architecture.layers) {
        KerasGroup group{keras_name(layer.name), {}};
        for (const std::string& kind : variables_of(layer)) {
            const std::string name = layer.name + "/" + kind;
            const auto found = values.find(name);
            FER_CHECK(found != values.end(), "there are no values for '{}'", name);
            const Shape& shape = shapes.value(shapes.find(name)).info.shape;
            group.tensors.push_back(
                {group.name + "/" + kind + ":0",
                 shape,
                 {static_cast<const float*>(found->second), static_cast<std::size_t>(shape.count())}});
        }
        file.groups.push_back(std::move(group));
    }
    return file;
}

}  // namespace fer
