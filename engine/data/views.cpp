#include "engine/data/views.hpp"

#include <algorithm>

#include "engine/core/error.hpp"

namespace fer {

std::vector<View> views_of(std::string_view name) {
    std::vector<View> views{{}};
    FER_CHECK(name == "none" || name == "flip" || name == "flip_shift",
              "unknown views '{}'; one of none, flip, flip_shift", name);
    if (name == "flip_shift") {
        constexpr int kPixels = 2;
        views.insert(views.end(),
                     {{false, -kPixels, 0}, {false, kPixels, 0}, {false, 0, -kPixels}, {false, 0, kPixels}});
    }
    if (name != "none") {
        const std::vector<View> plain = views;
        for (View view : plain) {
            view.mirrored = true;
            views.push_back(view);
        }
    }
    return views;
}

Dataset with_views(const Dataset& data, std::span<const std::int32_t> images, std::span<const View> views) {
    Dataset result;
    result.height = data.height;
    result.width = data.width;
    result.classes = data.classes;
    result.pixels.reserve(images.size() * views.size() * static_cast<std::size_t>(data.height * data.width));
    for (const std::int32_t i : images) {
        const std::uint8_t* image = data.image(i);
        for (const View& view : views) {
            for (int y = 0; y < data.height; ++y) {
                const int row = std::clamp(y - view.down, 0, data.height - 1);
                for (int x = 0; x < data.width; ++x) {
                    const int moved = std::clamp(x - view.right, 0, data.width - 1);
                    const int column = view.mirrored ? data.width - 1 - moved : moved;
                    result.pixels.push_back(image[row * data.width + column]);
                }
            }
            result.labels.push_back(data.labels[static_cast<std::size_t>(i)]);
            result.files.push_back(data.files[static_cast<std::size_t>(i)]);
        }
    }
    return result;
}

}  // namespace fer
