#include "kernels/dropout.hpp"

#include "kernels/clock.hpp"
#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

static_assert(int{kSeedWord} == int{kClockSeed} && int{kStepWord} == int{kClockStep} &&
              int{kCursorWord} == int{kClockCursor} && int{kClockWords} == int{kClockFields});

const std::vector<std::int64_t> kCounts = {0,  1,  2,   3,   4,   5,   7,   8,   9,   15,   31,   32,   33,
                                           63, 97, 127, 255, 256, 257, 511, 513, 999, 1024, 2047, 2049, 4099};

DeviceArray<std::int64_t> clock_of(std::int64_t seed, std::int64_t step) {
    return DeviceArray<std::int64_t>::of({seed, step, 0, 0});
}

template <class T>
void drop(const DeviceArray<T>& x, T* y, const DeviceArray<std::int64_t>& clock, float rate) {
    dropout({.x = x.get(),
             .y = y,
             .clock = clock.get(),
             .count = static_cast<std::int64_t>(x.size()),
             .rate = rate,
             .stream = 77,
             .dtype = DTypeOf<T>::value},
            nullptr);
}

template <class T>
class DropoutKernel : public ::testing::Test {};
TYPED_TEST_SUITE(DropoutKernel, StorageTypes);

TYPED_TEST(DropoutKernel, EqualsTheCpuBitForBit) {
    const auto clock = clock_of(0x123456789abcdef, 0x1ffffffff);
    for (const float rate : {0.0f, 0.25f, 0.5f, 0.9f}) {
        for (const std::int64_t count : kCounts) {
            SCOPED_TRACE(fmt::format("rate {}, {} elements", rate, count));
            const DeviceArray<TypeParam> x(test::uniform(static_cast<std::size_t>(count), 1));
            DeviceArray<TypeParam> y(x.size());
            drop(x, y.get(), clock, rate);
            std::vector<double> want;
            const RandomStream random(0x123456789abcdef, 0x1ffffffff, 77);
            const float scale = 1.0f / (1.0f - rate);
            for (std::size_t i = 0; i < x.size(); ++i) {
                const bool kept = random.uniform(i) >= rate;
                want.push_back(kept ? static_cast<double>(static_cast<float>(x.inputs()[i]) * scale) : 0.0);
            }
            EXPECT_TRUE(exactly(y.read(), want));
            x.expect_unchanged();
            drop(x, x.get(), clock, rate);
            EXPECT_TRUE(exactly(x.read(), want)) << "in place";
        }
    }
}

TYPED_TEST(DropoutKernel, ADrawEqualToTheRateIsKept) {
    const DeviceArray<TypeParam> x(std::vector<double>(9, 1.0)), y(9);
    const float rate = RandomStream(1, 2, 77).uniform(5);
    drop(x, y.get(), clock_of(1, 2), rate);
    EXPECT_TRUE(exactly(std::vector<TypeParam>{y.read()[5]}, {1.0 / (1.0 - static_cast<double>(rate))}));
}

TYPED_TEST(DropoutKernel, MatchesReferenceOp) {
    for (const std::int64_t count : {5, 1000}) {
        const DeviceArray<TypeParam> x(test::uniform(static_cast<std::size_t>(count), 2));
        const auto want = test::run_reference(OpKind::kDropout, DropoutAttrs{.rate = 0.5f, .stream = 77},
                                              {tensor_of(Shape{count}, x), test::clock_tensor(5, 6)});
        DeviceArray<TypeParam> y(x.size());
        drop(x, y.get(), clock_of(5, 6), 0.5f);
        EXPECT_TRUE(exactly(y.read(), want.out[0].values));  // times two: exact
    }
}

TYPED_TEST(DropoutKernel, UnalignedTensorsGiveTheSameMask) {
    const DeviceArray<TypeParam> x(std::vector<double>(100, 1.0)), y(101);
    drop(x, y.get() + 1, clock_of(1, 2), 0.5f);
    const RandomStream random(1, 2, 77);
    const std::vector<TypeParam> got = y.read();
    for (std::size_t i = 0; i < 100; ++i) {
        EXPECT_EQ(as_double(got[i + 1]), random.uniform(i) >= 0.5f ? 2.0 : 0.0);
    }
}

TYPED_TEST(DropoutKernel, SameBitsUnderEverySchedule) {
    expect_same_bits_always([&] {
        const DeviceArray<TypeParam> x(test::uniform(777, 3)), y(777);
        drop(x, y.get(), clock_of(3, 4), 0.25f);
        return y.read();
    });
}

TEST(DropoutContract, RefusesRatesOutsideItsRange) {
    const DeviceArray<float> x(std::vector<double>(4, 1.0));
    EXPECT_THROW(drop(x, x.get(), clock_of(1, 1), 1.0f), UsageError);
    EXPECT_THROW(drop(x, x.get(), clock_of(1, 1), -0.5f), UsageError);
    EXPECT_THROW(drop(x, x.get(), clock_of(1, 1), NAN), UsageError);
}

}  // namespace
}  // namespace fer::FER_PORT
