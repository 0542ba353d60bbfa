#include "engine/measure/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/error.hpp"
#include "engine/core/random.hpp"

namespace fer {
namespace {

constexpr int kDraws = 10'000;

std::vector<double> sorted(std::span<const double> times) {
    FER_CHECK(!times.empty(), "statistics of no times");
    std::vector<double> copy(times.begin(), times.end());
    std::ranges::sort(copy);
    return copy;
}

double middle(std::span<const double> ascending) {
    const std::size_t half = ascending.size() / 2;
    return ascending.size() % 2 == 1 ? ascending[half] : (ascending[half - 1] + ascending[half]) / 2;
}

/// Interpolated between the two neighbours of q (n - 1).
double quantile(std::span<const double> ascending, double q) {
    const double at = q * static_cast<double>(ascending.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const std::size_t high = std::min(low + 1, ascending.size() - 1);
    return ascending[low] + (at - static_cast<double>(low)) * (ascending[high] - ascending[low]);
}

/// The median of as many times drawn with replacement.
double drawn_median(std::span<const double> times, std::uint64_t draw, std::uint32_t stream) {
    const RandomStream random(1, draw, stream);
    std::vector<double> drawn(times.size());
    for (std::size_t i = 0; i < drawn.size(); ++i) {
        drawn[i] = times[random.word(i) % times.size()];
    }
    std::ranges::sort(drawn);
    return middle(drawn);
}

/// Ranks from 1 in both samples together, those of equal times averaged; a's come first.
struct Ranks {
    std::vector<double> of;
    double ties = 0;  // sum of t^3 - t over the groups of t equal times
};

Ranks rank(std::span<const double> a, std::span<const double> b) {
    std::vector<double> all(a.begin(), a.end());
    all.insert(all.end(), b.begin(), b.end());
    std::vector<std::size_t> order(all.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::ranges::sort(order, {}, [&](std::size_t i) { return all[i]; });
    Ranks ranks{std::vector<double>(all.size()), 0};
    for (std::size_t first = 0; first < order.size();) {
        std::size_t last = first;
        while (last + 1 < order.size() && all[order[last + 1]] == all[order[first]]) {
            ++last;
        }
        for (std::size_t i = first; i <= last; ++i) {
            ranks.of[order[i]] = static_cast<double>(first + last) / 2 + 1;
        }
        const auto count = static_cast<double>(last - first + 1);
        ranks.ties += count * count * count - count;
        first = last + 1;
    }
    return ranks;
}

/// P(U >= u) for samples of n and m different times: of all arrangements, counted by the times of the second sample
/// that stand before those of the first, how many have that U or more.
double exact_tail(std::size_t n, std::size_t m, double u) {
    // ways[i][v]: arrangements of i of the first with j of the second, U = v; rows of growing j.
    std::vector<std::vector<double>> ways(n + 1, std::vector<double>(n * m + 1, 0));
    for (auto& row : ways) {
        row[0] = 1;  // j = 0
    }
    for (std::size_t j = 1; j <= m; ++j) {
        for (std::size_t i = 1; i <= n; ++i) {
            for (std::size_t v = n * m + 1; v-- > 0;) {
                // the largest is of the first sample: it has all j of the second below it; or it is of the second
                ways[i][v] += v >= j ? ways[i - 1][v - j] : 0;
            }
        }
    }
    double all = 0, tail = 0;
    for (std::size_t v = 0; v <= n * m; ++v) {
        all += ways[n][v];
        tail += static_cast<double>(v) >= u ? ways[n][v] : 0;
    }
    return tail / all;
}

}  // namespace

double percentile(std::span<const double> times, double p) {
    FER_CHECK(p >= 0 && p <= 100, "a percentile lies between 0 and 100, got {}", p);
    const std::vector<double> ascending = sorted(times);
    const auto n = std::ssize(ascending);
    // In float32 as there: of a hundred times and p = 90 that is 10, where float64 has 9.999...
    const float share = 1 - static_cast<float>(p) / 100;
    const auto left_out = static_cast<std::ptrdiff_t>(share * static_cast<float>(n));
    return ascending[static_cast<std::size_t>(std::max<std::ptrdiff_t>(n - 1 - left_out, 0))];
}

double median(std::span<const double> times) { return middle(sorted(times)); }

double relative_iqr(std::span<const double> times) {
    const std::vector<double> ascending = sorted(times);
    return (quantile(ascending, 0.75) - quantile(ascending, 0.25)) / middle(ascending);
}

Interval ratio_interval(std::span<const double> a, std::span<const double> b) {
    FER_CHECK(!a.empty() && !b.empty(), "statistics of no times");
    std::vector<double> ratios;
    ratios.reserve(kDraws);
    for (std::uint64_t draw = 0; draw < kDraws; ++draw) {
        ratios.push_back(drawn_median(a, draw, stream_of("bootstrap a")) /
                         drawn_median(b, draw, stream_of("bootstrap b")));
    }
    std::ranges::sort(ratios);
    return {quantile(ratios, 0.025), quantile(ratios, 0.975)};
}

double mann_whitney(std::span<const double> a, std::span<const double> b) {
    FER_CHECK(!a.empty() && !b.empty(), "statistics of no times");
    const Ranks ranks = rank(a, b);
    const auto n = static_cast<double>(a.size());
    const auto m = static_cast<double>(b.size());
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        sum += ranks.of[i];
    }
    const double u = sum - n * (n + 1) / 2;
    const double larger = std::max(u, n * m - u);
    if (ranks.ties == 0 && std::min(a.size(), b.size()) <= 8) {
        return std::min(1.0, 2 * exact_tail(a.size(), b.size(), larger));
    }
    const double both = n + m;
    const double sigma = std::sqrt(n * m / 12 * (both + 1 - ranks.ties / (both * (both - 1))));
    if (sigma == 0) {
        return 1;
    }
    const double z = (larger - n * m / 2 - 0.5) / sigma;
    return std::min(1.0, std::erfc(z / std::sqrt(2.0)));
}

}  // namespace fer
