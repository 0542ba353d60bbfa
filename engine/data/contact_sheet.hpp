// Many small images on one picture, to look at.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "engine/data/dataset.hpp"

namespace fer {

/// A PNG grid of the images at `indices`, `columns` a row, each pixel drawn scale x scale, the class name below.
void write_contact_sheet(const std::filesystem::path& path, const Dataset& data, std::span<const std::int32_t> indices,
                         int columns, int scale);

}  // namespace fer
