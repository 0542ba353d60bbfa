// 16-bit floating point on the host: IEEE binary16 (f16) and bfloat16 (bf16), as bits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace fer {

inline float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// To nearest, ties to even; NaN stays NaN.
inline std::uint16_t to_bf16(float v) {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    if (std::isnan(v)) {
        return static_cast<std::uint16_t>(bits >> 16 | 0x40);
    }
    return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float from_f16(std::uint16_t bits) {
    const std::uint32_t sign = std::uint32_t{bits} >> 15 << 31;
    const std::uint32_t exponent = bits >> 10 & 0x1f;
    const std::uint32_t mantissa = bits & 0x3ff;
    if (exponent == 0) {  // zero and subnormal numbers, multiples of 2^-24
        return std::copysign(static_cast<float>(mantissa) * 0x1p-24f, sign == 0 ? 1.0f : -1.0f);
    }
    return std::bit_cast<float>(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13);
}

/// To nearest, ties to even; beyond 65504 infinity; NaN stays NaN.
inline std::uint16_t to_f16(float v) {
    const auto sign = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16 & 0x8000);
    if (std::isnan(v)) {
        return sign | 0x7e00;
    }
    const float magnitude = std::abs(v);
    if (magnitude >= 65520) {
        return sign | 0x7c00;
    }
    if (magnitude < 0x1p-14f) {  // 2^-24 is the last place: adding 0.5 leaves it in the low bits of a float
        return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(magnitude + 0.5f) - 0x3f000000));
    }
    const auto bits = std::bit_cast<std::uint32_t>(magnitude) - (std::uint32_t{112} << 23);
    return static_cast<std::uint16_t>(sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13);
}

}  // namespace fer
