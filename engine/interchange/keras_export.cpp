#include "engine/interchange/keras_export.hpp"

#include <algorithm>
#include <map>

#include "engine/graph/step.hpp"
#include "engine/interchange/weights.hpp"

namespace fer {

namespace {

std::string keras_name(std::string name) {
    std::ranges::replace(name, '/', '_');
    return name;
}

/// A layer's tensors in Keras's order, without their names.
std::vector<KerasTensor> tensors_of(const LayerSpec& layer, const Graph& graph, const VariableValues& values) {
    std::vector<KerasTensor> tensors;
    for (const std::string& kind : variables_of(layer)) {
        const std::string name = layer.name + "/" + kind;
        const auto found = values.find(name);
        FER_CHECK(found != values.end(), "there are no values for '{}'", name);
        const Shape& shape = graph.value(graph.find(name)).info.shape;
        tensors.push_back(
            {kind, shape, {static_cast<const float*>(found->second), static_cast<std::size_t>(shape.count())}});
    }
    return tensors;
}

}  // namespace

KerasFile to_keras(const Architecture& architecture, const VariableValues& values) {
    KerasFile file{.layout = KerasLayout::kByName,
                   .keras_version = "2.15.0",
                   .config = keras_config(architecture),
                   .groups = {},
                   .storage = {}};
    const Step step = evaluation_step_of(architecture);
    file.groups.push_back({keras_name(architecture.input), {}});
    for (const LayerSpec& layer : architecture.layers) {
        KerasGroup group{keras_name(layer.name), tensors_of(layer, step.graph, values)};
        for (KerasTensor& tensor : group.tensors) {
            tensor.name = fmt::format("{}/{}:0", group.name, tensor.name);
        }
        file.groups.push_back(std::move(group));
    }
    return file;
}

KerasFile to_keras_archive(const Architecture& architecture, const VariableValues& values) {
    KerasFile file{.layout = KerasLayout::kByContainer,
                   .keras_version = "2.15.0",
                   .config = keras_archive_config(architecture),
                   .groups = {},
                   .storage = {}};
    const Step step = evaluation_step_of(architecture);
    const std::vector<KerasPlace> places = parse_keras_config(file.config, architecture.name).places;
    FER_ASSERT(places.size() == architecture.layers.size(), "{} places for {} layers", places.size(),
               architecture.layers.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
        KerasGroup group{places[i].container, tensors_of(architecture.layers[i], step.graph, values)};
        for (std::size_t k = 0; k < group.tensors.size(); ++k) {
            group.tensors[k].name = std::to_string(k);
        }
        file.groups.push_back(std::move(group));
    }
    return file;
}

}  // namespace fer
