// CUDA's arithmetic functions that the host's <math.h> lacks. Those with two underscores are approximations on the GPU
// (a few units in the last place) and exact here, so a test that compares them needs a tolerance.
#pragma once

#include <math.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <type_traits>

namespace fer::emulated {

inline float rsqrtf(float x) { return static_cast<float>(1.0 / ::sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1.0 / ::sqrt(x); }
inline float __expf(float x) { return ::expf(x); }
inline float __exp10f(float x) { return ::powf(10.0f, x); }
inline float __logf(float x) { return ::logf(x); }
inline float __log2f(float x) { return ::log2f(x); }
inline float __log10f(float x) { return ::log10f(x); }
inline float __powf(float x, float y) { return ::powf(x, y); }
inline float __sinf(float x) { return ::sinf(x); }
inline float __cosf(float x) { return ::cosf(x); }
inline float __tanhf(float x) { return ::tanhf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline float sinpif(float x) { return static_cast<float>(::sin(M_PI * static_cast<double>(x))); }
inline float cospif(float x) { return static_cast<float>(::cos(M_PI * static_cast<double>(x))); }
inline void sincospif(float x, float* s, float* c) {
    *s = sinpif(x);
    *c = cospif(x);
}

// One rounding, never fused with a neighbour: the same bits here and on the GPU.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return ::fmaf(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return ::sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
/// One-based position of the lowest bit that is set; 0 if none is.
inline int __ffs(int x) { return ::__builtin_ffs(x); }
inline int __ffsll(long long x) { return ::__builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; ++i) {
        y |= (x >> i & 1) << (31 - i);
    }
    return y;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<std::int64_t>(a) * b >> 32); }

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

// Conversions saturate and turn NaN into 0, as on the GPU; a plain cast of such values is undefined on the host.
inline int saturate_to_int(double x) {
    return ::isnan(x) ? 0 : static_cast<int>(std::clamp(x, -2147483648.0, 2147483647.0));
}
inline unsigned saturate_to_uint(double x) {
    return ::isnan(x) ? 0u : static_cast<unsigned>(std::clamp(x, 0.0, 4294967295.0));
}
inline int __float2int_rn(float x) { return saturate_to_int(::nearbyint(static_cast<double>(x))); }
inline int __float2int_rz(float x) { return saturate_to_int(::trunc(static_cast<double>(x))); }
inline int __float2int_rd(float x) { return saturate_to_int(::floor(static_cast<double>(x))); }
inline int __float2int_ru(float x) { return saturate_to_int(::ceil(static_cast<double>(x))); }
inline unsigned __float2uint_rn(float x) { return saturate_to_uint(::nearbyint(static_cast<double>(x))); }
inline unsigned __float2uint_rz(float x) { return saturate_to_uint(::trunc(static_cast<double>(x))); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }

/// CUDA's global min and max: the common type of both, a number rather than a NaN.
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) {
        return ::fmin(static_cast<T>(a), static_cast<T>(b));
    } else {
        return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
    }
}
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) {
        return ::fmax(static_cast<T>(a), static_cast<T>(b));
    } else {
        return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
    }
}

template <class T>
__attribute__((always_inline)) inline T __ldg(const T* p) {
    return *p;
}
template <class T>
__attribute__((always_inline)) inline T __ldcs(const T* p) {
    return *p;
}
template <class T>
__attribute__((always_inline)) inline void __stcs(T* p, T value) {
    *p = value;
}

/// Ends the kernel with an error.
[[noreturn]] void __trap();

}  // namespace fer::emulated
