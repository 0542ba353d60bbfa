// Several elements in one access. 16 bytes per thread is the widest load there is and what most kernels want.
//
//     constexpr int N = kVector<T>;                       // 4 float, 8 __half
//     const Vector<T, N> v = load<N>(x + i * N);          // x + i * N must be aligned to the whole vector
//     store(y + i * N, v);
#pragma once

#include "kernels/port/device.hpp"

namespace fer::FER_PORT {

/// Elements of T in 16 bytes.
template <class T>
inline constexpr int kVector = static_cast<int>(16 / sizeof(T));

template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
    static_assert(N > 0 && (N & (N - 1)) == 0 && sizeof(T) * N <= 16, "a vector is 1, 2, 4, 8 or 16 bytes");
    T v[N];

#if defined(FER_EMULATED)
    T& operator[](int i) { return v[i]; }
    const T& operator[](int i) const { return v[i]; }
#else
    __device__ __forceinline__ T& operator[](int i) { return v[i]; }
    __device__ __forceinline__ const T& operator[](int i) const { return v[i]; }
#endif
};

/// For launchers: whether `p` may be read as vectors of `bytes`.
inline bool is_aligned(const void* p, std::size_t bytes = 16) {
    return reinterpret_cast<std::uintptr_t>(p) % bytes == 0;
}

/// N elements from `p`, which must be aligned to all of them: the GPU traps otherwise, the emulator reports it.
template <int N, class T>
FER_DEVICE Vector<T, N> load(const T* p) {
#if defined(FER_EMULATED)
    require_aligned(p, sizeof(T) * N);
#endif
    return *reinterpret_cast<const Vector<T, N>*>(p);
}

template <class T, int N>
FER_DEVICE void store(T* p, const Vector<T, N>& v) {
#if defined(FER_EMULATED)
    require_aligned(p, sizeof(T) * N);
#endif
    *reinterpret_cast<Vector<T, N>*>(p) = v;
}

/// For data read once (ld.global.cs: evicted first) and data not read again by this kernel (st.global.cs). 16 bytes.
template <int N, class T>
FER_DEVICE Vector<T, N> load_streaming(const T* p) {
    static_assert(sizeof(T) * N == 16);
#if defined(FER_EMULATED)
    return load<N>(p);
#else
    const float4 bits = __ldcs(reinterpret_cast<const float4*>(p));
    return *reinterpret_cast<const Vector<T, N>*>(&bits);
#endif
}

template <class T, int N>
FER_DEVICE void store_streaming(T* p, const Vector<T, N>& v) {
    static_assert(sizeof(T) * N == 16);
#if defined(FER_EMULATED)
    store(p, v);
#else
    __stcs(reinterpret_cast<float4*>(p), *reinterpret_cast<const float4*>(&v));
#endif
}

}  // namespace fer::FER_PORT
