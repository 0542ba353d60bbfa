// launch(): the empty case, the limits, and what an error says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "engine/core/error.hpp"
#include "kernels/port/launch.hpp"
#include "tests/kernels/port/primitives.hpp"
#include "tests/kernels/port_memory.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::FER_PORT {

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Launch, CoversEveryElement) {
    for (const unsigned n : {1u, 31u, 32u, 33u, 255u, 256u, 257u, 1000003u}) {
        const Array<unsigned> x(n);
        iota({.x = x.get(), .n = n, .dynamic_shared = 0}, 256, nullptr);
        std::vector<unsigned> want(n);
        std::iota(want.begin(), want.end(), 0u);
        EXPECT_EQ(x.read(), want);
    }
}

TEST(Launch, OfNothingIsNothing) {
    EXPECT_EQ(over(0).grid.x, 0u);
    iota({.x = nullptr, .n = 0, .dynamic_shared = 0}, 256, nullptr);
}

TEST(Launch, RefusesWhatCannotBeIndexed) {
    EXPECT_EQ(over((std::int64_t{1} << 31) - 1).block.x, 256u);
    EXPECT_THAT(test::error_of<UsageError>([] { over(std::int64_t{1} << 31); }),
                HasSubstr("a kernel over 2147483648 elements"));
    EXPECT_THAT(test::error_of<UsageError>([] { over(-1); }), HasSubstr("-1 elements"));
}

TEST(Launch, GivesSharedMemoryAbove48KiB) {
    const Array<unsigned> x(64);
    for (const unsigned kib : {100u, 48u, 160u}) {
        iota({.x = x.get(), .n = 64, .dynamic_shared = kib << 10}, 64, nullptr);
        EXPECT_EQ(x.read()[63], 63u) << kib << " KiB";
    }
}

TEST(Launch, RefusesMoreSharedMemoryThanThereIs) {
    const Array<unsigned> x(64);
    EXPECT_THAT(
        test::error_of<DeviceError>([&] { iota({.x = x.get(), .n = 64, .dynamic_shared = 1u << 20}, 64, nullptr); }),
        AllOf(HasSubstr("launch of "), HasSubstr("iota_kernel"), HasSubstr("1048576 bytes of dynamic shared"),
              HasSubstr("at primitives.cu:")));
    iota({.x = x.get(), .n = 64, .dynamic_shared = 0}, 64, nullptr);  // the device is none the worse
    EXPECT_EQ(x.read()[63], 63u);
}

TEST(Launch, RefusesBlocksThatAreTooLarge) {
    const Array<unsigned> x(64);
    EXPECT_THAT(test::error_of<DeviceError>([&] { iota({.x = x.get(), .n = 64, .dynamic_shared = 0}, 1056, nullptr); }),
                AllOf(HasSubstr("block (1056,1,1)"), HasSubstr("cudaErrorInvalid")));
}

TEST(Check, SaysTheCallTheCodeAndThePlace) {
    EXPECT_THAT(test::error_of<DeviceError>([] { FER_CUDA(cudaErrorInvalidValue); }),
                AllOf(HasSubstr("cudaErrorInvalidValue failed: cudaErrorInvalidValue (invalid argument)"),
                      HasSubstr("at launch_test.cpp:")));
    EXPECT_THAT(test::error_of<MemoryError>([] { FER_CUDA(cudaErrorMemoryAllocation); }), HasSubstr("out of memory"));
}

}  // namespace

}  // namespace fer::FER_PORT
