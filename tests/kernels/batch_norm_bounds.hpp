// How far batch normalization in float32 may be from float64, from the data at hand.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {

inline double largest(const std::vector<double>& values) {
    double most = 0;
    for (const double v : values) {
        most = std::max(most, std::abs(v));
    }
    return most;
}
inline double smallest(const std::vector<double>& values) {
    double least = HUGE_VAL;
    for (const double v : values) {
        least = std::min(least, std::abs(v));
    }
    return least;
}

/// What one normalization depends on.
struct NormScales {
    double rows;
    double x;        // largest |x|
    double gamma;    // largest |gamma|
    double inv_std;  // largest
    double xhat;     // largest |x - mean| / std

    NormScales(double n, const std::vector<double>& xs, const std::vector<double>& gammas,
               const std::vector<double>& variance, double epsilon)
        : rows(n),
          x(largest(xs)),
          gamma(largest(gammas)),
          inv_std(1 / std::sqrt(smallest(variance) + epsilon)),
          xhat(2 * x * inv_std) {}

    /// 8 roundings, and a random walk of those of a sum, as in float_sum().
    double sum_rounding() const { return (8 + 2 * std::sqrt(rows)) * test::kRoundFloat; }

    test::Tolerance mean() const { return {sum_rounding() * x, 0}; }
    /// A mean that is off by d adds d^2; each square is off by the rounding of x - mean, whose condition is x / std.
    test::Tolerance variance() const {
        const double shift = sum_rounding() * x;
        return {4 * shift * shift, 2 * sum_rounding() * (1 + x * inv_std)};
    }
    test::Tolerance output() const { return {8 * test::kRoundFloat * gamma * xhat, 8 * test::kRoundFloat}; }
};

struct NormGradScales {
    NormScales forward;
    double dz;             // largest |dz|
    double value_error;    // of xhat beyond float32: where it is recovered from a rounded p
    double dbeta, dgamma;  // largest

    test::Tolerance beta() const { return {forward.sum_rounding() * forward.rows * dz, 4 * test::kRoundFloat}; }
    test::Tolerance gamma() const {
        const double term = 8 * test::kRoundFloat * forward.xhat + value_error;
        return {forward.rows * dz * (forward.sum_rounding() * forward.xhat + term), 4 * test::kRoundFloat};
    }
    test::Tolerance input() const {
        const double n = forward.rows;
        const double sizes = dz + dbeta / n + forward.xhat * dgamma / n;
        const double sums = beta().absolute / n + forward.xhat * gamma().absolute / n;
        return {forward.gamma * forward.inv_std * (16 * test::kRoundFloat * sizes + sums), 8 * test::kRoundFloat};
    }
};

}  // namespace fer::FER_PORT
