// What a frozen trunk makes of an image, apart from the step that trains on it.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.hpp"

namespace fer {

/// A value of the step that depends on one image each, on nothing that the step changes and on no random number.
struct Feature {
    std::string name;          // of the input that takes its place in the step: "features/NAME"
    ValueId value = kNoValue;  // in the trunk
    TensorInfo info;
};

/// Moves the nodes between the batch and the first trained or random layer from `step`, a training step, to `trunk`, a
/// graph of its own that gathers the same batch and keeps the features. In `step` they become inputs. Empty, with both
/// graphs as they were, where no convolution or dense layer would be moved.
std::vector<Feature> split_features(Graph& step, Graph& trunk);

}  // namespace fer
