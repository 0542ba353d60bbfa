// main() of the kernel tests: a test that leaves the device broken fails with the report, and the next one starts
// afresh.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "engine/core/error.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {

namespace {

constexpr int kSkipped = 77;  // what ctest takes for "not run here"

class Device : public ::testing::EmptyTestEventListener {
    void OnTestEnd(const ::testing::TestInfo&) override {
        if (const cudaError_t error = cudaDeviceSynchronize(); error != cudaSuccess) {
#if defined(FER_EMULATED)
            ADD_FAILURE() << cudaGetErrorName(error) << "\n" << fault_report();
#else
            ADD_FAILURE() << cudaGetErrorName(error) << ": no later test can be trusted";
#endif
        }
#if defined(FER_EMULATED)
        recover();
#endif
    }
};

int run() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        std::puts("no CUDA device here");
        return kSkipped;
    }
    ::testing::UnitTest::GetInstance()->listeners().Append(new Device);
    return RUN_ALL_TESTS();
}

}  // namespace

int run_tests() { return run(); }

}  // namespace fer::FER_PORT

int main(int argc, char** argv) {
    ::testing::InitGoogleMock(&argc, argv);
    if (::testing::GTEST_FLAG(list_tests)) {
        return RUN_ALL_TESTS();
    }
    return fer::port::run_tests();
}
