// Checksums that files are published with.
#pragma once

#include <filesystem>
#include <string>

namespace fer {

enum class Hash : std::uint8_t { kMd5, kSha256 };

/// Lower-case hexadecimal. DataError if the file cannot be read.
std::string hash_of_file(const std::filesystem::path& path, Hash hash);

}  // namespace fer
