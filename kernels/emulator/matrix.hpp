// The models of mma.sync, ldmatrix and cvt.rna.tf32. kernels/port/matrix.hpp says which lane holds what.
#pragma once

#include <cstdint>
#include <cstring>
#include <source_location>

namespace fer::emulated {

void emulate_mma_16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], bool is_half,
                    const std::source_location& where = std::source_location::current());
void emulate_mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                      const std::source_location& where = std::source_location::current());
void emulate_ldmatrix(std::uint32_t* r, unsigned matrices, bool transposed, const void* row,
                      const std::source_location& where = std::source_location::current());

std::uint32_t round_to_tf32(float x);

inline std::uint32_t pack_halves(const void* low, const void* high) {
    std::uint16_t pair[2];
    std::memcpy(&pair[0], low, 2);
    std::memcpy(&pair[1], high, 2);
    return pair[0] | static_cast<std::uint32_t>(pair[1]) << 16;
}

}  // namespace fer::emulated
