// Numbers to test with: reproducible, and of the kind a check needs.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/random.hpp"

namespace fer::test {

/// Uniform in [low, high).
inline std::vector<double> uniform(std::size_t count, std::uint64_t seed, double low = -1, double high = 1) {
    const RandomStream random(seed, 0, stream_of("uniform"));
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = low + (high - low) * static_cast<double>(random.uniform(i));
    }
    return values;
}

/// Integers of [-4, 4].
inline std::vector<double> small_integers(std::size_t count, std::uint64_t seed) {
    const RandomStream random(seed, 0, stream_of("integers"));
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = static_cast<double>(random.word(i) % 9) - 4.0;
    }
    return values;
}

/// Odd multiples of half a step, each value once, shuffled: no two nearer than a step, none nearer than half a step
/// to a multiple of it. No ReLU sits on its kink and no max-pool window ties.
inline constexpr double kKinkStep = 0.125;
inline std::vector<double> away_from_kinks(std::size_t count, std::uint64_t seed) {
    std::vector<std::int32_t> order(count);
    for (std::size_t i = 0; i < count; ++i) {
        order[i] = static_cast<std::int32_t>(i) - static_cast<std::int32_t>(count / 2);
    }
    shuffle(order, RandomStream(seed, 0, stream_of("kinks")));
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = (order[i] + 0.5) * kKinkStep;
    }
    return values;
}

/// Multiples of a half: sums of their products are multiples of a quarter, so a bias of odd eighths keeps every
/// pre-activation an eighth away from 0 and 6.
inline std::vector<double> halves(std::size_t count, std::uint64_t seed) {
    std::vector<double> values = small_integers(count, seed);
    for (double& v : values) {
        v *= 0.5;
    }
    return values;
}
inline std::vector<double> odd_eighths(std::size_t count, std::uint64_t seed) {
    std::vector<double> values = small_integers(count, seed);
    for (double& v : values) {
        v = 0.25 * v + 0.125;
    }
    return values;
}

template <class T>
std::vector<T> as(const std::vector<double>& values) {
    std::vector<T> result(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        result[i] = static_cast<T>(values[i]);
    }
    return result;
}

}  // namespace fer::test
