// Faces on one picture with what is true and what was said of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/data/image.hpp"

namespace fer {

struct GridCell {
    GrayImage image;
    std::string above, below;  // two lines; letters of font.hpp
    bool right = true;         // the second line and the frame are green, else red
};

/// A PNG of all cells, `columns` in a row, each image about 144 pixels wide. UsageError without cells.
void write_grid(const std::filesystem::path& path, const std::vector<GridCell>& cells, int columns);

}  // namespace fer
