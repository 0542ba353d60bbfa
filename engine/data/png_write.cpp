#include <png.h>

#include <csetjmp>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/data/image.hpp"

namespace fer {
namespace {

struct Encoder {
    png_structp png = nullptr;
    png_infop info = nullptr;
    std::string bytes;
    bool out_of_memory = false;

    Encoder() {
        png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, on_warning);
        info = png != nullptr ? png_create_info_struct(png) : nullptr;
    }
    ~Encoder() { png_destroy_write_struct(&png, &info); }
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;

    bool encode(int width, int height, int colours, const std::vector<png_const_bytep>& rows) {
        if (png == nullptr || info == nullptr || setjmp(png_jmpbuf(png)) != 0) {
            return false;
        }
        png_set_write_fn(png, this, on_write, nullptr);
        png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), 8, colours,
                     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png_write_info(png, info);
        for (png_const_bytep row : rows) {
            png_write_row(png, row);
        }
        png_write_end(png, info);
        return true;
    }

    static void on_write(png_structp png, png_bytep from, std::size_t count) {
        auto* self = static_cast<Encoder*>(png_get_io_ptr(png));
        try {
            self->bytes.append(reinterpret_cast<const char*>(from), count);
            return;
        } catch (const std::bad_alloc&) {
            self->out_of_memory = true;
        }
        png_error(png, "out of memory");  // outside the handler: it does not return
    }
    static void on_warning(png_structp, png_const_charp) {}
};

}  // namespace

std::string encode_png(int width, int height, int channels, std::span<const std::uint8_t> pixels) {
    FER_CHECK(channels == 1 || channels == 3 || channels == 4, "a PNG has 1, 3 or 4 channels, got {}", channels);
    FER_CHECK(width >= 1 && height >= 1, "a PNG needs pixels, got {} x {}", width, height);
    const std::size_t stride = static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
    FER_CHECK(pixels.size() == stride * static_cast<std::size_t>(height), "{} x {} x {} needs {} bytes, got {}", height,
              width, channels, stride * static_cast<std::size_t>(height), pixels.size());
    std::vector<png_const_bytep> rows;
    for (std::size_t at = 0; at < pixels.size(); at += stride) {
        rows.push_back(pixels.data() + at);
    }
    const int colours = channels == 1 ? PNG_COLOR_TYPE_GRAY : channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGBA;
    Encoder encoder;
    if (!encoder.encode(width, height, colours, rows)) {
        if (encoder.out_of_memory) {
            throw MemoryError(fmt::format("not enough memory to encode {} x {} pixels as PNG", width, height));
        }
        throw OutputError(fmt::format("cannot encode {} x {} pixels as PNG", width, height));
    }
    return std::move(encoder.bytes);
}

void write_png(const std::filesystem::path& path, int width, int height, int channels,
               std::span<const std::uint8_t> pixels) {
    write_file(path, encode_png(width, height, channels, pixels));
}

}  // namespace fer
