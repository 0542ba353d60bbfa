// How the learning rate moves from update to update: a factor on the rate that was set. A pure function of the update,
// the same on host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/core/random.hpp"

namespace fer {

enum class ScheduleKind : std::uint8_t { kConstant, kCosine, kOneCycle };

/// `steps` updates, the first of them update 0. With the ends of the warm-up at w:
///     cosine     w = warmup * steps; start -> 1 in a line, then 1 -> end along a half cosine, as Keras's CosineDecay
///     one cycle  w = warmup * steps - 1; start -> 1 -> end along half cosines, the last update at `end`, as PyTorch's
///                OneCycleLR
/// Behind the last update the factor stays at `end`.
struct Schedule {
    ScheduleKind kind = ScheduleKind::kConstant;
    std::int64_t steps = 0;
    double warmup = 0;
    double start = 1, end = 0;
    bool operator==(const Schedule&) const = default;
};

/// From a (share 0) to b (share 1) along a half cosine.
FER_HOST_DEVICE inline double half_cosine(double a, double b, double share) {
    constexpr double kPi = 3.141592653589793;
    return b + (a - b) * 0.5 * (1 + cos(kPi * share));
}

FER_HOST_DEVICE inline double schedule_factor(const Schedule& s, std::int64_t update) {
    if (s.kind == ScheduleKind::kConstant) {
        return 1;
    }
    const double behind = s.kind == ScheduleKind::kOneCycle ? 1 : 0;
    const double top = s.warmup * static_cast<double>(s.steps) - behind;
    const double last = static_cast<double>(s.steps) - behind;
    const auto at = static_cast<double>(update);
    if (at < top) {
        return s.kind == ScheduleKind::kOneCycle ? half_cosine(s.start, 1, at / top)
                                                 : s.start + (1 - s.start) * (at / top);
    }
    const double from = top > 0 ? top : 0;
    return at >= last ? s.end : half_cosine(1, s.end, (at - from) / (last - from));
}

}  // namespace fer
