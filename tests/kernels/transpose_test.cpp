#include "kernels/transpose.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

struct Extent {
    int rows, columns;
};
const std::vector<Extent> kExtents = {{0, 3},  {3, 0},   {1, 1},   {1, 7},   {7, 1},   {2, 3},    {8, 32},
                                      {9, 32}, {31, 31}, {31, 33}, {32, 31}, {32, 32}, {33, 32},  {33, 65},
                                      {64, 7}, {97, 13}, {9, 64},  {288, 5}, {63, 64}, {65, 129}, {5, 300}};

template <class From, class To>
std::vector<To> transposed(const DeviceArray<From>& x, Extent extent) {
    const DeviceArray<To> y(x.size());
    transpose({.x = x.get(),
               .y = y.get(),
               .rows = extent.rows,
               .columns = extent.columns,
               .from = DTypeOf<From>::value,
               .to = DTypeOf<To>::value},
              nullptr);
    x.expect_unchanged();
    return y.read();
}

template <class From, class To>
void check_pair() {
    for (const Extent extent : kExtents) {
        SCOPED_TRACE(fmt::format("{} x {}", extent.rows, extent.columns));
        const auto rows = static_cast<std::size_t>(extent.rows);
        const auto columns = static_cast<std::size_t>(extent.columns);
        const DeviceArray<From> x(test::uniform(rows * columns, 1, -3, 3));
        std::vector<double> want(rows * columns);
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < columns; ++j) {
                want[j * rows + i] = x.inputs()[i * columns + j];
            }
        }
        EXPECT_TRUE(exactly(transposed<From, To>(x, extent), want));
    }
}

template <class T>
class TransposeKernel : public ::testing::Test {};
using Types = ::testing::Types<float, __half, __nv_bfloat16>;
TYPED_TEST_SUITE(TransposeKernel, Types);

TYPED_TEST(TransposeKernel, SwapsRowsAndColumns) {
    check_pair<TypeParam, float>();
    check_pair<TypeParam, __half>();
    check_pair<TypeParam, __nv_bfloat16>();
}

TYPED_TEST(TransposeKernel, SameBitsUnderEverySchedule) {
    expect_same_bits_always([] {
        const DeviceArray<TypeParam> x(test::small_integers(45 * 37, 2));
        return transposed<TypeParam, float>(x, {45, 37});
    });
}

TEST(TransposeContract, RefusesOtherTypesAndTooManyElements) {
    Transpose a{.x = nullptr, .y = nullptr, .rows = 1, .columns = 1, .from = DType::kI32, .to = DType::kF32};
    EXPECT_THROW(transpose(a, nullptr), UsageError);
    a.from = DType::kF32, a.rows = 1 << 16, a.columns = 1 << 15;
    EXPECT_THROW(transpose(a, nullptr), UsageError);
}

}  // namespace
}  // namespace fer::FER_PORT
