#include "engine/data/image.hpp"

#include <png.h>

#include <cstring>

#include "engine/data/sniff.hpp"
#include "tests/data/support.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

GrayImage decode(const std::string& bytes) { return decode_gray(std::as_bytes(std::span(bytes)), "x.jpg"); }

std::string decode_error(const std::string& bytes) {
    return data_error_of([&] { decode(bytes); }).what();
}

/// Samples straight into a PNG of any colour type and depth, rows as libpng wants them.
std::string make_png(int width, int height, int colours, int depth, std::vector<std::vector<png_byte>> rows,
                     const std::vector<png_color>& palette = {}, int interlace = PNG_INTERLACE_NONE) {
    std::string bytes;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(
        png, &bytes,
        [](png_structp p, png_bytep data, std::size_t n) {
            static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(data), n);
        },
        nullptr);
    png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), depth, colours,
                 interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (!palette.empty()) {
        png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
    }
    std::vector<png_bytep> lines;
    for (auto& row : rows) {
        lines.push_back(row.data());
    }
    png_set_rows(png, info, lines.data());
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
    png_destroy_write_struct(&png, &info);
    return bytes;
}

TEST(Luma, IsPillowsFixedPoint) {
    EXPECT_EQ(luma(255, 255, 255), 255);
    EXPECT_EQ(luma(255, 0, 0), 76);
    EXPECT_EQ(luma(0, 255, 0), 150);
    EXPECT_EQ(luma(0, 0, 255), 29);
    EXPECT_EQ(luma(1, 0, 1), 0);  // 0.413: rounded, not raised
    EXPECT_EQ(luma(1, 1, 0), 1);  // 0.886
}

TEST(DecodeGray, KeepsGreyJpegTones) {
    for (const int tone : {0, 1, 127, 200, 255}) {
        const GrayImage image = decode(flat_jpeg(static_cast<std::uint8_t>(tone), 7, 5));
        EXPECT_EQ(image.width, 7);
        EXPECT_EQ(image.height, 5);
        EXPECT_THAT(image.pixels, ::testing::Each(tone));
    }
}

TEST(DecodeGray, ColourJpegIsRgbThenLuma) {
    std::vector<unsigned char> rgb(40 * 24 * 3);
    for (std::size_t i = 0; i < rgb.size(); ++i) {
        rgb[i] = static_cast<unsigned char>(i * 37 % 251);
    }
    const tjhandle compressor = tjInitCompress();
    unsigned char* jpeg = nullptr;
    unsigned long size = 0;
    ASSERT_EQ(tjCompress2(compressor, rgb.data(), 40, 0, 24, TJPF_RGB, &jpeg, &size, TJSAMP_420, 80, 0), 0);
    std::vector<unsigned char> decoded(rgb.size());
    const tjhandle decompressor = tjInitDecompress();
    ASSERT_EQ(tjDecompress2(decompressor, jpeg, size, decoded.data(), 40, 0, 24, TJPF_RGB, TJFLAG_ACCURATEDCT), 0);

    const GrayImage image = decode({reinterpret_cast<char*>(jpeg), size});
    for (std::size_t i = 0; i < image.pixels.size(); ++i) {
        ASSERT_EQ(image.pixels[i], luma(decoded[3 * i], decoded[3 * i + 1], decoded[3 * i + 2])) << i;
    }
    tjFree(jpeg);
    tjDestroy(compressor);
    tjDestroy(decompressor);
}

TEST(DecodeGray, ReadsEveryKindOfPng) {
    using testing::ElementsAre;
    EXPECT_THAT(decode(make_png(2, 1, PNG_COLOR_TYPE_GRAY, 8, {{3, 250}})).pixels, ElementsAre(3, 250));
    EXPECT_THAT(decode(make_png(4, 1, PNG_COLOR_TYPE_GRAY, 1, {{0b10100000}})).pixels, ElementsAre(255, 0, 255, 0));
    EXPECT_THAT(decode(make_png(2, 1, PNG_COLOR_TYPE_GRAY, 4, {{0x1F}})).pixels, ElementsAre(17, 255));
    EXPECT_THAT(decode(make_png(2, 1, PNG_COLOR_TYPE_GRAY, 16, {{0x12, 0xFF, 0xFE, 0x01}})).pixels,
                ElementsAre(0x12, 0xFE));
    EXPECT_THAT(decode(make_png(1, 2, PNG_COLOR_TYPE_RGB, 8, {{255, 0, 0}, {0, 0, 255}})).pixels, ElementsAre(76, 29));
    EXPECT_THAT(decode(make_png(2, 1, PNG_COLOR_TYPE_RGBA, 8, {{0, 255, 0, 0, 9, 9, 9, 128}})).pixels,
                ElementsAre(150, 9));
    EXPECT_THAT(decode(make_png(2, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 8, {{77, 0, 88, 255}})).pixels, ElementsAre(77, 88));
    EXPECT_THAT(decode(make_png(2, 1, PNG_COLOR_TYPE_PALETTE, 8, {{1, 0}}, {{255, 0, 0}, {0, 255, 0}})).pixels,
                ElementsAre(150, 76));
    EXPECT_THAT(decode(make_png(2, 2, PNG_COLOR_TYPE_GRAY, 8, {{1, 2}, {3, 4}}, {}, PNG_INTERLACE_ADAM7)).pixels,
                ElementsAre(1, 2, 3, 4));
}

TEST(DecodeGray, SaysWhatTheBytesLookLike) {
    EXPECT_THAT(decode_error(""), HasSubstr("x.jpg: not a JPEG or PNG image but empty (0 bytes)"));
    EXPECT_THAT(decode_error("version https://git-lfs.github.com/spec/v1\noid sha256:1"),
                HasSubstr("a Git LFS pointer"));
    EXPECT_THAT(decode_error("\n <!DOCTYPE HTML><p>sign in"), HasSubstr("an HTML page"));
    EXPECT_THAT(decode_error("not found\n"), HasSubstr("but text"));
    EXPECT_THAT(decode_error("GIF89a.."), HasSubstr("a GIF image"));
    EXPECT_THAT(decode_error(std::string("II*\0", 4)), HasSubstr("a TIFF image"));
    EXPECT_THAT(decode_error(std::string("BM\x10\0\0\0\0\0\0\0\x36\0\0\0", 14)), HasSubstr("a BMP image"));
    EXPECT_THAT(decode_error("RIFF\x10..\x01WEBPVP8 "), HasSubstr("a WebP image"));
    EXPECT_THAT(decode_error(std::string(64, '\0')), HasSubstr("zero bytes"));
    EXPECT_THAT(decode_error("\x01\x02\x03\x04\x05"), HasSubstr("binary data starting 01 02 03 04"));
    EXPECT_EQ(looks_like(std::as_bytes(std::span("P6\n1 1"))), "a PPM image");
}

TEST(DecodeGray, CutFilesAreCorrupt) {
    const std::string jpeg = flat_jpeg(90, 200, 200);
    const std::string png = make_png(2, 2, PNG_COLOR_TYPE_GRAY, 8, {{1, 2}, {3, 4}});
    for (std::size_t keep = 3; keep + 2 < jpeg.size(); keep += 7) {
        EXPECT_THAT(decode_error(jpeg.substr(0, keep)), HasSubstr("damaged JPEG")) << keep;
        EXPECT_EQ(decode(jpeg).pixels[0], 90) << "the decoder did not recover";
    }
    for (std::size_t keep = 8; keep < png.size(); ++keep) {
        EXPECT_THAT(decode_error(png.substr(0, keep)), HasSubstr("damaged PNG")) << keep;
    }
}

TEST(DecodeGray, EveryFlippedByteIsAnImageOrAnError) {
    for (const std::string& whole : {flat_jpeg(90, 16, 16), flat_jpeg(90, 16, 16, TJFLAG_PROGRESSIVE),
                                     make_png(2, 2, PNG_COLOR_TYPE_GRAY, 8, {{1, 2}, {3, 4}})}) {
        for (std::size_t i = 0; i < whole.size(); ++i) {
            for (const int flip : {0x01, 0x80, 0xFF}) {
                std::string bytes = whole;
                bytes[i] = static_cast<char>(bytes[i] ^ flip);
                try {
                    const GrayImage image = decode(bytes);
                    EXPECT_EQ(image.pixels.size(), static_cast<std::size_t>(image.height * image.width));
                } catch (const DataError& error) {
                    EXPECT_THAT(error.what(), HasSubstr("x.jpg: "));
                }
            }
        }
    }
}

/// The same JPEG announcing another size.
std::string resized_header(std::string jpeg, int width, int height) {
    const std::size_t frame = jpeg.find("\xFF\xC0");
    EXPECT_NE(frame, std::string::npos);
    for (const auto& [at, value] : {std::pair{frame + 5, height}, std::pair{frame + 7, width}}) {
        jpeg[at] = static_cast<char>(value >> 8);
        jpeg[at + 1] = static_cast<char>(value & 255);
    }
    return jpeg;
}

TEST(DecodeGray, RefusesBombsBeforeDecoding) {
    EXPECT_THAT(decode_error(resized_header(flat_jpeg(1), 65500, 65500)), HasSubstr("too large"));
    EXPECT_THAT(decode_error(resized_header(flat_jpeg(1), 16384, 16384)),
                HasSubstr("16384 x 16384 pixels is too large"));
    // IHDR of 100,000 x 100,000: libpng refuses by its own limit, whatever the rest.
    const std::string png = make_png(2, 1, PNG_COLOR_TYPE_GRAY, 8, {{1, 2}});
    std::string huge = png;
    for (const std::size_t at : {16u, 20u}) {
        std::memcpy(huge.data() + at, "\x00\x01\x86\xA0", 4);
    }
    EXPECT_THAT(decode_error(huge), HasSubstr("x.jpg: "));
    const std::string long_file = "\xFF\xD8\xFF" + std::string(kMaxImageBytes, '\0');
    EXPECT_THAT(decode_error(long_file), HasSubstr("bytes is too large for an image"));
}

TEST(DecodeGray, RefusesEndlessProgressiveScans) {
    const std::string jpeg = flat_jpeg(90, 64, 64, TJFLAG_PROGRESSIVE);
    const std::size_t last = jpeg.rfind("\xFF\xDA");
    ASSERT_NE(last, std::string::npos);
    const std::string scan = jpeg.substr(last, jpeg.size() - 2 - last);
    std::string bomb = jpeg.substr(0, last);
    for (int i = 0; i < 600; ++i) {
        bomb += scan;
    }
    EXPECT_THAT(decode_error(bomb + "\xFF\xD9"), HasSubstr("damaged JPEG"));
}

TEST(ResizeNearest, AccumulatesPositionsAsPillow) {
    int unlike_closed_form = 0;
    for (int in = 1; in <= 300; ++in) {
        GrayImage line{1, in, {}};
        for (int i = 0; i < in; ++i) {
            line.pixels.push_back(static_cast<std::uint8_t>(i % 251));
        }
        const GrayImage out = resize_nearest(line, 1, 48);
        const double step = in / 48.0;
        double position = 0.5 * step;
        for (int x = 0; x < 48; ++x, position += step) {
            ASSERT_EQ(out.pixels[static_cast<std::size_t>(x)], static_cast<int>(position) % 251) << in << " at " << x;
            unlike_closed_form += static_cast<int>(position) != static_cast<int>((x + 0.5) * in / 48.0);
        }
    }
    EXPECT_GT(unlike_closed_form, 0) << "the test could not tell the two rules apart";
}

TEST(ResizeNearest, TreatsRowsAndColumnsAlike) {
    const GrayImage image{2, 3, {1, 2, 3, 4, 5, 6}};
    EXPECT_THAT(resize_nearest(image, 4, 3).pixels, ::testing::ElementsAre(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6));
    EXPECT_THAT(resize_nearest(image, 2, 1).pixels, ::testing::ElementsAre(2, 5));
    EXPECT_THAT(resize_nearest(image, 1, 6).pixels, ::testing::ElementsAre(4, 4, 5, 5, 6, 6));
    EXPECT_THROW(resize_nearest(image, 0, 1), UsageError);
}

TEST(WritePng, ComesBackThroughDecodeGray) {
    const TempFolder temp;
    const fs::path path = temp.path / "a.png";
    write_png(path, 3, 2, 1, std::vector<std::uint8_t>{0, 1, 2, 253, 254, 255});
    EXPECT_THAT(load_gray(path).pixels, ::testing::ElementsAre(0, 1, 2, 253, 254, 255));
    write_png(path, 1, 1, 3, std::vector<std::uint8_t>{0, 255, 0});
    EXPECT_THAT(load_gray(path).pixels, ::testing::ElementsAre(150));
    EXPECT_THROW(write_png(path, 2, 2, 1, std::vector<std::uint8_t>{1}), UsageError);
    EXPECT_THROW(write_png(temp.path / "no" / "a.png", 1, 1, 1, std::vector<std::uint8_t>{1}), OutputError);
}

TEST(LoadGray, NamesTheFileAndTheReason) {
    const TempFolder temp;
    const DataError missing = data_error_of([&] { load_gray(temp.path / "no.jpg"); });
    EXPECT_THAT(missing.what(), HasSubstr("no.jpg"));
    EXPECT_THAT(missing.why(), HasSubstr("No such file"));
    EXPECT_THAT(data_error_of([&] { load_gray(temp.path); }).why(), HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace fer::test
