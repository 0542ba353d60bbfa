// A small painter for faces: soft-edged shapes on a canvas of twice the final resolution.
//
// Shapes live in face coordinates: x to the right, y down, the head about 0.8 wide and 1 high around (0, 0). The canvas
// knows where each of its samples lies on the face, so shift, roll, scale and yaw are paid once, not per shape.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace fer {

struct Pose {
    float shift_x = 0, shift_y = 0;  // in face units
    float roll = 0;                  // radians
    float scale = 1;
    float yaw = 0;  // features move sideways by this much at the middle of the face, by nothing at its edge
};

/// A rectangle of face coordinates.
struct Box {
    float x0, y0, x1, y1;
};

struct Ink {
    float tone;          // 0 black, 1 white
    float alpha = 1;     // 1 covers
    float softness = 0;  // width of the edge in face units, beyond the one sample of anti-aliasing
};

class Canvas {
public:
    static constexpr int kOversampling = 2;

    Canvas(int size, const Pose& pose);

    /// Blends `ink` where signed_distance(x, y) < 0. Only samples in `box` are asked. Distances are in face units and
    /// need to be right only near zero.
    template <class SignedDistance>
    void paint(const Box& box, const Ink& ink, SignedDistance&& signed_distance) {
        const Range range = samples_in(box, ink.softness);
        const float sharpness = 1.0f / (1.0f / samples_per_unit_ + ink.softness);
        for (int row = range.y0; row < range.y1; ++row) {
            const std::size_t start = static_cast<std::size_t>(row) * static_cast<std::size_t>(side_);
            for (int column = range.x0; column < range.x1; ++column) {
                const std::size_t at = start + static_cast<std::size_t>(column);
                const float coverage = 0.5f - signed_distance(x_[at], y_[at]) * sharpness;
                tone_[at] += std::clamp(coverage, 0.0f, 1.0f) * ink.alpha * (ink.tone - tone_[at]);
            }
        }
    }

    /// The whole canvas, tone(x, y) in [-1, 1] canvas coordinates.
    template <class Tone>
    void fill(Tone&& tone) {
        for (int row = 0; row < side_; ++row) {
            for (int column = 0; column < side_; ++column) {
                const float x = 2.0f * static_cast<float>(column) / static_cast<float>(side_) - 1.0f;
                const float y = 2.0f * static_cast<float>(row) / static_cast<float>(side_) - 1.0f;
                tone_[static_cast<std::size_t>(row * side_ + column)] = tone(x, y);
            }
        }
    }

    /// Averages the samples of each pixel: size * size tones.
    std::vector<float> resolve() const;

private:
    struct Range {
        int x0, y0, x1, y1;
    };
    Range samples_in(const Box& box, float margin) const;

    int size_, side_;
    float samples_per_unit_;
    float cos_, sin_;
    Pose pose_;
    std::vector<float> x_, y_, tone_;
};

struct Ellipse {
    float x, y, rx, ry;

    Box box() const { return {x - rx, y - ry, x + rx, y + ry}; }
    float operator()(float px, float py) const {
        const float dx = (px - x) / rx, dy = (py - y) / ry;
        return (std::sqrt(dx * dx + dy * dy) - 1.0f) * std::min(rx, ry);
    }
};

/// A stroke along y(t) = y + slope * t + bend * t^2, t = (px - x) / half_width in [-1, 1]. Thinner towards its ends.
struct Arc {
    float x, y, half_width, slope, bend, thickness;

    Box box() const {
        const float reach = std::abs(slope) + std::abs(bend) + thickness;
        return {x - half_width, y - reach, x + half_width, y + reach};
    }
    float operator()(float px, float py) const {
        const float t = (px - x) / half_width;
        const float away = std::abs(py - (y + t * (slope + bend * t)));
        return std::max(away - thickness * (1.0f - 0.6f * t * t), (std::abs(t) - 1.0f) * half_width);
    }
};

/// The same stroke standing up: x and y change roles.
struct UprightArc {
    Arc lying;  // with x and y exchanged

    Box box() const {
        const Box b = lying.box();
        return {b.y0, b.x0, b.y1, b.x1};
    }
    float operator()(float px, float py) const { return lying(py, px); }
};

/// The area between two curves that meet at x +- half_width: an eye, a mouth. The middle line is
/// y + slope * t + bend * t^2; it opens `up` above and `down` below; round 0 is a parabola, 1 an ellipse.
struct Lens {
    float x, y, half_width, slope, bend, up, down, round;

    Box box() const {
        const float reach = std::abs(slope) + std::abs(bend);
        return {x - half_width, y - reach - std::abs(up), x + half_width, y + reach + std::abs(down)};
    }
    float operator()(float px, float py) const {
        const float t = (px - x) / half_width;
        const float inside = std::max(0.0f, 1.0f - t * t);
        const float profile = inside + round * (std::sqrt(inside) - inside);
        const float middle = y + t * (slope + bend * t);
        const float above = middle - up * profile - py;
        const float below = py - middle - down * profile;
        return std::max({above, below, (std::abs(t) - 1.0f) * half_width});
    }
};

}  // namespace fer
