// The same images mirrored and moved: what an evaluation with test-time augmentation looks at.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "engine/data/dataset.hpp"

namespace fer {

struct View {
    bool mirrored = false;
    int right = 0, down = 0;  // pixels by which the picture moves; what comes in repeats the edge
};

/// "none": the image as it is. "flip": also mirrored. "flip_shift": both, each also moved by two pixels to the left,
/// right, up and down, ten in all. UsageError for another word.
std::vector<View> views_of(std::string_view name);

/// Image `images[i]` as view v is number i * views + v. Labels and files go along; what a data set needs besides to be
/// evaluated does, too.
Dataset with_views(const Dataset& data, std::span<const std::int32_t> images, std::span<const View> views);

}  // namespace fer
