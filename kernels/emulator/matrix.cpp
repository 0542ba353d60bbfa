#include "kernels/emulator/matrix.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>

#include "engine/core/error.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/shared.hpp"
#include "kernels/emulator/symbols.hpp"
#include "kernels/emulator/warp.hpp"

namespace fer::emulated {

namespace {

constexpr unsigned kAllLanes = ~0u;

struct Fragments {
    std::uint32_t a[4];
    std::uint32_t b[2];
    float d[4];
};
static_assert(sizeof(Fragments) <= kDepositBytes);

// The operands of a product with K terms, unpacked from the lanes.
template <int K>
struct Operands {
    double a[16][K];
    double b[K][8];
};

template <int K>
void multiply(Deposits all, const Operands<K>& m) {
    for (unsigned lane = 0; lane < 32; ++lane) {
        auto f = deposit<Fragments>(all, lane);
        for (unsigned i = 0; i < 4; ++i) {
            const unsigned row = lane / 4 + i / 2 * 8;
            const unsigned col = lane % 4 * 2 + i % 2;
            double sum = static_cast<double>(f.d[i]);
            for (unsigned k = 0; k < K; ++k) {
                sum += m.a[row][k] * m.b[k][col];
            }
            f.d[i] = static_cast<float>(sum);
        }
        std::memcpy(all + kDepositBytes * lane, &f, sizeof f);
    }
}

double from_half(std::uint32_t bits) {
    return static_cast<double>(__half2float(std::bit_cast<__half>(static_cast<std::uint16_t>(bits))));
}
double from_bfloat16(std::uint32_t bits) { return static_cast<double>(std::bit_cast<float>(bits << 16)); }
double from_tf32(std::uint32_t bits) { return static_cast<double>(std::bit_cast<float>(bits & 0xffffe000u)); }

template <double (*kDecode)(std::uint32_t)>
void multiply_16(Deposits all) {
    Operands<16> m;
    for (unsigned lane = 0; lane < 32; ++lane) {
        const auto f = deposit<Fragments>(all, lane);
        const unsigned g = lane / 4;
        const unsigned t = lane % 4 * 2;
        for (unsigned half = 0; half < 2; ++half) {
            const auto value = [half](std::uint32_t pair) { return kDecode(pair >> (16 * half) & 0xffffu); };
            m.a[g][t + half] = value(f.a[0]);
            m.a[g + 8][t + half] = value(f.a[1]);
            m.a[g][t + 8 + half] = value(f.a[2]);
            m.a[g + 8][t + 8 + half] = value(f.a[3]);
            m.b[t + half][g] = value(f.b[0]);
            m.b[t + 8 + half][g] = value(f.b[1]);
        }
    }
    multiply(all, m);
}

void multiply_tf32(Deposits all) {
    Operands<8> m;
    for (unsigned lane = 0; lane < 32; ++lane) {
        const auto f = deposit<Fragments>(all, lane);
        const unsigned g = lane / 4;
        const unsigned t = lane % 4;
        m.a[g][t] = from_tf32(f.a[0]);
        m.a[g + 8][t] = from_tf32(f.a[1]);
        m.a[g][t + 4] = from_tf32(f.a[2]);
        m.a[g + 8][t + 4] = from_tf32(f.a[3]);
        m.b[t][g] = from_tf32(f.b[0]);
        m.b[t + 4][g] = from_tf32(f.b[1]);
    }
    multiply(all, m);
}

void product(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], Combine combine,
             const std::source_location& where, const void* code) {
    Fragments f;
    std::memcpy(f.a, a, sizeof f.a);
    std::memcpy(f.b, b, sizeof f.b);
    std::memcpy(f.d, d, sizeof f.d);
    const Deposits all = exchange(kAllLanes, &f, sizeof f, combine, "mma", where, code);
    f = deposit<Fragments>(all, current_thread->lane);
    std::memcpy(d, f.d, sizeof f.d);
}

}  // namespace

__attribute__((noinline)) void emulate_mma_16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                              bool is_half, const std::source_location& where) {
    product(d, a, b, is_half ? multiply_16<from_half> : multiply_16<from_bfloat16>, where, __builtin_return_address(0));
}

__attribute__((noinline)) void emulate_mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                                const std::source_location& where) {
    product(d, a, b, multiply_tf32, where, __builtin_return_address(0));
}

__attribute__((noinline)) void emulate_ldmatrix(std::uint32_t* r, unsigned matrices, bool transposed, const void* row,
                                                const std::source_location& where) {
    const void* const code = __builtin_return_address(0);
    const unsigned lane = current_thread->lane;
    std::uint16_t elements[8] = {};
    if (lane < 8 * matrices) {
        if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) {
            FER_FAULT("misaligned ldmatrix at {}: the row address {} is not aligned to 16 bytes", describe_code(code),
                      row);
        }
        if (!shared_holds(row, 16)) {
            FER_FAULT("ldmatrix at {} reads outside of shared variables: {}", describe_code(code),
                      describe_shared(row));
        }
        if (observer != nullptr) {
            observer->access(row, 16, Access::kRead, code);
        }
        std::memcpy(elements, row, sizeof elements);
    }
    const Deposits all = exchange(kAllLanes, elements, sizeof elements, nullptr, "ldmatrix", where, code);
    for (unsigned i = 0; i < matrices; ++i) {
        const auto element = [&](unsigned x, unsigned y) {
            std::uint16_t value = 0;
            std::memcpy(&value, all + kDepositBytes * (8 * i + x) + sizeof value * y, sizeof value);
            return std::uint32_t{value};
        };
        const unsigned x = lane / 4;
        const unsigned y = lane % 4 * 2;
        r[i] = transposed ? element(y, x) | element(y + 1, x) << 16 : element(x, y) | element(x, y + 1) << 16;
    }
}

std::uint32_t round_to_tf32(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if ((bits & 0x7f800000u) == 0x7f800000u) {  // infinities and NaN have nothing to round
        return (bits & 0xffffe000u) | ((bits & 0x7fffffu) != 0 ? 0x400000u : 0u);
    }
    return (bits + 0x1000u) & 0xffffe000u;  // half a unit added to the magnitude: ties go away from zero
}

}  // namespace fer::emulated
