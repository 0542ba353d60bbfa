// A network on images that are already what it takes: to compare two descriptions of it.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/graph/architecture.hpp"
#include "engine/plan/implementation.hpp"

namespace fer {

/// Address of the float32 values of every variable by name.
using VariableValues = std::map<std::string, const void*>;

struct RunOptions {
    bool softmax = true;  // behind the last layer
    float width = 1;      // of the network, as in NetOptions
};

/// Output of the builder's last layer on `images` (n, h, w, c), float32, in inference mode.
/// UsageError if a variable has no values.
std::vector<float> run_network(const ModelBuilder& build, const VariableValues& values, const Shape& images,
                               std::span<const float> pixels, const RunOptions& options, const Device& device);

/// The kept value `output` of a graph whose one input, "input", is `pixels`: node by node, with these weights.
std::vector<float> run_once(const Graph& graph, ValueId output, const VariableValues& weights,
                            std::span<const float> pixels, const Device& device);

}  // namespace fer
