#include "engine/measure/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

namespace fer {
namespace {

/// Work of one core for so many seconds of processor time.
void work(double seconds) {
    const double start = busy_seconds().process;
    volatile double sum = 0;
    while (busy_seconds().process - start < seconds) {
        for (int i = 0; i < 100'000; ++i) {
            sum = sum + 1;
        }
    }
}

TEST(Machine, PeakMemoryIsWhatWasTouched) {
    const std::int64_t before = peak_resident_bytes();
    ASSERT_GT(before, 0);
    constexpr std::size_t kMore = std::size_t{256} << 20;
    { const std::vector<char> touched(kMore, 'x'); }
    EXPECT_GE(peak_resident_bytes(), static_cast<std::int64_t>(kMore)) << "of a process that held so much";
    EXPECT_GE(peak_resident_bytes(), before);
}

TEST(Machine, AvailableMemoryIsPartOfTheMachines) {
    EXPECT_GT(available_bytes(), 0);
    EXPECT_LT(available_bytes(), std::int64_t{1} << 50);
}

TEST(Machine, BusySecondsCountThisProcessToo) {
    const BusySeconds before = busy_seconds();
    work(0.1);
    const BusySeconds after = busy_seconds();
    EXPECT_GE(after.process - before.process, 0.1);
    EXPECT_GT(after.machine, before.machine);
}

TEST(GpuState, KnowsWhatTheLibrarySays) {
    ::setenv("FER_NVML", FAKE_NVML, 1);
    const GpuState gpu;
    ::unsetenv("FER_NVML");
    EXPECT_EQ(gpu.driver(), "580.65");
    EXPECT_EQ(gpu.uuid(), "GPU-0123");
    EXPECT_EQ(gpu.sm_clock_mhz(), 1980u);
    EXPECT_EQ(gpu.memory_clock_mhz(), 3201u);
    EXPECT_EQ(gpu.power_limit_watts(), 700.0);
    EXPECT_EQ(gpu.ecc(), true);
    EXPECT_EQ(gpu.mig(), std::nullopt) << "this GPU has no such mode";
    EXPECT_EQ(gpu.throttled(), "the power limit, heat (hardware)");
    const double before = gpu.energy_joules().value();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_GE(gpu.energy_joules().value() - before, 0.2) << "ten watts for a fiftieth of a second";
}

TEST(GpuState, KnowsNothingWithoutTheLibrary) {
    ::setenv("FER_NVML", "no-such-library.so", 1);
    const GpuState gpu;
    ::unsetenv("FER_NVML");
    EXPECT_EQ(gpu.energy_joules(), std::nullopt);
    EXPECT_EQ(gpu.sm_clock_mhz(), std::nullopt);
    EXPECT_EQ(gpu.driver(), std::nullopt);
    EXPECT_EQ(gpu.uuid(), std::nullopt);
    EXPECT_EQ(gpu.throttled(), "");
}

}  // namespace
}  // namespace fer
