// The network that a training run trains: one of models/, or the layers that a weights file describes.
#pragma once

#include "engine/train/checkpoint.hpp"
#include "engine/train/config.hpp"

namespace fer::tool {

struct Network {
    ModelBuilder build;
    std::string name;
    int height = 48, width = 48, channels = 1, classes = 7;
    std::string architecture;              // as in ModelCard
    std::vector<std::string> class_names;  // in the order of the outputs; empty: those of the data
    double rescale = 1.0 / 255.0;          // of the bytes
    std::array<float, 3> offset{};
};

/// train.model; or, unless a model was asked for, the layers in the file of train.weights, with its classes and
/// preprocessing. A run that is resumed (`resume`: its folder) has the network it was begun with.
Network find_network(Config& config, const std::string& resume);

/// train.freeze as a number of layers; -1 if it says nothing. UsageError for a layer the network lacks.
int layers_to_freeze(const Config& config, const Network& network);

/// train.weights as the file it leads to now: a run folder or its link may lead elsewhere later. DataError if there is
/// none.
void resolve_weights(Config& config);

/// Copies train.weights over the starting values. A trunk leaves the head as it was drawn. Returns what was done, in
/// words; empty: nothing. DataError if they do not fit.
std::string load_starting_weights(const Config& config, const Session& session);

/// A frozen kernel that was only drawn at random teaches nothing: pretrained weights belong there.
bool has_random_trunk(const Config& config, const Session& session);

}  // namespace fer::tool
