// The second stage of split sums.
#include "kernels/sum_partials.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

struct Case {
    int parts, count, gap;  // columns of a row that are not used
};
constexpr Case kCases[] = {{1, 1, 0},   {1, 31, 0},  {1, 32, 0},  {1, 33, 1},   {2, 1, 3},    {7, 5, 0},   {8, 32, 0},
                           {9, 33, 0},  {16, 64, 7}, {17, 63, 0}, {31, 65, 0},  {32, 7, 2},   {33, 97, 0}, {5, 255, 0},
                           {6, 256, 1}, {3, 257, 0}, {64, 3, 0},  {128, 13, 0}, {512, 9, 10}, {2, 513, 0}, {0, 40, 0}};

template <class T>
std::vector<T> summed(const DeviceArray<float>& partials, const Case& s) {
    const DeviceArray<T> out(static_cast<std::size_t>(s.count));
    sum_partials({.partials = partials.get(),
                  .out = out.get(),
                  .parts = s.parts,
                  .count = s.count,
                  .pitch = s.count + s.gap,
                  .out_dtype = DTypeOf<T>::value},
                 nullptr);
    partials.expect_unchanged();
    return out.read();
}

template <class T>
class SumPartialsKernel : public ::testing::Test {};
TYPED_TEST_SUITE(SumPartialsKernel, StorageTypes);

TYPED_TEST(SumPartialsKernel, IntegersAreExactOthersClose) {
    for (const Case& s : kCases) {
        SCOPED_TRACE(fmt::format("{} parts of {} and {}", s.parts, s.count, s.gap));
        const auto pitch = static_cast<std::size_t>(s.count + s.gap);
        for (const bool integers : {true, false}) {
            const std::size_t size = static_cast<std::size_t>(s.parts) * pitch;
            std::vector<double> values = integers ? test::small_integers(size, 1) : test::uniform(size, 2);
            std::vector<double> want(static_cast<std::size_t>(s.count));
            for (std::size_t i = 0; i < size; ++i) {
                if (i % pitch < want.size()) {
                    want[i % pitch] += static_cast<double>(static_cast<float>(values[i]));
                } else {
                    values[i] = NAN;
                }
            }
            const std::vector<TypeParam> got = summed<TypeParam>(DeviceArray<float>(values), s);
            EXPECT_TRUE(
                integers ? exactly(got, want)
                         : test::close(DeviceArray<TypeParam>::of(got).inputs(), want, stored_sum<TypeParam>(s.parts)));
        }
    }
}

TYPED_TEST(SumPartialsKernel, SameBitsUnderEverySchedule) {
    const DeviceArray<float> partials(test::uniform(40 * 50, 3));
    expect_same_bits_always([&] { return summed<TypeParam>(partials, {40, 45, 5}); });
}

}  // namespace
}  // namespace fer::FER_PORT
