#include "engine/report/grid.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "engine/core/error.hpp"
#include "engine/data/font.hpp"
#include "engine/report/ink.hpp"

namespace fer {
namespace {

constexpr int kImage = 144, kFrame = 4, kGap = 18, kLetter = 2;
constexpr int kLine = kGlyphHeight * kLetter + 6;

using Colour = std::array<std::uint8_t, 3>;

Colour colour_of(std::string_view ink) {
    const long value = std::strtol(std::string(ink.substr(1)).c_str(), nullptr, 16);
    return {static_cast<std::uint8_t>(value >> 16), static_cast<std::uint8_t>(value >> 8),
            static_cast<std::uint8_t>(value)};
}

struct Canvas {
    int width, height;
    std::vector<std::uint8_t> rgb;

    Canvas(int w, int h)
        : width(w), height(h), rgb(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * 3, 255) {}

    void fill(int x, int y, int w, int h, const Colour& colour) {
        for (int row = std::max(0, y); row < std::min(height, y + h); ++row) {
            for (int column = std::max(0, x); column < std::min(width, x + w); ++column) {
                std::ranges::copy(colour, rgb.begin() + (std::ptrdiff_t{row} * width + column) * 3);
            }
        }
    }

    /// As much of it as is `room` wide, in the middle of that.
    void text(int x, int y, int room, std::string letters, const Colour& colour) {
        letters.resize(std::min(letters.size(), static_cast<std::size_t>(room / (kGlyphAdvance * kLetter))));
        x += (room - static_cast<int>(letters.size()) * kGlyphAdvance * kLetter + kLetter) / 2;
        for (const char letter : letters) {
            const Glyph& glyph = glyph_of(letter);
            for (int row = 0; row < kGlyphHeight; ++row) {
                for (int column = 0; column < kGlyphWidth; ++column) {
                    if ((glyph.rows[static_cast<std::size_t>(row)] >> (kGlyphWidth - 1 - column) & 1u) != 0) {
                        fill(x + column * kLetter, y + row * kLetter, kLetter, kLetter, colour);
                    }
                }
            }
            x += kGlyphAdvance * kLetter;
        }
    }
};

}  // namespace

void write_grid(const std::filesystem::path& path, const std::vector<GridCell>& cells, int columns) {
    FER_CHECK(!cells.empty() && columns >= 1, "a grid of {} images in {} columns", cells.size(), columns);
    const int count = static_cast<int>(cells.size());
    columns = std::min(columns, count);
    const int rows = (count + columns - 1) / columns;
    const int side = kImage + 2 * kFrame, tall = side + 2 * kLine + 4;
    Canvas canvas(columns * (side + kGap) + kGap, rows * (tall + kGap) + kGap);
    for (int i = 0; i < count; ++i) {
        const GridCell& cell = cells[static_cast<std::size_t>(i)];
        const int left = kGap + i % columns * (side + kGap), top = kGap + i / columns * (tall + kGap);
        const Colour verdict = colour_of(ink(cell.right ? "good" : "bad"));
        canvas.fill(left, top, side, side, verdict);
        const GrayImage face = resize_nearest(cell.image, kImage, kImage);
        for (int y = 0; y < kImage; ++y) {
            for (int x = 0; x < kImage; ++x) {
                const std::uint8_t tone = face.pixels[static_cast<std::size_t>(y * kImage + x)];
                canvas.fill(left + kFrame + x, top + kFrame + y, 1, 1, {tone, tone, tone});
            }
        }
        canvas.text(left, top + side + 6, side, cell.above, colour_of(ink("muted")));
        canvas.text(left, top + side + 6 + kLine, side, cell.below, verdict);
    }
    write_png(path, canvas.width, canvas.height, 3, canvas.rgb);
}

}  // namespace fer
