// Every seeded defect is found, with the report that a person needs; the same kernels without a defect raise none.
//
// In the instrumented build one run under any schedule is enough. The plain build sees a wrong result, a fault, or a
// report, under the schedules named here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "engine/core/error.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/schedule.hpp"
#include "kernels/port/check.hpp"
#include "kernels/port/convert.hpp"
#include "kernels/port/runtime.hpp"
#include "tests/kernels/emulator/defects.hpp"
#include "tests/kernels/port_memory.hpp"
#include "tests/kernels/port_schedules.hpp"

namespace fer::emulated {

namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// Each case returns whether the result is right; faults throw.

bool run_block_sum(Defect defect, int n = 5000) {
    constexpr int kBlocks = 3;
    std::vector<float> x(static_cast<std::size_t>(n));
    std::iota(x.begin(), x.end(), 1.0f);
    const Array<float> in(x);
    const Array<float> out(kBlocks);
    block_sum({.x = in.get(), .out = out.get(), .n = n, .blocks = kBlocks}, defect, nullptr);
    const std::vector<float> sums = out.read();
    return sums[0] + sums[1] + sums[2] == static_cast<float>(n) * static_cast<float>(n + 1) / 2;
}

bool run_spread(Defect defect) {
    std::vector<float> x(256);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = i < 128 ? 3.0f : 5.0f;  // mean 4, mean deviation 1
    }
    const Array<float> in(x);
    const Array<float> out(1);
    block_sum({.x = in.get(), .out = out.get(), .n = 256, .blocks = 1}, defect, nullptr);
    return out.read()[0] == 1.0f;
}

bool run_transpose(Defect defect) {
    constexpr std::size_t kRows = 40;
    constexpr std::size_t kCols = 50;
    std::vector<float> x(kRows * kCols);
    std::iota(x.begin(), x.end(), 0.0f);
    const Array<float> in(x);
    const Array<float> out(x.size());
    transpose({.in = in.get(), .out = out.get(), .rows = kRows, .cols = kCols}, defect, nullptr);
    const std::vector<float> y = out.read();
    for (std::size_t r = 0; r < kRows; ++r) {
        for (std::size_t c = 0; c < kCols; ++c) {
            if (!(y[c * kRows + r] == x[r * kCols + c])) {
                return false;
            }
        }
    }
    return true;
}

struct Sizes {
    int m, n, k;
};

// Small integers: every partial sum is exact, so the product is compared bit for bit.
bool run_multiply(Defect defect, Sizes s) {
    const auto count = [](int rows, int cols) {
        return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
    };
    const auto value = [](std::size_t i) { return static_cast<float>(static_cast<int>(i * 7 % 11) - 5); };
    std::vector<__half> a(count(s.m, s.k));
    std::vector<__half> b(count(s.n, s.k));
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = from_float<__half>(value(i));
    }
    for (std::size_t i = 0; i < b.size(); ++i) {
        b[i] = from_float<__half>(value(i * i + 3));
    }
    const Array<__half> da(a);
    const Array<__half> db(b);
    const Array<float> dc(count(s.m, s.n));
    multiply({.a = da.get(), .b = db.get(), .c = dc.get(), .m = s.m, .n = s.n, .k = s.k}, defect, nullptr);
    const std::vector<float> c = dc.read();
    for (int row = 0; row < s.m; ++row) {
        for (int col = 0; col < s.n; ++col) {
            float sum = 0;
            for (int k = 0; k < s.k; ++k) {
                sum += to_float(a[count(row, s.k) + static_cast<std::size_t>(k)]) *
                       to_float(b[count(col, s.k) + static_cast<std::size_t>(k)]);
            }
            if (!(c[count(row, s.n) + static_cast<std::size_t>(col)] == sum)) {
                return false;
            }
        }
    }
    return true;
}

bool run_copy_vectors(Defect defect) {
    std::vector<float> x(404);
    std::iota(x.begin(), x.end(), 0.0f);
    const Array<float> in(x);
    const Array<float> out(400);
    copy_vectors({.x = in.get(), .y = out.get(), .n = 400}, defect, nullptr);
    return out.read()[399] == 399.0f;
}

bool run_copy_triples() {
    std::vector<float> x(300);
    std::iota(x.begin(), x.end(), 0.0f);
    const Array<float> in(x);
    const Array<float> out(300);
    copy_triples({.x = in.get(), .y = out.get(), .n = 300}, nullptr);
    return out.read() == x;
}

bool run_rotate(Defect defect) {
    std::vector<int> x(64);
    std::iota(x.begin(), x.end(), 100);
    const Array<int> in(x);
    const Array<int> out(64);
    rotate_in_warp({.x = in.get(), .y = out.get()}, defect, nullptr);
    const std::vector<int> y = out.read();
    for (std::size_t i = 0; i < 64; ++i) {
        if (y[i] != x[i / 16 * 16 + (i + 1) % 16]) {
            return false;
        }
    }
    return true;
}

bool run_sum_of_blocks(Defect defect) {
    constexpr int kBlocks = 5;
    std::vector<float> x(1000, 1.0f);
    const Array<float> in(x);
    const Array<float> out(1);
    const Array<float> partial(kBlocks);
    const Array<unsigned> counter(std::vector<unsigned>{0});
    for (int launch = 0; launch < 2; ++launch) {  // the counter is left as it was found
        sum_of_blocks({.x = in.get(),
                       .out = out.get(),
                       .partial = partial.get(),
                       .counter = counter.get(),
                       .n = 1000,
                       .blocks = kBlocks},
                      defect, nullptr);
        if (defect != Defect::kNone) {
            break;
        }
    }
    return out.read()[0] == 1000.0f;
}

bool run_trap(Defect defect) {
    const Array<int> x(std::vector<int>(3, 0));
    trap({.x = x.get(), .n = 3}, defect, nullptr);
    return x.read()[2] == 1;
}

struct Case {
    const char* name;
    Defect defect;
    bool (*run)(Defect);
    const char* report;             // of the instrumented build
    Order order = Order::kForward;  // under which the plain build sees it too
    Landing landing = Landing::kAtWait;
    bool plain = true;  // whether it does at all
};

const Case kCases[] = {
    {"NoBarrier", Defect::kNoBarrier, [](Defect d) { return run_block_sum(d); },
     "uninitialised read: .*'partial'|race, (read|write) after (read|write): .*'partial'"},
    {"ReadsPastEnd", Defect::kReadsPastEnd, [](Defect d) { return run_block_sum(d); },
     "out-of-bounds global access: thread .* reads 4 bytes at block_sum.cu:[0-9]+: global memory 0 bytes past the end "
     "of an allocation of 20000 bytes"},
    {"SharedPastEnd", Defect::kSharedPastEnd, [](Defect d) { return run_block_sum(d); },
     "out-of-bounds shared access: thread .* writes 4 bytes at block_sum.cu:[0-9]+: shared memory [0-9]+ bytes past "
     "'partial'"},
    {"EarlyReturn", Defect::kEarlyReturn, [](Defect d) { return run_block_sum(d); },
     "divergent barrier: __syncthreads at block_sum.cu:[0-9]+ after [0-9]+ threads have exited|deadlock"},
    {"ReadsUnwritten", Defect::kReadsUnwritten, [](Defect d) { return run_block_sum(d); },
     "uninitialised read: thread .* reads shared 'partial' . [0-9]+ bytes at block_sum.cu"},
    {"MaskWithoutCaller", Defect::kMaskWithoutCaller, [](Defect d) { return run_block_sum(d); },
     "__shfl_xor_sync at block_sum.cu:[0-9]+: lane [0-9]+ is not in its own mask 0x0000ffff|divergent warp"},
    {"AllLanesWrite", Defect::kAllLanesWrite, [](Defect d) { return run_block_sum(d); },
     "race, write after write: global memory of 12 bytes", Order::kForward, Landing::kAtWait, false},
    {"TwoBarriers", Defect::kTwoBarriers, [](Defect d) { return run_block_sum(d); },
     "divergent barrier: threads of one block wait in __syncthreads at block_sum.cu:[0-9]+ and at block_sum.cu:[0-9]+"},
    {"NoReuseBarrier", Defect::kNoReuseBarrier, run_spread,
     "race, (write after read|read after write): shared 'partial'", Order::kGreedy},
    {"NoTileBarrier", Defect::kNoTileBarrier, run_transpose, "uninitialised read: .*'tile'|race, .*'tile'"},
    {"NoArrivalBarrier", Defect::kNoArrivalBarrier,
     [](Defect d) {
         return run_multiply(d, {64, 64, 64});
     },
     "race with cp.async: .* at multiply.cu:[0-9]+ before the copy started at multiply.cu:[0-9]+ was waited "
     "for|uninitialised read|race, "},
    {"WaitsTooLittle", Defect::kWaitsTooLittle,
     [](Defect d) {
         return run_multiply(d, {64, 64, 96});
     },
     "race with cp.async"},
    {"NoStageBarrier", Defect::kNoStageBarrier,
     [](Defect d) {
         return run_multiply(d, {64, 64, 128});
     },
     "race, write after read: shared 'dynamic'|race with cp.async", Order::kGreedy, Landing::kAtIssue},
    {"NoColumnBound", Defect::kNoColumnBound,
     [](Defect d) {
         return run_multiply(d, {64, 70, 64});
     },
     "out-of-bounds global access: .* writes|race, write after write"},
    {"MisalignedCast", Defect::kMisalignedCast, run_copy_vectors,
     "misaligned access: thread .* reads 16 bytes .* at transpose.cu"},
    {"MisalignedLoad", Defect::kMisalignedLoad, run_copy_vectors,
     "misaligned vector access of 16 bytes at transpose.cu"},
    {"NoWarpBarrier", Defect::kNoWarpBarrier, run_rotate,
     "race, (read after write|write after read): shared 'values'|uninitialised read: .*'values'"},
    {"PartialWarpBarrier", Defect::kPartialWarpBarrier, run_rotate,
     "race, (read after write|write after read): shared 'values'|uninitialised read: .*'values'"},
    {"WarpExit", Defect::kWarpExit, run_rotate,
     "mask 0xffffffff names lanes 0x[0-9a-f]+, which have exited|lane [0-9]+ exits while others wait for it in "
     "__shfl_sync"},
    {"WarpDivergence", Defect::kWarpDivergence, run_rotate,
     "divergent warp: lanes of mask 0xffffffff meet in __shfl_sync at warps_and_blocks.cu:[0-9]+ and in __shfl_sync at "
     "warps_and_blocks.cu"},
    {"NoTicket", Defect::kNoTicket, run_sum_of_blocks, "race, read after write: global memory of 20 bytes",
     Order::kForward, Landing::kAtWait, false},
    {"BlocksOverlap", Defect::kBlocksOverlap, run_sum_of_blocks, "race, write after write: global memory of 20 bytes"},
    {"ReadsNeighbour", Defect::kReadsNeighbour, run_sum_of_blocks,
     "race, (write after read|read after write): global memory of 4000 bytes", Order::kForward, Landing::kAtWait,
     false},
    {"Division", Defect::kDivision, run_trap, "integer division by zero .* at warps_and_blocks.cu:[0-9]+"},
    {"StackOverflow", Defect::kStackOverflow, run_trap, "stack overflow at warps_and_blocks.cu:[0-9]+"},
    {"WritesSlack", Defect::kWritesSlack, run_trap,
     "out-of-bounds (global access: thread|write: global memory 0 bytes past the end)"},
};

class SeededDefect : public ::testing::TestWithParam<Case> {};

// What went wrong, "" if nothing did.
std::string symptom(const Case& c) {
    std::string text;
    try {
        text = c.run(c.defect) ? "" : "wrong result";
        FER_CUDA(cudaDeviceSynchronize());
    } catch (const DeviceError& error) {
        text = error.why();
    }
    recover();
    return text;
}

// AddressSanitizer and UndefinedBehaviorSanitizer find these too, and end the program.
bool sanitizers_end([[maybe_unused]] Defect defect) {
#if defined(__SANITIZE_ADDRESS__)
    using enum Defect;
    return defect == kSharedPastEnd || defect == kMisalignedCast || defect == kDivision || defect == kWritesSlack;
#else
    return false;
#endif
}

TEST_P(SeededDefect, IsFound) {
    const Case& c = GetParam();
    if (sanitizers_end(c.defect)) {
        EXPECT_DEATH(c.run(c.defect), "AddressSanitizer|runtime error");
        return;
    }
    if (observer != nullptr) {
        for (const Schedule& s : all_schedules()) {
            const ScopedSchedule scoped(s);
            EXPECT_THAT(symptom(c), ContainsRegex(c.report)) << s.str();
        }
        return;
    }
    const ScopedSchedule scoped({.order = c.order, .landing = c.landing});
    EXPECT_EQ(symptom(c) != "", c.plain) << "in the plain build, under " << schedule().str();
}

INSTANTIATE_TEST_SUITE_P(Kernels, SeededDefect, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Emulator, FindsNothingInCorrectKernels) {
    under_every_schedule([] {
        EXPECT_TRUE(run_block_sum(Defect::kNone));
        EXPECT_TRUE(run_block_sum(Defect::kNone, 1));
        EXPECT_TRUE(run_transpose(Defect::kNone));
        for (const Sizes s : {Sizes{64, 64, 32}, Sizes{128, 64, 96}, Sizes{70, 45, 40}, Sizes{1, 1, 8}}) {
            EXPECT_TRUE(run_multiply(Defect::kNone, s)) << s.m << "x" << s.n << "x" << s.k;
        }
        EXPECT_TRUE(run_copy_vectors(Defect::kNone));
        EXPECT_TRUE(run_copy_triples());
        EXPECT_TRUE(run_rotate(Defect::kNone));
        EXPECT_TRUE(run_sum_of_blocks(Defect::kNone));
        EXPECT_TRUE(run_trap(Defect::kNone));
    });
}

}  // namespace

}  // namespace fer::emulated
