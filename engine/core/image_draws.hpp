// Which random number of an image is what: 16 of them from RandomStream(seed, step, stream), on every device the same.
#pragma once

#include <cstdint>

namespace fer {

enum ImageDraw : std::uint32_t {
    kTheta,
    kTx,
    kTy,
    kShear,
    kZx,
    kZy,
    kFlipH,
    kFlipV,
    kBright,
    kCropRow,
    kCropCol,
    kCutRow,
    kCutCol,
    kCut,
    kDraws = 16
};

}  // namespace fer
