// The archive around a Keras v3 model: config.json, metadata.json, model.weights.h5.
#pragma once

#include <filesystem>
#include <string>

namespace fer {

struct KerasZip {
    std::string config, keras_version;
    std::string weights;  // the bytes of model.weights.h5
};

/// The first bytes of a file, as many as there are up to `count`. DataError if it cannot be read.
std::string read_head(const std::filesystem::path& path, std::size_t count);

/// The archive, its members uncompressed. `date` is "YYYY-MM-DD@HH:MM:SS".
std::string keras_zip_bytes(const KerasZip& keras, const std::string& date);

/// DataError: no zip, a member whose name leaves the archive, one that unpacks to more than it may (8 MiB of JSON, 4
/// GiB of weights, a hundred times its packed size), a missing member, a wrong checksum.
KerasZip read_keras_zip(const std::filesystem::path& path);

}  // namespace fer
