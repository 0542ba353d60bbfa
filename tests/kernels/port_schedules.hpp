// Running a kernel test under many schedules, on the emulated device; once, on a real one.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/port/check.hpp"
#include "kernels/port/runtime.hpp"

#if defined(FER_EMULATED)
#include "kernels/emulator/schedule.hpp"
#endif

namespace fer::FER_PORT {

/// Calls body() under every order of threads and both landings of asynchronous copies, stopping at the first failure,
/// which names its schedule. With FER_SCHEDULE in the environment: under that one alone.
///     FER_SCHEDULE=order=greedy,async=issue,seed=3 bin/test_kernels --gtest_filter='Pool.*'
template <class Body>
void under_every_schedule(Body body) {
#if defined(FER_EMULATED)
    const bool one = std::getenv("FER_SCHEDULE") != nullptr;
    for (const Schedule& s : one ? std::vector<Schedule>{schedule()} : all_schedules()) {
        const ScopedSchedule scoped(s);
        SCOPED_TRACE("FER_SCHEDULE=" + s.str());
        body();
        FER_CUDA(cudaDeviceSynchronize());
        if (::testing::Test::HasFailure()) {
            return;
        }
    }
#else
    body();
    FER_CUDA(cudaDeviceSynchronize());
#endif
}

}  // namespace fer::FER_PORT
