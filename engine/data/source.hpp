// What open_dataset() needs from a kind of source.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <memory>

#include "engine/data/gather.hpp"

namespace fer {

/// Identifies the content of a source without reading all of it.
struct ContentKey {
    std::uint64_t hash = 0;
    // False while the newest file is younger than the clock of a file system can resolve: it could still change
    // without a trace, so a cache made now could not be trusted later.
    bool settled = true;
};

class Source {
public:
    virtual ~Source() = default;
    virtual ContentKey key() const = 0;
    virtual Gathered read(const DataOptions& options) const = 0;
};

/// A folder in the Kaggle layout. Its key: name, size, mtime, ctime and inode of every file. Any write moves the
/// ctime, which nobody can set back, so a change is seen even where size and mtime are restored.
std::unique_ptr<Source> open_folder(const std::filesystem::path& path);

/// A zip of such a folder. Its key: name, size and CRC-32 of every member, from the central directory. These are
/// checked against the content when a member is read, so a renamed or copied archive finds the same cache.
std::unique_ptr<Source> open_zip(const std::filesystem::path& path);

/// fer2013.csv or icml_face_data.csv. Its key: name, size, mtime, ctime and inode, as for a file of a folder.
std::unique_ptr<Source> open_csv(const std::filesystem::path& path);

/// The key of one file by its size, times and inode.
ContentKey stamp_of(const struct stat& info);

}  // namespace fer
