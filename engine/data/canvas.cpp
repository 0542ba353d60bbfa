#include "engine/data/canvas.hpp"

#include <array>

namespace fer {

Canvas::Canvas(int size, const Pose& pose) : size_(size), side_(size * kOversampling), pose_(pose) {
    const auto count = static_cast<std::size_t>(side_) * static_cast<std::size_t>(side_);
    x_.resize(count);
    y_.resize(count);
    tone_.resize(count);
    samples_per_unit_ = 0.46f * static_cast<float>(side_) * pose.scale;
    cos_ = std::cos(pose.roll);
    sin_ = std::sin(pose.roll);
    const float middle = 0.5f * static_cast<float>(side_) - 0.5f;
    const float unit = 1.0f / samples_per_unit_;
    for (int row = 0; row < side_; ++row) {
        for (int column = 0; column < side_; ++column) {
            const float dx = (static_cast<float>(column) - middle) * unit - pose.shift_x;
            const float dy = (static_cast<float>(row) - middle) * unit - pose.shift_y;
            const float x = cos_ * dx + sin_ * dy;
            const std::size_t at = static_cast<std::size_t>(row * side_ + column);
            x_[at] = x - pose.yaw * std::max(0.0f, 1.0f - x * x);
            y_[at] = cos_ * dy - sin_ * dx;
        }
    }
}

Canvas::Range Canvas::samples_in(const Box& box, float margin) const {
    const float middle = 0.5f * static_cast<float>(side_) - 0.5f;
    const float sideways = std::abs(pose_.yaw) + margin;
    float x0 = 1e9f, y0 = 1e9f, x1 = -1e9f, y1 = -1e9f;
    for (const float x : {box.x0 - sideways, box.x1 + sideways}) {
        for (const float y : {box.y0 - margin, box.y1 + margin}) {
            const float column = (cos_ * x - sin_ * y + pose_.shift_x) * samples_per_unit_ + middle;
            const float row = (sin_ * x + cos_ * y + pose_.shift_y) * samples_per_unit_ + middle;
            x0 = std::min(x0, column);
            x1 = std::max(x1, column);
            y0 = std::min(y0, row);
            y1 = std::max(y1, row);
        }
    }
    const auto limit = [&](float at) { return std::clamp(static_cast<int>(at), 0, side_); };
    return {limit(x0 - 1), limit(y0 - 1), limit(x1 + 2), limit(y1 + 2)};
}

std::vector<float> Canvas::resolve() const {
    std::vector<float> pixels(static_cast<std::size_t>(size_) * static_cast<std::size_t>(size_));
    for (int row = 0; row < side_; ++row) {
        for (int column = 0; column < side_; ++column) {
            const int at = row / kOversampling * size_ + column / kOversampling;
            pixels[static_cast<std::size_t>(at)] += tone_[static_cast<std::size_t>(row * side_ + column)];
        }
    }
    constexpr float kPart = 1.0f / (kOversampling * kOversampling);
    for (float& pixel : pixels) {
        pixel *= kPart;
    }
    return pixels;
}

}  // namespace fer
