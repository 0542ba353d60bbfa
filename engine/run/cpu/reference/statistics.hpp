// The statistics of a batch, wherever they are taken.
#pragma once

#include <cmath>

#include "engine/run/cpu/reference/typed.hpp"

namespace fer::cpu::reference {

struct Moments {
    double mean = 0;
    double variance = 0;  // biased
};

/// Of channel k of x, (rows, channels), in two passes. Stores them as outputs `first` and `first` + 1 of the node, and
/// moves the node's two states: moving = moving * momentum + batch * (1 - momentum), there with the unbiased variance
/// where `unbiased` and there are two rows.
template <class T>
Moments take_statistics(const T* x, std::int64_t rows, std::int64_t channels, std::int64_t k, const Operands& t,
                        std::size_t first, double momentum, bool unbiased) {
    double sum = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
        sum += static_cast<double>(x[i * channels + k]);
    }
    const double mean = sum / static_cast<double>(rows);
    double squares = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
        const double d = static_cast<double>(x[i * channels + k]) - mean;
        squares += d * d;
    }
    const double variance = squares / static_cast<double>(rows);
    t.output<T>(first)[k] = static_cast<T>(mean);
    t.output<T>(first + 1)[k] = static_cast<T>(variance);
    const double moved = unbiased && rows > 1 ? squares / static_cast<double>(rows - 1) : variance;
    const auto move = [&](T& moving, double batch) {
        moving = static_cast<T>(static_cast<double>(moving) * momentum + batch * (1.0 - momentum));
    };
    move(t.updated<T>(0)[k], mean);
    move(t.updated<T>(1)[k], moved);
    return {mean, variance};
}

}  // namespace fer::cpu::reference
