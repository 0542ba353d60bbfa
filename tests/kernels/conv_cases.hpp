// What the tests of convolutions and dense layers share: shapes, ways to multiply, the double reference on the numbers
// as the kernel sees them, and bounds.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "kernels/conv2d.hpp"
#include "tests/kernels/reference_case.hpp"
#include "tests/support/op_runner.hpp"
#include "tests/support/shapes.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::FER_PORT {

/// A storage type and what is done with it.
enum class Arithmetic { kF32, kTf32, kF16, kBF16 };
inline constexpr Arithmetic kArithmetics[] = {Arithmetic::kF32, Arithmetic::kTf32, Arithmetic::kF16, Arithmetic::kBF16};

inline const char* name_of(Arithmetic a) {
    constexpr const char* kNames[] = {"f32", "tf32", "f16", "bf16"};
    return kNames[static_cast<int>(a)];
}
inline DType dtype_of(Arithmetic a) {
    return a == Arithmetic::kF16 ? DType::kF16 : a == Arithmetic::kBF16 ? DType::kBF16 : DType::kF32;
}

/// body(T{}) with the storage type.
template <class Body>
void with_storage(Arithmetic a, Body body) {
    switch (dtype_of(a)) {
        case DType::kF16:
            return body(__half{});
        case DType::kBF16:
            return body(__nv_bfloat16{});
        default:
            return body(float{});
    }
}

/// body(T{}, arithmetic) for each of them.
template <class Body>
void for_arithmetics(Body body) {
    for (const Arithmetic a : kArithmetics) {
        SCOPED_TRACE(name_of(a));
        with_storage(a, [&]<class T>(T) { body(T{}, a); });
    }
}

/// A float32 sum of `terms` products whose magnitudes add up to `magnitude`, in any order: rounding errors of random
/// sign grow like sqrt(terms), at most 2^-24 of the magnitude each; 8 is headroom for short sums and for the tensor
/// cores, which truncate. tf32 rounds both factors of every product by up to 2^-11.
inline double sum_error(Arithmetic a, double terms, double magnitude) {
    const double factors = a == Arithmetic::kTf32 ? 0x1p-10 + 0x1p-22 : 0.0;
    return ((8 + 2 * std::sqrt(terms)) * test::kRoundFloat + factors) * magnitude;
}

/// Every element within `sum_error` of the reference plus the rounding to storage; `magnitudes` belong to `want`.
template <class T>
::testing::AssertionResult within(const std::vector<double>& got, const std::vector<double>& want,
                                  const std::vector<double>& magnitudes, double terms, Arithmetic a) {
    if (got.size() != want.size() || want.size() != magnitudes.size()) {
        return ::testing::AssertionFailure() << got.size() << ", " << want.size() << ", " << magnitudes.size();
    }
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double error = sum_error(a, terms, magnitudes[i]);
        const double allowed = error + kStoredRound<T> * (std::abs(want[i]) + error) + kStoredTiny<T>;
        if (!(std::abs(got[i] - want[i]) <= allowed)) {
            return ::testing::AssertionFailure()
                   << fmt::format("[{}] got {} want {} (allowed {})", i, got[i], want[i], allowed);
        }
    }
    return ::testing::AssertionSuccess();
}

/// What storing does to exact results.
template <class T>
std::vector<double> rounded(std::vector<double> values) {
    for (double& v : values) {
        v = as_double(stored<T>(v));
    }
    return values;
}

inline std::vector<double> absolute(std::vector<double> values) {
    for (double& v : values) {
        v = std::abs(v);
    }
    return values;
}

inline Conv2dShape geometry(const test::ConvShape& s) {
    const auto extent = [](std::int64_t e) { return static_cast<int>(e); };
    const Window rows = window_of(s.h, s.kernel, s.stride, s.padding);
    const Window columns = window_of(s.w, s.kernel, s.stride, s.padding);
    return {.n = extent(s.n),
            .h = extent(s.h),
            .w = extent(s.w),
            .c = extent(s.c),
            .kh = extent(s.kernel),
            .kw = extent(s.kernel),
            .k = extent(s.k),
            .stride = s.stride,
            .top = extent(rows.before),
            .left = extent(columns.before),
            .p = extent(rows.out),
            .q = extent(columns.out)};
}
inline Shape x_shape(const Conv2dShape& s) { return {s.n, s.h, s.w, s.c}; }
inline Shape w_shape(const Conv2dShape& s) { return {s.kh, s.kw, s.c, s.k}; }
inline Shape y_shape(const Conv2dShape& s) { return {s.n, s.p, s.q, s.k}; }

/// The reference in float64.
inline std::vector<std::vector<double>> reference(OpKind kind, const Attributes& attrs,
                                                  const std::vector<std::pair<Shape, std::vector<double>>>& in) {
    std::vector<test::Tensor> tensors;
    for (const auto& [shape, values] : in) {
        tensors.push_back({shape, values, DType::kF64});
    }
    std::vector<std::vector<double>> out;
    for (test::Tensor& t : test::run_reference(kind, attrs, tensors).out) {
        out.push_back(std::move(t.values));
    }
    return out;
}

/// Layers of the networks with few pixels, and everything awkward: what an emulator does in a second.
inline std::vector<test::ConvShape> kernel_conv_shapes() {
    constexpr auto kSame = Padding::kSame;
    constexpr auto kValid = Padding::kValid;
    return {
        {1, 12, 12, 1, 32, 3},              // first layer
        {1, 9, 9, 3, 64, 7, 2, kSame},      // stem of the large networks
        {1, 10, 10, 32, 64, 3},             // custom_cnn, second
        {2, 5, 5, 64, 128, 3},              // third
        {1, 6, 6, 64, 136, 3, 1, kValid},   // fourth, narrowed; columns past the second tile
        {1, 7, 7, 64, 32, 5},               // new_model, narrowed
        {2, 11, 11, 96, 64, 1, 1, kValid},  // separable_cnn, pointwise
        {2, 6, 6, 64, 128, 1, 2, kSame},    // residual_cnn, shortcut
        {2, 9, 8, 32, 64, 3, 2, kSame},     // downsampling; the padding differs by side
        {1, 1, 1, 1, 1, 1},                 // smallest
        {1, 1, 1, 3, 5, 3},                 // kernel larger than the image
        {1, 2, 3, 1, 1, 5},                 //
        {3, 7, 13, 5, 17, 3},               // primes
        {1, 13, 7, 17, 5, 2, 2, kSame},     //
        {2, 8, 7, 3, 32, 3, 2, kSame},      //
        {2, 7, 8, 3, 32, 3, 2, kValid},     // a row is left over
        {1, 9, 9, 32, 16, 5, 2, kSame},     //
        {2, 10, 6, 17, 3, 5, 1, kValid},    //
        {2, 6, 6, 5, 7, 1, 2, kValid},      // kernel smaller than the stride: most of dx is zero
        {1, 9, 11, 1, 3, 2, 3, kSame},      //
        {5, 4, 4, 33, 31, 3},               // one off a vector
        {1, 4, 4, 4, 8, 3},                 // a vector of f32, not of f16
        {1, 5, 5, 8, 12, 3},                //
        {129, 1, 1, 8, 8, 1},               // one row past a tile
    };
}

/// The longest sum of any direction.
inline double most_terms(const Conv2dShape& s) {
    return std::max({1.0 * s.kh * s.kw * s.c, 1.0 * s.kh * s.kw * s.k, 1.0 * s.n * s.p * s.q});
}

}  // namespace fer::FER_PORT
