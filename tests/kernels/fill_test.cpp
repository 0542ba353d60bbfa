#include "kernels/fill.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<std::int64_t> kCounts = {0,  1,   2,   3,   7,   16,  31,  32,  33,   63,  64,
                                           65, 127, 128, 255, 256, 257, 511, 512, 1023, 4099};

TEST(FillKernel, WritesOneNumberEverywhere) {
    for (const std::int64_t count : kCounts) {
        for (const float value : {1.0f, -0.0f, INFINITY, 1e-40f}) {
            SCOPED_TRACE(fmt::format("{} times {}", count, value));
            const DeviceArray<float> y(static_cast<std::size_t>(count));
            fill({.y = y.get(), .count = count, .value = value}, nullptr);
            const std::vector<float> got = y.read();
            for (const float v : got) {
                ASSERT_EQ(std::memcmp(&v, &value, sizeof v), 0);
            }
        }
    }
}

TEST(FillKernel, SameBitsUnderEverySchedule) {
    expect_same_bits_always([&] {
        const DeviceArray<float> y(777);
        fill({.y = y.get(), .count = 777, .value = 0.1f}, nullptr);
        return y.read();
    });
}

}  // namespace
}  // namespace fer::FER_PORT
