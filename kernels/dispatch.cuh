// What launchers share: from a DType to the type of a template kernel, and the checks that come before a launch.
#pragma once

#include <type_traits>

#include "engine/core/dtype.hpp"
#include "engine/core/error.hpp"
#include "kernels/port/port.hpp"

/// Asks nvcc to unroll the loop below; to g++ the emulated kernel is the same either way.
#if defined(FER_EMULATED)
#define FER_UNROLL(times)
#else
#define FER_PRAGMA(text) _Pragma(#text)
#define FER_UNROLL(times) FER_PRAGMA(unroll times)
#endif

namespace fer::FER_PORT {

/// body(std::type_identity<T>{}) for the float type `dtype` names.
template <class Body>
void by_float(DType dtype, Body body) {
    switch (dtype) {
        case DType::kF32:
            return body(std::type_identity<float>{});
        case DType::kF16:
            return body(std::type_identity<__half>{});
        case DType::kBF16:
            return body(std::type_identity<__nv_bfloat16>{});
        default:
            throw UsageError(fmt::format("kernels compute on f32, f16 and bf16, not {}", name_of(dtype)));
    }
}

/// The same for what may also be bytes: images.
template <class Body>
void by_pixel(DType dtype, Body body) {
    if (dtype == DType::kU8) {
        return body(std::type_identity<std::uint8_t>{});
    }
    by_float(dtype, body);
}

/// Whether there is nothing to do. Refuses 2^31 elements and more, as over() does.
inline bool is_empty(std::int64_t elements) { return over(elements).grid.x == 0; }

/// Whether every pointer is null or may be read as 16-byte vectors.
template <class... Pointers>
bool all_aligned(Pointers... pointers) {
    return (is_aligned(pointers) && ...);
}

}  // namespace fer::FER_PORT
