// Decoded data sets kept on disk, so that the second start does not decode again.
#pragma once

#include <filesystem>
#include <optional>

#include "engine/data/dataset.hpp"

namespace fer {

/// <folder>/<key>.faces, where the key covers content, target size and the version of the decoding rules.
std::filesystem::path cache_path(const std::filesystem::path& folder, std::uint64_t content,
                                 const DataOptions& options);

/// Writes everything but the notes, atomically. Throws OutputError.
void store_cache(const std::filesystem::path& path, const Dataset& data);

/// Empty if there is no such file. Throws DataError saying what is wrong with a file that is there but not whole.
std::optional<Dataset> load_cache(const std::filesystem::path& path);

}  // namespace fer
