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
    const models::Model* model;

    /// A weights file, or a run folder (its best weights). DataError with the reason.
    explicit LoadedModel(const std::filesystem::path& run_or_file);

    /// The model with these weights, ready to evaluate images of `data`.
    std::unique_ptr<Session> open(const Dataset& data, int batch, const DeviceFlags& where) const;
};

/// The configuration a run was made with, if the path is a run folder; defaults otherwise.
Config config_of(const std::filesystem::path& run_or_file);

}  // namespace fer::tool
