#include "engine/data/image.hpp"

#include <algorithm>
#include <cstring>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/data/codecs.hpp"
#include "engine/data/sniff.hpp"

namespace fer {
namespace {

bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
    return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

std::vector<int> nearest_sources(int in, int out) {
    std::vector<int> source(static_cast<std::size_t>(out));
    const double step = static_cast<double>(in) / out;
    // Accumulated on purpose: the closed form (i + 0.5) * step lands on another pixel for many pairs of sizes.
    double position = 0.5 * step;
    for (int& s : source) {
        s = std::min(static_cast<int>(position), in - 1);
        position += step;
    }
    return source;
}

}  // namespace

GrayImage decode_gray(std::span<const std::byte> bytes, const std::string& name) {
    if (bytes.size() > kMaxImageBytes) {
        throw DataError(fmt::format("{}: {} bytes is too large for an image", name, bytes.size()))
            .because(fmt::format("the limit is {} bytes", kMaxImageBytes));
    }
    if (starts_with(bytes, "\xFF\xD8\xFF")) {
        return decode_jpeg_gray(bytes, name);
    }
    if (starts_with(bytes, "\x89PNG\r\n\x1A\n")) {
        return decode_png_gray(bytes, name);
    }
    throw DataError(fmt::format("{}: not a JPEG or PNG image but {}", name, looks_like(bytes)))
        .because("images are recognised by what they contain, not by their name")
        .try_this("download the file again, or convert it to JPEG or PNG");
}

GrayImage load_gray(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {  // opening a pipe would wait for its writer
        throw DataError(fmt::format("cannot read {}", path.string()))
            .because(error ? error.message() : "not a regular file");
    }
    const std::string bytes = read_file(path, kMaxImageBytes);
    return decode_gray(std::as_bytes(std::span(bytes)), path.string());
}

GrayImage resize_nearest(const GrayImage& image, int height, int width) {
    FER_CHECK(height >= 1 && width >= 1, "cannot resize to {} x {} pixels", width, height);
    FER_CHECK(image.height >= 1 && image.width >= 1, "cannot resize an image without pixels");
    if (image.height == height && image.width == width) {
        return image;
    }
    const std::vector<int> rows = nearest_sources(image.height, height);
    const std::vector<int> columns = nearest_sources(image.width, width);
    GrayImage result{height, width, {}};
    result.pixels.reserve(static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
    for (const int row : rows) {
        const std::uint8_t* line = image.pixels.data() + static_cast<std::ptrdiff_t>(row) * image.width;
        for (const int column : columns) {
            result.pixels.push_back(line[column]);
        }
    }
    return result;
}

}  // namespace fer
