// What the augmentation of a configuration makes of images, to look at.
#pragma once

#include <cstdint>
#include <span>

#include "engine/data/dataset.hpp"
#include "engine/train/config.hpp"

namespace fer {

/// The images at `indices` as one training batch, in that order, would see them at `step`: augmented and mixed on the
/// CPU, in the size they are stored in, rounded to bytes. Labels and class names are kept.
Dataset augmented_images(const Config& config, const Dataset& data, std::span<const std::int32_t> indices,
                         std::int64_t step);

}  // namespace fer
