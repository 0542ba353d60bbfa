// Conversions between storage types and float, in which all arithmetic is done.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/device.hpp"

namespace fer {
template <>
struct DTypeOf<__half> {
    static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<__nv_bfloat16> {
    static constexpr DType value = DType::kBF16;
};
}  // namespace fer

namespace fer::FER_PORT {

template <class T>
struct AccumulatorOf {
    using type = float;
};
template <>
struct AccumulatorOf<double> {
    using type = double;
};
/// The type in which values stored as T are summed: float; double for double.
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

/// Exact for every storage type.
FER_DEVICE float to_float(float x) { return x; }
FER_DEVICE float to_float(__half x) { return __half2float(x); }
FER_DEVICE float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
FER_DEVICE float to_float(std::uint8_t x) { return static_cast<float>(x); }

template <class T>
struct FromFloat;
template <>
struct FromFloat<float> {
    FER_DEVICE static float convert(float x) { return x; }
};
template <>
struct FromFloat<__half> {
    FER_DEVICE static __half convert(float x) { return __float2half_rn(x); }
};
template <>
struct FromFloat<__nv_bfloat16> {
    FER_DEVICE static __nv_bfloat16 convert(float x) { return __float2bfloat16_rn(x); }
};
/// Round to nearest, ties to even; above the largest finite value, infinity; NaN stays NaN.
template <class T>
FER_DEVICE T from_float(float x) {
    return FromFloat<T>::convert(x);
}

}  // namespace fer::FER_PORT
