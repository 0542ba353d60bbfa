#include "engine/data/sniff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace fer {
namespace {

using namespace std::string_view_literals;

struct Signature {
    std::string_view start;
    std::string_view name;
};

constexpr std::array kSignatures{
    Signature{"version https://git-lfs"sv, "a Git LFS pointer"sv},
    Signature{"\xFF\xD8\xFF"sv, "a JPEG image"sv},
    Signature{"\x89PNG\r\n\x1A\n"sv, "a PNG image"sv},
    Signature{"GIF8"sv, "a GIF image"sv},
    Signature{"II*\0"sv, "a TIFF image"sv},
    Signature{"MM\0*"sv, "a TIFF image"sv},
    Signature{"P5\n"sv, "a PPM image"sv},
    Signature{"P6\n"sv, "a PPM image"sv},
    Signature{"PK\3\4"sv, "a zip archive"sv},
    Signature{"PK\5\6"sv, "an empty zip archive"sv},
    Signature{"\x1F\x8B"sv, "a gzip file"sv},
    Signature{"7z\xBC\xAF"sv, "a 7z archive"sv},
    Signature{"Rar!"sv, "a RAR archive"sv},
    Signature{"%PDF"sv, "a PDF document"sv},
    Signature{"\x89HDF\r\n"sv, "an HDF5 file"sv},
};

bool starts_with_tag(std::string_view text, std::string_view tag) {
    return text.size() >= tag.size() && std::equal(tag.begin(), tag.end(), text.begin(), [](char want, char have) {
               return std::tolower(static_cast<unsigned char>(have)) == want;
           });
}

bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) {
        const auto u = static_cast<unsigned char>(c);
        return u >= 0x20 || u == '\n' || u == '\r' || u == '\t';
    });
}

}  // namespace

std::string looks_like(std::span<const std::byte> bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 512));
    if (text.empty()) {
        return "empty (0 bytes)";
    }
    for (const auto& [start, name] : kSignatures) {
        if (text.starts_with(start)) {
            return std::string(name);
        }
    }
    if (text.size() >= 12 && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP") {
        return "a WebP image";
    }
    if (text.size() >= 14 && text.starts_with("BM") && text.substr(6, 4) == "\0\0\0\0"sv) {
        return "a BMP image";
    }
    const std::string_view body = text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    if (starts_with_tag(body, "<!doctype html") || starts_with_tag(body, "<html") || starts_with_tag(body, "<head")) {
        return "an HTML page";
    }
    if (body.starts_with("<?xml")) {
        return "an XML document";
    }
    if (is_printable(text)) {
        return "text";
    }
    if (std::ranges::all_of(text, [](char c) { return c == '\0'; })) {
        return "zero bytes";
    }
    std::string start;
    for (const char c : text.substr(0, 4)) {
        start += fmt::format(" {:02x}", static_cast<unsigned char>(c));
    }
    return "binary data starting" + start;
}

}  // namespace fer
