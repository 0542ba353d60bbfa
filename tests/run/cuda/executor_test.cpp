#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/run/cuda/cuda_device.hpp"
#include "kernels/emulator/runtime.hpp"
#include "kernels/emulator/schedule.hpp"
#include "tests/support/step_runner.hpp"

namespace fer::test {
namespace {

/// A bit of everything: convolutions, batch norm, pool, dropout, dense, L2.
void tiny(Net& net) {
    net.conv(3, 3).relu().conv(4, 3, {.l2 = 0.01f}).batch_norm().relu().max_pool(2).dropout(0.25f);
    net.flatten().dense(7);
}

StepOptions tiny_options() {
    StepOptions options;
    options.batch = 2;
    options.input.images = 4;
    options.input.stored_height = options.input.height = 6;
    options.input.stored_width = options.input.width = 6;
    return options;
}

class CudaExecutor : public ::testing::Test {
protected:
    void TearDown() override { emulated::recover(); }

    static StepRunner runner() {
        return StepRunner(tiny, tiny_options(), emulated::cuda_device(), 1, emulated::cuda_runtime(), true, 0);
    }
    /// Three training steps, the last one or two from a recording, and an evaluation.
    static std::vector<char> result() {
        StepRunner run = runner();
        for (int step = 0; step < 3; ++step) {
            run.train();
        }
        run.evaluate();
        return run.persistent();
    }
};

TEST_F(CudaExecutor, StepsAllocateNothing) {
    StepRunner run = runner();
    run.train();
    const std::uint64_t allocations = emulated::counters().allocations;
    const std::uint64_t graphs = emulated::counters().graph_launches;
    run.train();
    run.train();
    EXPECT_EQ(emulated::counters().allocations, allocations);
    EXPECT_EQ(emulated::counters().graph_launches, graphs + 2);
}

/// A norm behind a convolution that the matrix units take.
void wide(Net& net) {
    net.conv(8, 3).relu().conv(8, 3).batch_norm().relu();
    net.flatten().dense(7);
}

/// Kernels that a step of bf16 starts.
std::uint64_t launches_of_a_step(ModelBuilder model, const std::string& fusions) {
    StepOptions options = tiny_options();
    options.precision = Precision::kBf16;
    options.fuse = fusions;
    StepRunner run(model, options, emulated::cuda_device(), 1, emulated::cuda_runtime(), false, 0);
    run.train();
    const std::uint64_t before = emulated::counters().launches;
    run.train();
    return emulated::counters().launches - before;
}

// Three casts of weights less, and parameters, moments and copies still lie so that one launch takes them all.
TEST_F(CudaExecutor, TheOptimizerWritesItsCopiesInTheSameLaunch) {
    EXPECT_EQ(launches_of_a_step(tiny, "bias,activation") - launches_of_a_step(tiny, "bias,activation,shadow"), 3u);
}

// The pass over the tensor goes; merging its partial results stays.
TEST_F(CudaExecutor, StatisticsCostOneLaunchLess) {
    EXPECT_EQ(launches_of_a_step(wide, "bias,activation") - launches_of_a_step(wide, "bias,activation,norm_sums"), 1u);
}

// Work is done later, and in any order that the stream permits; threads and asynchronous copies in any order too.
TEST_F(CudaExecutor, AnyLegalOrderGivesTheSameBits) {
    const std::vector<char> want = result();
    for (const char* text : {"streams=deferred,seed=1", "streams=deferred,order=reverse,async=issue,seed=2",
                             "streams=deferred,order=random,seed=3", "streams=deferred,order=greedy,seed=4"}) {
        const emulated::ScopedSchedule scope(emulated::Schedule::parse(text));
        EXPECT_TRUE(result() == want) << text;
    }
}

/// Three training steps of a plan that was tampered with, under the schedule in force.
std::vector<char> result_of(const std::function<void(Plan&)>& edit) {
    StepRunner run(tiny, tiny_options(), emulated::cuda_device(), 1, emulated::cuda_runtime(), true, 0, edit);
    for (int step = 0; step < 3; ++step) {
        run.train();
    }
    return run.persistent();
}

emulated::Schedule any_order(std::uint64_t seed) { return {.streams = emulated::Streams::kDeferred, .seed = seed}; }

TEST_F(CudaExecutor, BranchesGiveTheBitsOfOneBranch) {
    const std::vector<char> want = result_of([](Plan& plan) {
        EXPECT_GT(std::ranges::count(plan.steps, 1, &PlanStep::branch), 2);
        for (PlanStep& step : plan.steps) {
            step.branch = 0;
            step.after.clear();
        }
    });
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        const emulated::ScopedSchedule scope(any_order(seed));
        EXPECT_TRUE(result_of([](Plan&) {}) == want) << "seed " << seed;
    }
}

// Each wait between the branches is left out in turn: some legal order of what remains must show it.
TEST_F(CudaExecutor, ADroppedWaitIsFound) {
    const std::vector<char> want = result_of([](Plan&) {});
    std::vector<std::size_t> waiting;
    result_of([&](Plan& plan) {
        for (std::size_t s = 0; s < plan.steps.size(); ++s) {
            if (!plan.steps[s].after.empty()) {
                waiting.push_back(s);
            }
        }
    });
    ASSERT_GE(waiting.size(), 4u);
    for (const std::size_t s : waiting) {
        std::string name;
        const auto drop = [&](Plan& plan) {
            plan.steps[s].after.clear();
            name = plan.steps[s].op.name;
        };
        bool found = false;
        for (std::uint64_t seed = 1; seed <= 40 && !found; ++seed) {
            const emulated::ScopedSchedule scope(any_order(seed));
            try {
                found = result_of(drop) != want;
            } catch (const DeviceError&) {  // the second branch was never drawn into the recording
                found = true;
            }
            emulated::recover();
        }
        EXPECT_TRUE(found) << "without the wait of '" << name << "'";
    }
}

// Whatever call of the runtime fails: one error that names it, nothing leaked, and the next run is right.
TEST_F(CudaExecutor, AnyCallMayFail) {
    const std::vector<char> want = result();
    const std::uint64_t before = emulated::counters().calls;
    result();
    const std::uint64_t calls = emulated::counters().calls - before;
    ASSERT_GT(calls, 50u);
    for (std::uint64_t n = 1; n <= calls; n += n < 40 ? 1 : 7) {
        SCOPED_TRACE(n);
        emulated::inject({.call = "", .nth = n, .error = cudaErrorUnknown, .sticky = n % 2 == 0});
        bool failed = false;
        try {
            result();
        } catch (const Error& error) {
            failed = true;
            EXPECT_THAT(error.what(), ::testing::HasSubstr("cuda"));
        }
        emulated::recover();
        // Calls that only give something back, and queries of free memory, may fail unnoticed.
        if (n < 10) {
            EXPECT_TRUE(failed);
        }
    }
    EXPECT_TRUE(result() == want);
}

TEST_F(CudaExecutor, OutOfMemoryTellsNeedAndFree) {
    emulated::inject({.call = "cudaMalloc", .nth = 1, .error = cudaErrorMemoryAllocation});
    try {
        runner();
        FAIL() << "no error";
    } catch (const MemoryError& error) {
        EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("wanted"), ::testing::HasSubstr("are free")));
    }
}

TEST_F(CudaExecutor, AWatchShowsTheDeviceWithoutWaiting) {
    Runtime& runtime = emulated::cuda_runtime();
    Buffer buffer(runtime, 8);
    const auto watch = runtime.watch(buffer.data(), 8);
    EXPECT_EQ(watch->arrived(), nullptr) << "nothing was asked for";
    const double value = 2.5;
    runtime.upload(buffer.data(), &value, 8);
    watch->refresh();
    runtime.wait();
    const void* seen = watch->arrived();
    ASSERT_NE(seen, nullptr);
    EXPECT_EQ(*static_cast<const double*>(seen), 2.5);
    EXPECT_EQ(watch->arrived(), nullptr) << "once";
}

}  // namespace
}  // namespace fer::test
