// What a file really is when it is not what its name says.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace fer {

/// "a Git LFS pointer", "an HTML page", "a JPEG image", "empty (0 bytes)", "text", "binary data starting 00 01 02 03".
std::string looks_like(std::span<const std::byte> bytes);

}  // namespace fer
