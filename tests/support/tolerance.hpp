// How far a result may be from the oracle's: every bound is a function with its derivation, none is a literal in a
// test.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/core/error.hpp"

namespace fer::test {

/// |got - want| <= absolute + relative * |want|
struct Tolerance {
    double absolute = 0;
    double relative = 0;
};

inline constexpr double kRoundFloat = 0x1p-24;   // half a unit in the last place of 1, float32
inline constexpr double kRoundDouble = 0x1p-53;  // the same, float64

/// Integer-valued inputs small enough that float32 holds every partial sum: compare bit for bit.
inline Tolerance exact() { return {}; }

/// A float32 sum of `terms` products of random sign and magnitude <= `scale`, against the double oracle. Partial sums
/// stay within 4 sqrt(terms) scale (four sigma); each of `terms` additions rounds by 2^-24 of that with random sign,
/// which adds up to 4 sqrt(terms) sqrt(terms) scale 2^-24. The result and its products round once more.
inline Tolerance float_sum(std::int64_t terms, double scale = 1.0) {
    return {4.0 * kRoundFloat * static_cast<double>(terms) * scale, 4 * kRoundFloat};
}

/// `operations` float32 roundings of values no larger than `scale`, one after the other.
inline Tolerance float_steps(int operations, double scale = 1.0) {
    return {operations * kRoundFloat * scale, operations * kRoundFloat};
}

/// The same in float64.
inline Tolerance double_steps(int operations, double scale = 1.0) {
    return {operations * kRoundDouble * scale, operations * kRoundDouble};
}

/// A double sum of `terms` terms of magnitude <= `scale`, in any order.
inline Tolerance double_sum(std::int64_t terms, double scale = 1.0) {
    return {kRoundDouble * static_cast<double>(terms) * scale, 4 * kRoundDouble};
}

/// Decimal digits printed after the point: half of the last one.
inline Tolerance printed_decimals(int digits) { return {0.5 * std::pow(10.0, -digits), 0}; }

/// The mean of `samples` draws of standard deviation `sigma`: five sigma, one false alarm in two million seeds.
inline Tolerance sampling(double samples, double sigma) { return {5 * sigma / std::sqrt(samples), 0}; }

/// One line about the worst element: "1 of 3 elements off; worst [2] got nan want 3 (allowed 1e-06)".
template <class Got, class Want>
::testing::AssertionResult close(std::span<const Got> got, std::span<const Want> want, const Tolerance& tolerance) {
    if (got.size() != want.size()) {
        return ::testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
    }
    std::size_t off = 0;
    std::size_t worst = 0;
    double worst_excess = -1;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const auto g = static_cast<double>(got[i]);
        const auto w = static_cast<double>(want[i]);
        const double error = std::abs(g - w);
        const double allowed = tolerance.absolute + tolerance.relative * std::abs(w);
        if (g != w && !(error <= allowed)) {  // equal infinities are equal; written so that NaN fails
            ++off;
            const double excess = std::isnan(error) ? HUGE_VAL : error - allowed;
            if (excess > worst_excess) {
                worst_excess = excess;
                worst = i;
            }
        }
    }
    if (off == 0) {
        return ::testing::AssertionSuccess();
    }
    const auto w = static_cast<double>(want[worst]);
    return ::testing::AssertionFailure() << fmt::format("{} of {} elements off; worst [{}] got {} want {} (allowed {})",
                                                        off, got.size(), worst, static_cast<double>(got[worst]), w,
                                                        tolerance.absolute + tolerance.relative * std::abs(w));
}

template <class Got, class Want>
::testing::AssertionResult close(const std::vector<Got>& got, const std::vector<Want>& want,
                                 const Tolerance& tolerance) {
    return close(std::span<const Got>(got), std::span<const Want>(want), tolerance);
}

inline ::testing::AssertionResult close(double got, double want, const Tolerance& tolerance) {
    return close(std::span<const double>(&got, 1), std::span<const double>(&want, 1), tolerance);
}

/// Squared error over squared size, in double; NaN if anything is.
template <class Got, class Want>
double nmse(std::span<const Got> got, std::span<const Want> want) {
    double error = 0;
    double size = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
        const double d = static_cast<double>(got[i]) - static_cast<double>(want[i]);
        error += d * d;
        size += static_cast<double>(want[i]) * static_cast<double>(want[i]);
    }
    return size > 0 ? error / size : error;
}

inline double largest_magnitude(std::span<const double> values) {
    double most = 0;
    for (const double v : values) {
        most = std::max(most, std::abs(v));
    }
    return most;
}

/// Results of a few optimizer steps of a small network in float32, computed in two ways that round in other places.
/// Squared relative errors of 2^-48 per operation grow by what the optimizer divides by: 1e-5 is what two devices may
/// differ by. What is nothing but rounding has no relative error, and is small in both.
template <class Got, class Want>
void expect_rounding_apart(const std::vector<Got>& got, const std::vector<Want>& want, const std::string& what) {
    const std::vector<double> ours(got.begin(), got.end());
    const std::vector<double> theirs(want.begin(), want.end());
    ASSERT_EQ(ours.size(), theirs.size()) << what;
    if (largest_magnitude(theirs) < 1e-5) {
        EXPECT_LT(largest_magnitude(ours), 1e-4) << what;
    } else {
        EXPECT_LE(nmse(std::span<const double>(ours), std::span<const double>(theirs)), 1e-5) << what;
    }
}

}  // namespace fer::test
