#include "kernels/cast.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<std::int64_t> kCounts = {0,  1,  2,  3,   7,   8,   9,   15,  16,  17,   31,  32,
                                           33, 63, 65, 255, 256, 257, 511, 513, 997, 1024, 4099};

template <class From, class To>
std::vector<To> converted(const DeviceArray<From>& x, std::size_t shift = 0) {
    const DeviceArray<To> y(x.size() + shift);
    cast({.x = x.get(),
          .y = y.get() + shift,
          .count = static_cast<std::int64_t>(x.size()),
          .from = DTypeOf<From>::value,
          .to = DTypeOf<To>::value},
         nullptr);
    x.expect_unchanged();
    const std::vector<To> got = y.read();
    return {got.begin() + static_cast<std::ptrdiff_t>(shift), got.end()};
}

/// What storing the value in T gives: to bytes, nearest and clamped.
template <class T>
std::vector<double> wanted(std::vector<double> values) {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
        for (double& v : values) {
            v = std::isnan(v) ? 0 : std::clamp(std::nearbyint(v), 0.0, 255.0);
        }
    }
    return values;
}

std::vector<double> values_of(std::int64_t count) {
    std::vector<double> values = test::uniform(static_cast<std::size_t>(count), 1, -20, 300);
    const double special[] = {0,    -0.0,  0.5,     1.5,     2.5, 254.5,    255.5,     65504, 65520,
                              1e30, -1e30, 0x1p-24, 0x1p-25, NAN, INFINITY, -INFINITY, 1e-40, 3.3895e38};
    for (std::size_t i = 0; i < values.size(); i += 2) {
        values[i] = special[i / 2 % 18];
    }
    return values;
}

template <class From, class To>
void check_pair() {
    for (const std::int64_t count : kCounts) {
        SCOPED_TRACE(count);
        std::vector<double> values = values_of(count);
        if constexpr (std::is_same_v<From, std::uint8_t>) {
            values = wanted<From>(values);
        }
        const DeviceArray<From> x(values);
        const std::vector<double> want = wanted<To>(x.inputs());
        EXPECT_TRUE(exactly(converted<From, To>(x), want));
        EXPECT_TRUE(exactly(converted<From, To>(x, 1), want)) << "unaligned";
    }
}

template <class T>
class CastKernel : public ::testing::Test {};
using Types = ::testing::Types<float, __half, __nv_bfloat16, std::uint8_t>;
TYPED_TEST_SUITE(CastKernel, Types);

TYPED_TEST(CastKernel, RoundsToNearestEven) {
    check_pair<TypeParam, float>();
    check_pair<TypeParam, __half>();
    check_pair<TypeParam, __nv_bfloat16>();
    check_pair<TypeParam, std::uint8_t>();
}

TYPED_TEST(CastKernel, SameBitsUnderEverySchedule) {
    expect_same_bits_always([&] {
        const DeviceArray<TypeParam> x(test::small_integers(601, 2));
        return converted<TypeParam, __half>(x);
    });
}

TEST(CastContract, RefusesOtherTypes) {
    EXPECT_THROW(cast({.x = nullptr, .y = nullptr, .count = 1, .from = DType::kI32, .to = DType::kF32}, nullptr),
                 UsageError);
}

}  // namespace
}  // namespace fer::FER_PORT
