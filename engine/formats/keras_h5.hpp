// Keras's HDF5 files: weights and whole models in Keras 2's layout, and the weights inside a .keras archive.
// https://keras.io/api/models/model_saving_apis; the layout is that of keras/src/saving/legacy/hdf5_format.py and
// keras/src/saving/saving_lib.py of Keras 2.15. Data only: nothing in a file is executed.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/core/shape.hpp"

namespace fer {

struct KerasTensor {
    std::string name;  // as stored: "conv2d/kernel:0"; "0" in the layout of .keras
    Shape shape;
    std::span<const float> values;
};

/// What one layer stores. A nested model is one layer in Keras 2's layout.
struct KerasGroup {
    std::string name;  // "conv2d"; in the layout of .keras the path of the container: "layers/conv2d"
    std::vector<KerasTensor> tensors;
};

enum class KerasLayout : std::uint8_t { kByName, kByContainer };

struct KerasFile {
    KerasLayout layout = KerasLayout::kByName;
    std::string keras_version;
    std::string config;  // JSON of the layer graph; empty if the file holds weights alone
    std::vector<KerasGroup> groups;
    std::shared_ptr<const void> storage;  // of the values
};

/// Reads .h5, .hdf5, .weights.h5 and .keras. float16, float32 and float64 become float32; optimizer state and the seeds
/// of dropouts are passed over. Read in a process of its own, after the file's mark, size and end address are checked.
/// Limits: 4 GiB, 65,536 layers and tensors, 16 levels, 4 axes, 8 MiB of configuration; data must be stored in one
/// uncompressed piece inside the file. DataError otherwise, and for truncated or damaged files.
KerasFile read_keras(const std::filesystem::path& path);

/// Writes a model in Keras 2's full-model layout (`keras.models.load_model` opens it): `config` becomes model_config.
/// Atomic; OutputError if it cannot be written.
void write_keras_h5(const std::filesystem::path& path, const KerasFile& file);

/// Writes the archive of Keras v3 (`keras.models.load_model` of Keras 2.15 and 3 opens it): config.json, metadata.json
/// and model.weights.h5, all three stored as they are. The groups are containers ("layers/conv2d_1"), their tensors in
/// the order of the class's variables. Atomic; OutputError if it cannot be written.
void write_keras_archive(const std::filesystem::path& path, const KerasFile& file);

/// False in a build without libhdf5: then all of them throw a UsageError that says so.
bool can_read_keras();

}  // namespace fer
