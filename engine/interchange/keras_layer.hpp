// One layer of Keras's JSON.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/architecture.hpp"
#include "engine/interchange/keras_json.hpp"

namespace fer {

/// What a layer's configuration says. Its name and inputs are left to the caller.
struct ReadLayer {
    LayerSpec spec;
    bool softmax = false;  // the layer ends in one
};

/// `shape` is that of its first input, the batch of one included. DataError for what no LayerKind stands for.
ReadLayer read_keras_layer(const std::string& class_name, const LayerConfig& config, const Shape& shape,
                           std::vector<std::string>& notes);

/// Class and configuration, as Keras 2.15 writes them.
Json keras_layer_json(const LayerSpec& layer, const std::string& name);

}  // namespace fer
