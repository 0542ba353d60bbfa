// Warp-wide matrix products (mma.sync) and the loads that feed them (ldmatrix). All 32 lanes call together.
//
// With g = lane / 4 and t = lane % 4, the fragments of D(16x8) += A(16x16) * B(16x8) for 16-bit types are
//     a[0] = A[g][2t,2t+1]    a[1] = A[g+8][2t,2t+1]    a[2] = A[g][2t+8,+9]    a[3] = A[g+8][2t+8,+9]
//     b[0] = B[2t,2t+1][g]    b[1] = B[2t+8,2t+9][g]
//     d[0] = D[g][2t]         d[1] = D[g][2t+1]         d[2] = D[g+8][2t]       d[3] = D[g+8][2t+1]
// (the first of a pair in the low half), and for tf32 with A(16x8), B(8x8)
//     a[0] = A[g][t]          a[1] = A[g+8][t]          a[2] = A[g][t+4]        a[3] = A[g+8][t+4]
//     b[0] = B[t][g]          b[1] = B[t+4][g]
#pragma once

#include <type_traits>

#include "kernels/port/device.hpp"

namespace fer::FER_PORT {

/// d += a * b, products exact, sums in float32. The order of the 16 additions is the hardware's; the emulator adds in
/// double and rounds once, so the two agree bit for bit only where every partial sum is exact (small integers).
template <class T>
FER_DEVICE void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    static_assert(std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>);
#if defined(FER_EMULATED)
    emulate_mma_16(d, a, b, std::is_same_v<T, __half>);
#else
    if constexpr (std::is_same_v<T, __half>) {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    } else {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
#endif
}

/// The same for tf32 operands, which to_tf32() makes; the low 13 bits of an operand are ignored.
FER_DEVICE void mma_m16n8k8_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
#if defined(FER_EMULATED)
    emulate_mma_tf32(d, a, b);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// Ten bits of mantissa: round to nearest, ties away from zero (cvt.rna).
FER_DEVICE std::uint32_t to_tf32(float x) {
#if defined(FER_EMULATED)
    return round_to_tf32(x);
#else
    std::uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
#endif
}

/// Two elements in one register, as the fragments above want them.
template <class T>
FER_DEVICE std::uint32_t pack2(T low, T high) {
    static_assert(sizeof(T) == 2);
#if defined(FER_EMULATED)
    return pack_halves(&low, &high);
#else
    return std::uint32_t{*reinterpret_cast<const unsigned short*>(&low)} |
           std::uint32_t{*reinterpret_cast<const unsigned short*>(&high)} << 16;
#endif
}

// ldmatrix: 8x8 matrices of 16-bit elements from shared memory. Lane 8i + j passes the 16-byte aligned address of row j
// of matrix i (x2: lanes 16..31 pass anything). Lane 4r + c receives in r[i] the elements [r][2c, 2c+1] of matrix i,
// or with _trans the elements [2c, 2c+1][r].

#if !defined(FER_EMULATED)
#define FER_LDMATRIX_X4(variant, r, row)                                                    \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" variant ".shared.b16 {%0,%1,%2,%3}, [%4];" \
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                           \
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))                \
                 : "memory")
#define FER_LDMATRIX_X2(variant, r, row)                                              \
    asm volatile("ldmatrix.sync.aligned.m8n8.x2" variant ".shared.b16 {%0,%1}, [%2];" \
                 : "=r"(r[0]), "=r"(r[1])                                             \
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))          \
                 : "memory")
#else
#define FER_LDMATRIX_X4(variant, r, row) emulate_ldmatrix(r, 4, sizeof(variant) > 1, row)
#define FER_LDMATRIX_X2(variant, r, row) emulate_ldmatrix(r, 2, sizeof(variant) > 1, row)
#endif

FER_DEVICE void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) { FER_LDMATRIX_X4("", r, row); }
FER_DEVICE void ldmatrix_x2(std::uint32_t (&r)[2], const void* row) { FER_LDMATRIX_X2("", r, row); }
FER_DEVICE void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row) { FER_LDMATRIX_X4(".trans", r, row); }
FER_DEVICE void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row) { FER_LDMATRIX_X2(".trans", r, row); }

#undef FER_LDMATRIX_X4
#undef FER_LDMATRIX_X2

}  // namespace fer::FER_PORT
