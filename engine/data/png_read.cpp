// PNG through libpng. The library reports errors by longjmp: everything with a destructor lives in PngReader, outside
// the frames that are jumped over.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "engine/data/codecs.hpp"

namespace fer {
namespace {

class PngReader {
public:
    explicit PngReader(std::span<const std::byte> bytes) : left_(bytes) {
        png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
        info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
        if (info_ == nullptr) {
            png_destroy_read_struct(&png_, nullptr, nullptr);
            throw MemoryError("cannot create a PNG decoder");
        }
    }
    ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
    PngReader(const PngReader&) = delete;
    PngReader& operator=(const PngReader&) = delete;

    bool read_header() {
        if (setjmp(png_jmpbuf(png_)) != 0) {
            return false;
        }
        png_set_read_fn(png_, this, on_read);
        png_set_user_limits(png_, kMaxImageSide, kMaxImageSide);
        png_set_chunk_malloc_max(png_, 8u << 20);
        png_read_info(png_, info_);
        return true;
    }

    /// 8 bits a sample, grey or RGB. Gamma and colour profiles are left alone, as in Pillow.
    bool set_output() {
        if (setjmp(png_jmpbuf(png_)) != 0) {
            return false;
        }
        png_set_strip_16(png_);
        png_set_palette_to_rgb(png_);
        png_set_expand_gray_1_2_4_to_8(png_);
        png_set_strip_alpha(png_);
        png_set_interlace_handling(png_);
        png_read_update_info(png_, info_);
        return true;
    }

    bool read_rows(std::vector<png_bytep>& rows) {
        if (setjmp(png_jmpbuf(png_)) != 0) {
            return false;
        }
        png_read_image(png_, rows.data());
        png_read_end(png_, nullptr);
        return true;
    }

    png_uint_32 width() const { return png_get_image_width(png_, info_); }
    png_uint_32 height() const { return png_get_image_height(png_, info_); }
    int channels() const { return png_get_channels(png_, info_); }
    std::size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
    const char* error() const { return error_; }

private:
    static void on_read(png_structp png, png_bytep to, std::size_t count) {
        auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
        if (count > self->left_.size()) {
            png_error(png, "the file ends too early");
        }
        std::memcpy(to, self->left_.data(), count);
        self->left_ = self->left_.subspan(count);
    }
    static void on_error(png_structp png, png_const_charp message) {
        auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
        std::strncpy(self->error_, message, sizeof self->error_ - 1);
        png_longjmp(png, 1);
    }
    // Only about ancillary chunks (an odd colour profile): the pixels are whole.
    static void on_warning(png_structp, png_const_charp) {}

    png_structp png_ = nullptr;
    png_infop info_ = nullptr;
    std::span<const std::byte> left_;
    char error_[128] = {};
};

}  // namespace

GrayImage decode_png_gray(std::span<const std::byte> bytes, const std::string& name) {
    PngReader png(bytes);
    const auto need = [&](bool done) {
        if (!done) {
            throw DataError(fmt::format("{}: damaged PNG: {}", name, png.error()));
        }
    };
    need(png.read_header());
    check_image_size(png.height(), png.width(), name);
    need(png.set_output());
    const auto height = static_cast<std::size_t>(png.height());
    const auto width = static_cast<std::size_t>(png.width());
    const auto channels = static_cast<std::size_t>(png.channels());
    FER_ASSERT((channels == 1 || channels == 3) && png.row_bytes() == width * channels,
               "{}: libpng gives {} channels, {} bytes a row", name, channels, png.row_bytes());

    std::vector<std::uint8_t> samples(height * width * channels);
    std::vector<png_bytep> rows(height);
    for (std::size_t y = 0; y < height; ++y) {
        rows[y] = samples.data() + y * width * channels;
    }
    need(png.read_rows(rows));

    GrayImage image{static_cast<int>(height), static_cast<int>(width), {}};
    if (channels == 1) {
        image.pixels = std::move(samples);
    } else {
        image.pixels.resize(height * width);
        for (std::size_t i = 0; i < image.pixels.size(); ++i) {
            image.pixels[i] = luma(samples[3 * i], samples[3 * i + 1], samples[3 * i + 2]);
        }
    }
    return image;
}

}  // namespace fer
