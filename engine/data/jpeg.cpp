// JPEG through TurboJPEG: slow-but-exact integer DCT and smooth chroma upsampling, the defaults Pillow uses.
#include <turbojpeg.h>

#include <memory>

#include "engine/data/codecs.hpp"

namespace fer {
namespace {

struct Destroy {
    void operator()(void* handle) const { tjDestroy(handle); }
};
using Decoder = std::unique_ptr<void, Destroy>;

// One idle decoder a thread. A decoder that met a damaged image is not put back: TurboJPEG 2.1 keeps parts of the
// broken file in it, and the next, good image would fail.
thread_local Decoder idle;

Decoder take_decoder() {
    Decoder decoder = idle ? std::move(idle) : Decoder(tjInitDecompress());
    if (!decoder) {
        throw MemoryError("cannot create a JPEG decoder");
    }
    return decoder;
}

void gray_from_rgb(const std::vector<std::uint8_t>& rgb, std::vector<std::uint8_t>& gray) {
    for (std::size_t i = 0; i < gray.size(); ++i) {
        gray[i] = luma(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]);
    }
}

}  // namespace

GrayImage decode_jpeg_gray(std::span<const std::byte> bytes, const std::string& name) {
    Decoder decoder = take_decoder();
    const tjhandle tj = decoder.get();
    const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
    const auto count = static_cast<unsigned long>(bytes.size());
    const auto fail = [&](const char* reason) { throw DataError(fmt::format("{}: damaged JPEG: {}", name, reason)); };

    GrayImage image;
    int subsampling = 0, colours = 0;
    if (tjDecompressHeader3(tj, data, count, &image.width, &image.height, &subsampling, &colours) != 0) {
        fail(tjGetErrorStr2(tj));
    }
    if (image.width == 0) {
        fail("it ends before its size");
    }
    check_image_size(image.height, image.width, name);
    if (colours == TJCS_CMYK || colours == TJCS_YCCK) {
        throw DataError(fmt::format("{}: a JPEG of four inks (CMYK); grey or RGB is needed", name));
    }
    const bool is_gray = colours == TJCS_GRAY;
    const std::size_t pixels = static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width);
    image.pixels.resize(pixels);
    std::vector<std::uint8_t> rgb(is_gray ? 0 : 3 * pixels);

    // LIMITSCANS: more than 500 passes of a progressive file is a decompression bomb, not a photograph.
    constexpr int kFlags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS;
    if (tjDecompress2(tj, data, count, is_gray ? image.pixels.data() : rgb.data(), image.width, 0, image.height,
                      is_gray ? TJPF_GRAY : TJPF_RGB, kFlags) != 0) {
        fail(tjGetErrorStr2(tj));
    }
    idle = std::move(decoder);
    if (!is_gray) {
        gray_from_rgb(rgb, image.pixels);
    }
    return image;
}

}  // namespace fer
