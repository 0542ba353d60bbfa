// A trained model and images to run it on: what evaluate and predict share.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/train/checkpoint.hpp"
#include "engine/train/config.hpp"
#include "models/models.hpp"
#include "tools/fer/device_flags.hpp"

namespace fer::tool {

/// A weights file opened and understood.
struct LoadedModel {
    std::filesystem::path path;
    SafetensorsFile file;
    ModelCard card;
    ModelBuilder build;

    /// A weights file, or a run folder (its best weights). DataError with the reason.
    explicit LoadedModel(const std::filesystem::path& run_or_file);

    /// The model with these weights, ready to evaluate images of `data`.
    std::unique_ptr<Session> open(const Dataset& data, int batch, const DeviceFlags& where) const;
};

/// The network a card describes: its own layers, or the one of models/ it names. `path` is for messages. DataError for
/// a network this program does not have.
ModelBuilder builder_of_card(const ModelCard& card, const std::string& path);

/// The step of a card's network, without data: its images are not resized.
StepOptions options_of_card(const ModelCard& card);

/// Gives the labels the order of `classes`, a network's outputs; a folder and a CSV file number the same emotions
/// differently. DataError if the classes are others.
void match_classes(const std::vector<std::string>& classes, Dataset& data, const std::string& source);

/// The configuration a run was made with, if the path is a run folder; defaults otherwise.
Config config_of(const std::filesystem::path& run_or_file);

}  // namespace fer::tool
