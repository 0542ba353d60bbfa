// What a file is by its first bytes, and what people take for weights by mistake.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace fer {

enum class FileKind : std::uint8_t { kHdf5, kZip, kSafetensors, kPickle, kLfsPointer, kHtml, kEmpty, kOther };

/// DataError if the file cannot be opened. A signature of HDF5 is looked for at byte 0 alone.
FileKind file_kind(const std::filesystem::path& path);

/// DataError, three lines: `path` is a Git LFS pointer, a web page, empty, ..., not `wanted` ("an HDF5 file").
[[noreturn]] void refuse_kind(const std::filesystem::path& path, FileKind kind, const std::string& wanted);

}  // namespace fer
