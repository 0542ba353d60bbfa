// Weights and training state as safetensors with what is needed to use them again.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/formats/safetensors.hpp"
#include "engine/train/callbacks.hpp"
#include "engine/train/session.hpp"

namespace fer {

/// What a weights file says about itself.
struct ModelCard {
    std::string model;                 // name in models/
    std::vector<std::string> classes;  // in the order of the outputs
    int height = 48, width = 48, channels = 1;
    double rescale = 1.0 / 255.0;   // factor on bytes
    std::array<float, 3> offset{};  // added after it, by channel
    bool bilinear = true;           // how images of another size are resized
    std::string architecture;       // JSON of the layers (keras_config.hpp); empty: the network of that name
    bool complete = true;           // false: a trunk whose head is drawn when it is trained
    double width_factor = 1;
    std::string recipe;
    std::string data;         // where it was trained
    std::string fingerprint;  // of that data
};

/// The card as the metadata of a safetensors file.
std::map<std::string, std::string> card_metadata(const ModelCard& card);

/// Parameters and moving statistics. Atomic; OutputError if it cannot be written.
void write_weights(const std::filesystem::path& path, const Variables& variables, const Step& step,
                   const ModelCard& card);

/// DataError if the file is no weights file of this program.
ModelCard read_card(const SafetensorsFile& file, const std::string& path);

/// Copies every parameter and moving statistic of `step` from the file. DataError if one is missing, surplus, or has
/// another shape: nothing is copied then.
void load_weights(const SafetensorsFile& file, const std::string& path, const Variables& variables, const Step& step);

/// Copies what the file has, by name: a trunk into a network with a head. Returns how many variables it set. DataError
/// if the file has a tensor that the network lacks, or of another shape: nothing is copied then.
int load_known_weights(const SafetensorsFile& file, const std::string& path, const Variables& variables,
                       const Step& step);

struct EpochRow {
    int epoch = 0;  // from 1
    double seconds = 0;
    double loss = 0, accuracy = 0, val_loss = 0, val_accuracy = 0;
    float learning_rate = 0;
    double images_per_s = 0;

    /// loss, accuracy, val_loss or val_accuracy.
    double monitored(const std::string& name) const;
};

/// All a run needs to go on as if it had never stopped, besides its configuration and its data.
struct Progress {
    int epoch = 0;            // epochs done
    std::int64_t images = 0;  // of the epoch begun, already trained on
    double seconds = 0;       // of all epochs done and the epoch begun
    bool finished = false;    // stopped early: no further epoch follows
    EarlyStopping::State early_stopping;
    ReduceLrOnPlateau::State reduce_lr;
    BestCheckpoint::State best;
    std::vector<EpochRow> history;
};

/// Every persistent value but the gradients, the remembered best weights (by variable name, may be empty), the
/// progress.
void write_state(const std::filesystem::path& path, const Variables& variables,
                 const std::map<std::string, std::vector<char>>& best_weights, const Progress& progress,
                 const ModelCard& card);

/// The reverse. DataError if the state is of another model or optimizer: nothing is copied then.
Progress read_state(const std::filesystem::path& path, const Variables& variables,
                    std::map<std::string, std::vector<char>>& best_weights);

}  // namespace fer
