// The emulated CUDA runtime: memory, errors, and what can be injected and counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/core/error.hpp"
#include "kernels/emulator/memory.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/schedule.hpp"
#include "tests/kernels/emulator/defects.hpp"
#include "tests/kernels/port_memory.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::emulated {

namespace {

using test::error_of;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

TEST(Memory, StartsAsNotANumber) {
    const Array<float> x(3);
    for (const float v : x.read()) {
        EXPECT_TRUE(std::isnan(v));
    }
}

TEST(Memory, KindsMustFitTheAddresses) {
    const Array<int> x(std::vector<int>{1, 2, 3});
    int host[3] = {};
    EXPECT_EQ(cudaMemcpy(host, x.get(), 12, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy(x.get(), host, 12, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
    EXPECT_EQ(cudaMemcpy(host, x.get(), 12, cudaMemcpyDefault), cudaSuccess);
    EXPECT_EQ(host[2], 3);
}

TEST(Memory, CopyPastTheEndIsReported) {
    const Array<int> x(3);
    const int host[4] = {};
    EXPECT_THAT(error_of<DeviceError>([&] { FER_CUDA(cudaMemcpy(x.get(), host, 16, cudaMemcpyHostToDevice)); }),
                AllOf(HasSubstr("cudaErrorIllegalAddress"),
                      HasSubstr("cudaMemcpy of 16 bytes writes: global memory 0 bytes past the end of an allocation of "
                                "12 bytes")));
    recover();
}

TEST(Memory, UseAfterFreeIsReported) {
    int* x = nullptr;
    FER_CUDA(cudaMalloc(&x, 400));
    FER_CUDA(cudaFree(x));
    EXPECT_THAT(
        error_of<DeviceError>([&] { trap({.x = x, .n = 100}, Defect::kNone, nullptr); }),
        AllOf(HasSubstr("trap_kernel<(Defect)0>: "), HasSubstr("at warps_and_blocks.cu:"),
              HasSubstr("freed global memory of 400 bytes, offset 0"), HasSubstr("thread (0,0,0) of block (0,0,0)")));
    recover();
    int host = 0;
    EXPECT_THAT(error_of<DeviceError>([&] { FER_CUDA(cudaMemcpy(&host, x, 4, cudaMemcpyDeviceToHost)); }),
                HasSubstr("cudaMemcpy of 4 bytes reads: freed global memory"));
    recover();
    EXPECT_EQ(cudaFree(x), cudaErrorInvalidValue);
}

TEST(Memory, UndefinedBytesStayUndefinedWhenCopied) {
    if (observer == nullptr) {
        GTEST_SKIP() << "only the instrumented build knows";
    }
    const Array<int> x(4);
    const Array<int> y(std::vector<int>(4, 0));
    FER_CUDA(cudaMemcpy(y.get(), x.get(), 16, cudaMemcpyDeviceToDevice));
    EXPECT_THAT(
        error_of<DeviceError>([&] { trap({.x = y.get(), .n = 4}, Defect::kNone, nullptr); }),
        HasSubstr("uninitialised read: thread (0,0,0) of block (0,0,0) reads global memory of 16 bytes, offset 0"));
    recover();
    FER_CUDA(cudaMemset(y.get(), 0, 16));
    trap({.x = y.get(), .n = 4}, Defect::kNone, nullptr);
    forget_content(y.get() + 2, 8);
    EXPECT_THAT(error_of<DeviceError>([&] { trap({.x = y.get(), .n = 4}, Defect::kNone, nullptr); }),
                HasSubstr("offset 8"));
    recover();
}

// 5 GiB of which two pages are touched: what finds byte offsets kept in 32 bits.
TEST(Memory, MayBeSparse) {
    constexpr std::size_t kBytes = std::size_t{5} << 30;
    char* x = nullptr;
    FER_CUDA(cudaMalloc(&x, kBytes));
    int* const last = reinterpret_cast<int*>(x + kBytes - 16);
    const int before = 41;
    FER_CUDA(cudaMemcpy(last, &before, 4, cudaMemcpyHostToDevice));
    trap({.x = last, .n = 1}, Defect::kNone, nullptr);
    int after = 0;
    FER_CUDA(cudaMemcpy(&after, last, 4, cudaMemcpyDeviceToHost));
    EXPECT_EQ(after, 42);
    FER_CUDA(cudaFree(x));
}

TEST(Memory, RunsOutAndComesBack) {
    std::size_t free = 0;
    std::size_t total = 0;
    FER_CUDA(cudaMemGetInfo(&free, &total));
    char* most = nullptr;
    FER_CUDA(cudaMalloc(&most, free));
    void* p = &free;
    EXPECT_EQ(cudaMalloc(&p, 1), cudaErrorMemoryAllocation);
    EXPECT_EQ(p, nullptr);
    EXPECT_THAT(error_of<MemoryError>([&] { FER_CUDA(cudaMalloc(&p, 1)); }), HasSubstr("out of memory"));
    FER_CUDA(cudaFree(most));
    std::size_t free_again = 0;
    FER_CUDA(cudaMemGetInfo(&free_again, &total));
    EXPECT_EQ(free_again, free);
    FER_CUDA(cudaMalloc(&p, 1));
    FER_CUDA(cudaFree(p));
}

TEST(Errors, InjectedIntoTheNthCall) {
    inject({.call = "cudaMalloc", .nth = 2, .error = cudaErrorMemoryAllocation});
    void* a = nullptr;
    void* b = nullptr;
    EXPECT_EQ(cudaMalloc(&a, 16), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&b, 16), cudaErrorMemoryAllocation);
    EXPECT_EQ(cudaMalloc(&b, 16), cudaSuccess);  // once
    EXPECT_EQ(cudaFree(a), cudaSuccess);
    EXPECT_EQ(cudaFree(b), cudaSuccess);
}

TEST(Errors, InjectedIntoALaunch) {
    const Array<int> x(std::vector<int>{0});
    inject({.call = "cudaLaunchKernelEx", .nth = 1, .error = cudaErrorLaunchOutOfResources});
    EXPECT_THAT(error_of<DeviceError>([&] { trap({.x = x.get(), .n = 1}, Defect::kNone, nullptr); }),
                AllOf(HasSubstr("launch of trap_kernel<(Defect)0>"), HasSubstr("cudaErrorLaunchOutOfResources"),
                      HasSubstr("at warps_and_blocks.cu:")));
    trap({.x = x.get(), .n = 1}, Defect::kNone, nullptr);
    EXPECT_EQ(x.read()[0], 1);
}

TEST(Errors, StickyOnesEndEverythingUntilReset) {
    const Array<int> x(std::vector<int>{0});
    inject({.call = "cudaMemcpyAsync", .nth = 1, .error = cudaErrorECCUncorrectable, .sticky = true});
    int host = 0;
    EXPECT_EQ(cudaMemcpyAsync(&host, x.get(), 4, cudaMemcpyDeviceToHost, nullptr), cudaErrorECCUncorrectable);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorECCUncorrectable);
    EXPECT_EQ(cudaGetLastError(), cudaErrorECCUncorrectable);
    EXPECT_EQ(cudaGetLastError(), cudaErrorECCUncorrectable);  // not even asking clears it
    EXPECT_EQ(fault_report(), "error injected into cudaMemcpyAsync");
    recover();
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(x.read()[0], 0);
}

TEST(Errors, OrdinaryOnesAreForgottenWhenAsked) {
    EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(Device, TellsItsLimits) {
    cudaDeviceProp properties{};
    FER_CUDA(cudaGetDeviceProperties(&properties, 0));
    EXPECT_EQ(properties.major, 9);
    EXPECT_EQ(properties.sharedMemPerBlockOptin, std::size_t{227} << 10);
    int value = 0;
    FER_CUDA(cudaDeviceGetAttribute(&value, cudaDevAttrMaxThreadsPerBlock, 0));
    EXPECT_EQ(value, 1024);
    EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
}

TEST(Device, CountsWhatItDoes) {
    const Counters before = counters();
    const Array<int> x(std::vector<int>{0});
    trap({.x = x.get(), .n = 1}, Defect::kNone, nullptr);
    trap({.x = x.get(), .n = 1}, Defect::kNone, nullptr);
    EXPECT_EQ(counters().allocations - before.allocations, 1u);
    EXPECT_EQ(counters().launches - before.launches, 2u);
    EXPECT_EQ(counters().copies - before.copies, 1u);
}

TEST(Schedule, IsWrittenAndReadAlike) {
    const Schedule s{.order = Order::kGreedy, .landing = Landing::kAtIssue, .streams = Streams::kDeferred, .seed = 7};
    EXPECT_EQ(s.str(), "order=greedy,async=issue,streams=deferred,seed=7");
    EXPECT_EQ(Schedule::parse(s.str()), s);
    EXPECT_EQ(Schedule::parse(""), Schedule{});
    EXPECT_EQ(Schedule::parse("seed=3"), (Schedule{.seed = 3}));
    EXPECT_THAT(error_of<UsageError>([] { Schedule::parse("order=backward"); }),
                HasSubstr("'backward' is not a value of 'order' /  / one of forward, reverse, random, greedy"));
    EXPECT_THAT(error_of<UsageError>([] { Schedule::parse("speed=1"); }), HasSubstr("unknown key 'speed'"));
    EXPECT_THAT(error_of<UsageError>([] { Schedule::parse("seed=x"); }), HasSubstr("'x' is no seed"));
}

// The determinism lint: bits that depend on the schedule depend on the hardware's mood as well.
TEST(Schedule, ShowsSumsThatDependOnTheOrderOfBlocks) {
    std::vector<float> x(4096);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = std::sin(static_cast<float>(i));
    }
    const auto sums_of = [&](bool ordered) {
        std::vector<float> sums;
        for (std::uint64_t seed = 1; seed <= 8; ++seed) {
            const ScopedSchedule scoped({.order = Order::kRandom, .seed = seed});
            const Array<float> in(x);
            const Array<float> out(std::vector<float>(1, 0.0f));
            const Array<float> partial(16);
            const Array<unsigned> counter(std::vector<unsigned>{0});
            if (ordered) {
                sum_of_blocks({.x = in.get(),
                               .out = out.get(),
                               .partial = partial.get(),
                               .counter = counter.get(),
                               .n = 4096,
                               .blocks = 16},
                              Defect::kNone, nullptr);
            } else {
                atomic_sum({.x = in.get(), .out = out.get(), .n = 4096});
            }
            sums.push_back(out.read()[0]);
        }
        std::sort(sums.begin(), sums.end());
        return std::unique(sums.begin(), sums.end()) - sums.begin();
    };
    EXPECT_EQ(sums_of(true), 1);
    EXPECT_GT(sums_of(false), 1);
}

}  // namespace

}  // namespace fer::emulated
