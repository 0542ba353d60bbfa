// One grey image: decoded and resized exactly as Keras does it through Pillow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace fer {

struct GrayImage {
    int height = 0;
    int width = 0;
    std::vector<std::uint8_t> pixels;  // (h, w)
};

// Checked before anything of that size is allocated.
inline constexpr std::size_t kMaxImageBytes = std::size_t{32} << 20;
inline constexpr int kMaxImageSide = 16384;
inline constexpr std::int64_t kMaxImagePixels = std::int64_t{64} << 20;

/// ITU-R 601 luma in 16-bit fixed point, rounded: Pillow's conversion of RGB to L.
constexpr std::uint8_t luma(std::uint32_t r, std::uint32_t g, std::uint32_t b) {
    return static_cast<std::uint8_t>((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16);
}

/// Decodes a JPEG or PNG, told apart by content. Colour becomes luma, transparency is dropped, 16-bit samples keep
/// their high byte. A warning of the JPEG decoder (a cut file, a damaged block) is an error here.
/// Throws DataError "name: reason"; for other content the reason says what the bytes look like.
GrayImage decode_gray(std::span<const std::byte> bytes, const std::string& name);

/// decode_gray of a file.
GrayImage load_gray(const std::filesystem::path& path);

/// Nearest neighbour by Pillow's rule: along each axis position 0.5 * in/out, then += in/out, accumulated in double.
GrayImage resize_nearest(const GrayImage& image, int height, int width);

/// A PNG file of 8-bit grey (channels 1), RGB (3) or RGBA (4) pixels (h, w, c).
std::string encode_png(int width, int height, int channels, std::span<const std::uint8_t> pixels);

/// encode_png to a file, atomically. Throws OutputError.
void write_png(const std::filesystem::path& path, int width, int height, int channels,
               std::span<const std::uint8_t> pixels);

}  // namespace fer
