#include "engine/data/contact_sheet.hpp"

#include <algorithm>

#include "engine/core/error.hpp"
#include "engine/data/font.hpp"
#include "engine/data/image.hpp"

namespace fer {
namespace {

constexpr int kMargin = 4;
constexpr std::uint8_t kPaper = 255;
constexpr std::uint8_t kLetters = 0;

struct Sheet {
    int width, height;
    std::vector<std::uint8_t> pixels;

    Sheet(int w, int h)
        : width(w), height(h), pixels(static_cast<std::size_t>(w) * static_cast<std::size_t>(h), kPaper) {}

    void fill(int x, int y, int size, std::uint8_t tone) {
        for (int row = std::max(y, 0); row < std::min(y + size, height); ++row) {
            for (int column = std::max(x, 0); column < std::min(x + size, width); ++column) {
                pixels[static_cast<std::size_t>(row) * static_cast<std::size_t>(width) +
                       static_cast<std::size_t>(column)] = tone;
            }
        }
    }

    void text(int x, int y, int size, std::string_view letters) {
        for (const char letter : letters) {
            const Glyph& glyph = glyph_of(letter);
            for (int row = 0; row < kGlyphHeight; ++row) {
                for (int column = 0; column < kGlyphWidth; ++column) {
                    const unsigned bits = glyph.rows[static_cast<std::size_t>(row)];
                    if ((bits >> (kGlyphWidth - 1 - column) & 1u) != 0) {
                        fill(x + column * size, y + row * size, size, kLetters);
                    }
                }
            }
            x += kGlyphAdvance * size;
        }
    }
};

}  // namespace

void write_contact_sheet(const std::filesystem::path& path, const Dataset& data, std::span<const std::int32_t> indices,
                         int columns, int scale) {
    FER_CHECK(!indices.empty(), "a contact sheet needs images");
    FER_CHECK(columns >= 1 && scale >= 1 && scale <= 64, "a contact sheet of {} columns at scale {}", columns, scale);
    columns = std::min(columns, static_cast<int>(indices.size()));
    const int rows = (static_cast<int>(indices.size()) + columns - 1) / columns;
    std::size_t longest = 1;
    for (const std::string& name : data.classes) {
        longest = std::max(longest, name.size());
    }
    const int image_width = data.width * scale;
    const int letter = std::max(1, image_width / (kGlyphAdvance * static_cast<int>(std::max<std::size_t>(longest, 9))));
    const int tile_width = image_width + kMargin;
    const int tile_height = data.height * scale + kGlyphHeight * letter + 3 * kMargin;
    const std::int64_t sheet_width = std::int64_t{tile_width} * columns + kMargin;
    const std::int64_t sheet_height = std::int64_t{tile_height} * rows + kMargin;
    FER_CHECK(sheet_width * sheet_height <= kMaxImagePixels, "a contact sheet of {} x {} pixels is too large",
              sheet_width, sheet_height);

    Sheet sheet(static_cast<int>(sheet_width), static_cast<int>(sheet_height));
    for (std::size_t i = 0; i < indices.size(); ++i) {
        const std::int32_t index = indices[i];
        FER_CHECK(index >= 0 && index < data.size(), "image {} of {}", index, data.size());
        const int left = kMargin + static_cast<int>(i) % columns * tile_width;
        const int top = kMargin + static_cast<int>(i) / columns * tile_height;
        const std::uint8_t* image = data.image(index);
        for (int y = 0; y < data.height; ++y) {
            for (int x = 0; x < data.width; ++x) {
                sheet.fill(left + x * scale, top + y * scale, scale, image[y * data.width + x]);
            }
        }
        const auto label = static_cast<std::size_t>(data.labels[static_cast<std::size_t>(index)]);
        sheet.text(left, top + data.height * scale + kMargin, letter, data.classes[label]);
    }
    write_png(path, sheet.width, sheet.height, 1, sheet.pixels);
}

}  // namespace fer
