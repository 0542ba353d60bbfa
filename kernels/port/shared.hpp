// Shared memory. The content is undefined (emulated: NaN) when a block starts.
//
//     FER_SHARED(float, tile, [32][33]);     // a static array
//     FER_SHARED(bool, last);                // a static scalar
//     FER_DYNAMIC_SHARED(__half, stage);     // __half* const stage, the bytes of Launch::dynamic_shared, 128-aligned
//
// Declare at the top of the kernel or of a device function, as one would with __shared__. A type with a comma in it
// needs an alias first. Static arrays may hold 48 KiB in all; more must be dynamic.
#pragma once

#include "kernels/port/device.hpp"

#if defined(FER_EMULATED)
// The key is a local static: one address per template instantiation, the same for all threads of a block.
#define FER_SHARED(T, name, ...)                        \
    static const char name##_key = 0;                   \
    using name##_shared = T __VA_ARGS__;                \
    name##_shared& name = *static_cast<name##_shared*>( \
        ::fer::emulated::shared_variable(&name##_key, sizeof(name##_shared), alignof(name##_shared), #name))
#define FER_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::fer::emulated::dynamic_shared())
#else
#define FER_SHARED(T, name, ...) __shared__ T name __VA_ARGS__
// One untyped declaration: `extern __shared__ T name[]` with two types T in one file would not compile.
#define FER_DYNAMIC_SHARED(T, name)                                      \
    extern __shared__ __align__(128) unsigned char fer_dynamic_shared[]; \
    T* const name = reinterpret_cast<T*>(fer_dynamic_shared)
#endif
