// Draws of the symmetric Beta distribution, the same on host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/core/random.hpp"

namespace fer {

/// Beta(alpha, alpha) for 0 < alpha <= 1, drawn for `element` of the stream by Johnk's rejection: u^(1/alpha) and
/// v^(1/alpha) with a sum of at most one. Of sixteen attempts one succeeds but for 2^-16 of all draws at alpha = 1, far
/// fewer below; the last is taken then. 1/2 where both powers underflow. M. D. Johnk, "Erzeugung von betaverteilten und
/// gammaverteilten Zufallszahlen" (Metrika 8, 1964).
FER_HOST_DEVICE inline double symmetric_beta(const RandomStream& random, std::uint32_t element, double alpha) {
    constexpr int kAttempts = 16;
    const auto power = [alpha](std::uint32_t word) { return pow((word + 0.5) * 0x1p-32, 1 / alpha); };
    double share = 0.5;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        const Philox4 words = random.words(element * (kAttempts / 2) + static_cast<std::uint32_t>(attempt / 2));
        const double x = power(words.v[attempt % 2 * 2]);
        const double y = power(words.v[attempt % 2 * 2 + 1]);
        if (x + y > 0) {
            share = x / (x + y);
            if (x + y <= 1) {
                break;
            }
        }
    }
    return share;
}

}  // namespace fer
