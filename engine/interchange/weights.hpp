// Which tensor of a file belongs to which variable of a network. Nothing is guessed and nothing is left over in
// silence.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/formats/keras_h5.hpp"
#include "engine/formats/safetensors.hpp"
#include "engine/interchange/keras_config.hpp"

namespace fer {

/// One row of the table a person reads.
struct Mapping {
    std::string source;  // in the file; empty: made here, ones or zeros
    std::string target;  // in the network; empty: left out, and why
    Shape shape;
    float max_abs = 0;
    std::string remark = {};
};

/// Tensors under the names of a network's variables.
struct ImportedWeights {
    std::vector<TensorView> tensors;
    std::vector<Mapping> table;
    bool complete = true;                 // false: a trunk alone, whose head is drawn when it is trained
    std::deque<std::vector<float>> made;  // values that are in no file
    std::shared_ptr<const void> storage;  // of those that are
};

/// A layer of a network that is known by name.
struct TargetLayer {
    std::string name;                // block1_conv1
    std::string class_name;          // Conv2D
    std::vector<std::string> kinds;  // kernel, bias
    std::vector<Shape> shapes;
};
std::vector<TargetLayer> target_layers(const Step& step);

/// The weights of a model that was built from the same file. DataError naming the layer if one is missing, surplus, of
/// another shape or not finite.
ImportedWeights take_weights(const KerasModel& model, const KerasFile& file, const std::string& name);

/// Onto a known network: layers with names of their own by name, those under Keras's automatic ones (conv2d_7) in their
/// order. A trunk without a head, and the ImageNet classifier behind a trunk, are seen as such. DataError as above.
ImportedWeights match_weights(const std::vector<TargetLayer>& targets, const KerasFile& file, const std::string& name,
                              const std::string& network);

/// "conv2d_7/kernel:0" -> "kernel"; Keras 1's "block1_conv1_W_1:0" too. Empty: none that a layer has.
std::string kind_of_weight(std::string name);

/// Largest magnitude. DataError if a value is not finite.
float checked_max(std::span<const float> values, const std::string& tensor, const std::string& name);

}  // namespace fer
