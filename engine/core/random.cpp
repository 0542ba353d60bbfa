#include "engine/core/random.hpp"

#include <numbers>
#include <utility>

namespace fer {

double normal(const RandomStream& random, std::uint64_t element) {
    // 1 - u is in (0, 1], so the logarithm is finite.
    const double u = 1.0 - random.word(2 * element) * 0x1p-32;
    const double v = random.word(2 * element + 1) * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

void shuffle(std::span<std::int32_t> order, const RandomStream& random) {
    for (std::size_t i = order.size(); i > 1; --i) {
        const std::uint64_t j = (std::uint64_t{random.word(i)} * i) >> 32;
        std::swap(order[i - 1], order[j]);
    }
}

}  // namespace fer
