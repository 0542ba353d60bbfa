// Statistics of measured times.
#pragma once

#include <cstdint>
#include <span>

namespace fer {

/// As trtexec has it: of n times in ascending order the one at max(n - 1 - floor((1 - p/100) n), 0), for p in [0, 100].
/// No interpolation: it is a time that was measured. UsageError without times.
double percentile(std::span<const double> times, double p);

/// The middle one, or the mean of the two in the middle. UsageError without times.
double median(std::span<const double> times);

/// (third quartile - first quartile) / median, quartiles interpolated linearly at q (n - 1). What a stretch of noise
/// does to a median; 0 for a single time.
double relative_iqr(std::span<const double> times);

/// Above this relative_iqr() a row is marked as noisy.
inline constexpr double kNoisy = 0.1;

struct Interval {
    double low = 0, high = 0;
};

/// Of median(a) / median(b), with 95 % confidence: percentile bootstrap, 10,000 draws of both samples. The same input
/// gives the same interval. UsageError without times.
Interval ratio_interval(std::span<const double> a, std::span<const double> b);

/// Two-sided p-value that a and b come from one distribution (Mann and Whitney's U). Exact where a sample has eight
/// times or fewer and no two times are equal; else by the normal approximation, corrected for ties and continuity. 1 if
/// all times are equal. UsageError without times.
double mann_whitney(std::span<const double> a, std::span<const double> b);

}  // namespace fer
