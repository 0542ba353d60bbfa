// Keras's JSON of a model's layers and our description of a network, both ways.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/architecture.hpp"

namespace fer {

/// Where a layer of the description keeps its weights in the file it came from.
struct KerasPlace {
    std::string own;        // its name in its own model
    std::string group;      // the layer of the outermost model it is, or lies in: Keras 2's layout
    std::string container;  // "layers/functional/layers/conv2d": the layout of .keras
    bool nested = false;
};

struct KerasModel {
    Architecture architecture;
    std::vector<KerasPlace> places;  // of each layer
    std::vector<std::string> notes;  // what was left behind and matters to training alone
};

/// Understands Sequential, functional and nested models of Keras 2 and 3, of the layers that LayerKind lists. `input`
/// stands in for an input size that the file leaves open; rank 0: there is none. DataError naming the layer: an unknown
/// class (Lambda and every other code included), a layer used twice, several inputs or outputs, options no kind can
/// express (dilation, groups, oblong windows, channels first, another activation), shapes that do not fit, more than
/// 4096 layers or 16 levels. Nothing is executed. `file` is for messages.
KerasModel parse_keras_config(std::string_view json, const std::string& file, const Shape& input = {});

/// The functional model of Keras 2 with these layers; parse_keras_config() reads it back as it was.
std::string keras_config(const Architecture& architecture);

/// The same as the config.json of a .keras archive, in the words that both Keras 2.15 and Keras 3 understand.
std::string keras_archive_config(const Architecture& architecture);

}  // namespace fer
