// The two decoders behind decode_gray(). Both throw DataError "name: reason".
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "engine/core/error.hpp"
#include "engine/data/image.hpp"

namespace fer {

GrayImage decode_jpeg_gray(std::span<const std::byte> bytes, const std::string& name);
GrayImage decode_png_gray(std::span<const std::byte> bytes, const std::string& name);

/// Throws if an image of this size would be over the limits of image.hpp.
inline void check_image_size(std::int64_t height, std::int64_t width, const std::string& name) {
    if (height < 1 || width < 1 || height > kMaxImageSide || width > kMaxImageSide ||
        height * width > kMaxImagePixels) {
        throw DataError(fmt::format("{}: {} x {} pixels is too large", name, width, height))
            .because(fmt::format("the limit is {} a side and {} in all", kMaxImageSide, kMaxImagePixels));
    }
}

}  // namespace fer
