// Comparing a kernel with the CPU reference in float64, for kernels that compute one op of the graph.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "tests/kernels/device_array.hpp"
#include "tests/kernels/port_schedules.hpp"
#include "tests/support/op_runner.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::FER_PORT {

using StorageTypes = ::testing::Types<float, __half, __nv_bfloat16>;

/// Half a unit in the last place of 1, and of the smallest subnormal number.
template <class T>
inline constexpr double kStoredRound = std::is_same_v<T, float>    ? 0x1p-24
                                       : std::is_same_v<T, __half> ? 0x1p-11
                                                                   : 0x1p-8;
template <class T>
inline constexpr double kStoredTiny = std::is_same_v<T, float>    ? 0x1p-150
                                      : std::is_same_v<T, __half> ? 0x1p-25
                                                                  : 0x1p-134;

/// A float32 result within `t` that is then rounded to T.
template <class T>
test::Tolerance stored_as(const test::Tolerance& t) {
    if constexpr (std::is_same_v<T, float>) {
        return t;
    }
    return {t.absolute * (1 + kStoredRound<T>)+kStoredTiny<T>, t.relative + kStoredRound<T> * (1 + t.relative)};
}

/// A sum of `terms` float32 products, each at most `scale`, rounded to T: float_sum() and then the storage.
template <class T>
test::Tolerance stored_sum(std::int64_t terms, double scale = 1.0) {
    return stored_as<T>(test::float_sum(terms, scale));
}

/// Equal after rounding the wanted values to T; two NaN are equal.
template <class T>
::testing::AssertionResult exactly(const std::vector<T>& got, const std::vector<double>& want) {
    if (got.size() != want.size()) {
        return ::testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
    }
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double g = as_double(got[i]);
        const double w = as_double(stored<T>(want[i]));
        if (!(g == w || (std::isnan(g) && std::isnan(w)))) {
            return ::testing::AssertionFailure() << "[" << i << "] got " << g << " want " << w;
        }
    }
    return ::testing::AssertionSuccess();
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// run() launches into fresh outputs and returns what it got: the same bits, whatever the order of the threads.
template <class Run>
void expect_same_bits_always(Run run) {
    using Result = decltype(run());
    std::optional<Result> first;
    under_every_schedule([&] {
        const Result result = run();
        if (!first) {
            first = result;
        }
        EXPECT_TRUE(same_bits(*first, result));
    });
}

/// The tensor a kernel reads, as the reference reads it.
template <class T>
test::Tensor tensor_of(const Shape& shape, const DeviceArray<T>& array) {
    return {shape, array.inputs(), DType::kF64};
}

inline int as_int(std::int64_t v) { return static_cast<int>(v); }

}  // namespace fer::FER_PORT
