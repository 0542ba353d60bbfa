// Elementwise kernels with bit masks: a thread takes eight neighbouring elements, which are one byte of the mask, so a
// warp writes 32 bytes of it side by side and needs no vote among its lanes.
#pragma once

#include "kernels/support.cuh"

namespace fer::FER_PORT {

inline constexpr int kGroup = 8;

/// Elements 8 g .. 8 g + 7 of `count`; those beyond become zero.
template <class T>
FER_DEVICE void load_group(float (&values)[kGroup], const void* p, unsigned g, unsigned count, bool vector) {
    const T* from = static_cast<const T*>(p) + g * kGroup;
    const int valid = static_cast<int>(count - g * kGroup);
    if (vector && valid >= kGroup) {
        load_floats(values, from);
    } else {
        load_floats(values, from, valid);
    }
}

template <class T>
FER_DEVICE void store_group(void* p, const float (&values)[kGroup], unsigned g, unsigned count, bool vector) {
    T* to = static_cast<T*>(p) + g * kGroup;
    const int valid = static_cast<int>(count - g * kGroup);
    if (vector && valid >= kGroup) {
        store_floats(to, values);
    } else {
        store_floats(to, values, valid);
    }
}

/// Byte g of a mask. Elements beyond the last must be zero: they do not pass.
FER_DEVICE void store_mask(std::uint32_t* mask, const float (&y)[kGroup], unsigned g, Activation activation) {
    unsigned bits = 0;
#pragma unroll
    for (int j = 0; j < kGroup; ++j) {
        bits |= passes(y[j], activation) ? 1u << j : 0u;
    }
    reinterpret_cast<std::uint8_t*>(mask)[g] = static_cast<std::uint8_t>(bits);  // words are little endian
}
FER_DEVICE unsigned load_mask(const std::uint32_t* mask, unsigned g) {
    return reinterpret_cast<const std::uint8_t*>(mask)[g];
}

/// One thread per group; with a mask also for the bytes behind the last element that complete its last word.
inline Launch over_mask_groups(std::int64_t count, bool mask) {
    require_indexable(count);
    return over(mask ? (count + 31) / 32 * 4 : (count + kGroup - 1) / kGroup);
}

}  // namespace fer::FER_PORT
