// Files written whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace fer {

/// Writes `path` atomically: a temporary file in the same folder, fsync, rename, fsync of the folder.
/// Whatever goes wrong, an existing `path` is left as it was and the temporary file is removed.
/// Throws OutputError naming the path and the system's reason.
class AtomicFile {
public:
    explicit AtomicFile(std::filesystem::path path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* bytes, std::size_t count);
    void write(std::string_view text) { write(text.data(), text.size()); }
    /// Makes the file durable and visible under its name. Without it the destructor drops the file.
    void commit();

private:
    [[noreturn]] void fail(const char* call);

    std::filesystem::path path_;
    std::filesystem::path temporary_;
    int fd_ = -1;
};

/// One AtomicFile holding `text`.
void write_file(const std::filesystem::path& path, std::string_view text);

/// The whole file. Throws DataError naming the path and the system's reason, also above `limit_bytes`.
std::string read_file(const std::filesystem::path& path, std::size_t limit_bytes = std::size_t{1} << 32);

/// A file as memory, without a copy of it: pages come from the system's cache and may be dropped again. Read only.
/// Whoever replaces the file by renaming leaves the mapping as it is; one who writes into it or cuts it off does not.
class MappedFile {
public:
    /// Throws DataError as read_file() does.
    explicit MappedFile(const std::filesystem::path& path, std::size_t limit_bytes = std::size_t{1} << 32);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    std::string_view bytes() const { return bytes_; }

private:
    std::string_view bytes_;
};

/// Creates the folder and its parents. Throws OutputError naming the path.
void make_folder(const std::filesystem::path& path);

}  // namespace fer
