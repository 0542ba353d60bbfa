// Streams, events, capture and graphs of the emulated runtime, at once and in random legal orders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "engine/core/error.hpp"
#include "kernels/emulator/schedule.hpp"
#include "tests/kernels/emulator/defects.hpp"
#include "tests/kernels/port_memory.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::emulated {

namespace {

constexpr std::uint64_t kSeeds = 16;

class Streams2 {
public:
    Streams2() {
        for (cudaStream_t& s : streams_) {
            FER_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
        }
        for (cudaEvent_t& e : events_) {
            FER_CUDA(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
        }
    }
    ~Streams2() {
        for (cudaStream_t s : streams_) {
            cudaStreamDestroy(s);
        }
        for (cudaEvent_t e : events_) {
            cudaEventDestroy(e);
        }
    }
    Streams2(const Streams2&) = delete;
    Streams2& operator=(const Streams2&) = delete;

    cudaStream_t copy() const { return streams_[0]; }
    cudaStream_t compute() const { return streams_[1]; }
    /// `later` waits for what `earlier` has been given so far.
    void order(cudaStream_t earlier, cudaStream_t later, std::size_t event = 0) const {
        FER_CUDA(cudaEventRecord(events_[event], earlier));
        FER_CUDA(cudaStreamWaitEvent(later, events_[event]));
    }
    cudaEvent_t event(std::size_t i) const { return events_[i]; }

private:
    cudaStream_t streams_[2] = {};
    cudaEvent_t events_[2] = {};
};

// Uploads to a staging buffer on one stream, adds one on the other, twice; the second upload must wait for the first
// addition. Returns what arrived.
std::vector<int> double_upload(bool wait_for_upload, bool wait_for_compute) {
    const Streams2 streams;
    const Array<int> stage(std::vector<int>(4, 0));
    std::vector<int> results;
    for (const int value : {10, 20}) {
        if (wait_for_compute) {
            streams.order(streams.compute(), streams.copy(), 1);
        }
        const std::vector<int> host(4, value);
        FER_CUDA(cudaMemcpyAsync(stage.get(), host.data(), 16, cudaMemcpyHostToDevice, streams.copy()));
        if (wait_for_upload) {
            streams.order(streams.copy(), streams.compute(), 0);
        }
        trap({.x = stage.get(), .n = 4}, Defect::kNone, streams.compute());
    }
    FER_CUDA(cudaDeviceSynchronize());
    return stage.read();
}

// How many of the random legal orders give another result.
int wrong_orders(bool wait_for_upload, bool wait_for_compute) {
    int wrong = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        const ScopedSchedule scoped({.streams = Streams::kDeferred, .seed = seed});
        recover();
        wrong += double_upload(wait_for_upload, wait_for_compute) != std::vector<int>(4, 21);
    }
    return wrong;
}

TEST(Stream, EveryLegalOrderIsRightWithAllWaits) { EXPECT_EQ(wrong_orders(true, true), 0); }
TEST(Stream, ADroppedWaitForTheUploadIsFound) { EXPECT_GT(wrong_orders(false, true), 0); }
TEST(Stream, ADroppedWaitForTheComputeIsFound) { EXPECT_GT(wrong_orders(true, false), 0); }
TEST(Stream, InOrderHidesWhatIsMissing) { EXPECT_EQ(double_upload(false, false), std::vector<int>(4, 21)); }

TEST(Stream, PinnedMemoryIsReadWhenTheCopyIsDone) {
    const ScopedSchedule scoped({.streams = Streams::kDeferred});
    const Streams2 streams;
    const Array<int> x(1);
    int* pinned = nullptr;
    FER_CUDA(cudaMallocHost(&pinned, 4));
    bool changed = false;
    for (int i = 0; i < 32 && !changed; ++i) {
        *pinned = 1;
        FER_CUDA(cudaMemcpyAsync(x.get(), pinned, 4, cudaMemcpyHostToDevice, streams.copy()));
        *pinned = 2;  // too early
        FER_CUDA(cudaStreamSynchronize(streams.copy()));
        changed = x.read()[0] == 2;
    }
    EXPECT_TRUE(changed);
    int pageable = 1;
    FER_CUDA(cudaMemcpyAsync(x.get(), &pageable, 4, cudaMemcpyHostToDevice, streams.copy()));
    pageable = 2;  // allowed: it was read before the call returned
    FER_CUDA(cudaStreamSynchronize(streams.copy()));
    EXPECT_EQ(x.read()[0], 1);
    FER_CUDA(cudaFreeHost(pinned));
}

TEST(Stream, TheDefaultStreamWaitsForBlockingOnes) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        const ScopedSchedule scoped({.streams = Streams::kDeferred, .seed = seed});
        cudaStream_t blocking = nullptr;
        FER_CUDA(cudaStreamCreate(&blocking));
        const Array<int> x(std::vector<int>{0});
        trap({.x = x.get(), .n = 1}, Defect::kNone, blocking);
        FER_CUDA(cudaMemsetAsync(x.get(), 0, 4, nullptr));
        trap({.x = x.get(), .n = 1}, Defect::kNone, blocking);
        FER_CUDA(cudaDeviceSynchronize());
        EXPECT_EQ(x.read()[0], 1) << seed;
        FER_CUDA(cudaStreamDestroy(blocking));
    }
}

TEST(Stream, MemoryAllocatedInAStreamIsThereInItsTurn) {
    const ScopedSchedule scoped({.streams = Streams::kDeferred});
    const Streams2 streams;
    int* x = nullptr;
    FER_CUDA(cudaMallocAsync(&x, 4, streams.copy()));
    FER_CUDA(cudaMemsetAsync(x, 0, 4, streams.copy()));
    streams.order(streams.copy(), streams.compute());
    trap({.x = x, .n = 1}, Defect::kNone, streams.compute());
    streams.order(streams.compute(), streams.copy(), 1);
    FER_CUDA(cudaFreeAsync(x, streams.copy()));
    FER_CUDA(cudaDeviceSynchronize());
    EXPECT_THAT(test::error_of<DeviceError>([&] {
                    trap({.x = x, .n = 1}, Defect::kNone, streams.compute());
                    FER_CUDA(cudaStreamSynchronize(streams.compute()));
                }),
                ::testing::HasSubstr("freed global memory of 4 bytes"));
    recover();
}

TEST(Event, IsReachedWhenTheWorkBeforeItIsDone) {
    const ScopedSchedule scoped({.streams = Streams::kDeferred});
    const Streams2 streams;
    const Array<int> x(std::vector<int>{0});
    EXPECT_EQ(cudaEventQuery(streams.event(0)), cudaSuccess);  // never recorded
    bool pending = false;
    for (int i = 0; i < 32 && !pending; ++i) {
        trap({.x = x.get(), .n = 1}, Defect::kNone, streams.compute());
        FER_CUDA(cudaEventRecord(streams.event(0), streams.compute()));
        pending = cudaEventQuery(streams.event(0)) == cudaErrorNotReady;
        FER_CUDA(cudaEventSynchronize(streams.event(0)));
        EXPECT_EQ(cudaEventQuery(streams.event(0)), cudaSuccess);
    }
    EXPECT_TRUE(pending);
}

TEST(Event, MeasuresTime) {
    cudaEvent_t start = nullptr;
    cudaEvent_t end = nullptr;
    FER_CUDA(cudaEventCreate(&start));
    FER_CUDA(cudaEventCreate(&end));
    const Array<int> x(std::vector<int>(1000, 0));
    FER_CUDA(cudaEventRecord(start));
    trap({.x = x.get(), .n = 1000}, Defect::kNone, nullptr);
    FER_CUDA(cudaEventRecord(end));
    FER_CUDA(cudaEventSynchronize(end));
    float ms = -1;
    FER_CUDA(cudaEventElapsedTime(&ms, start, end));
    EXPECT_GT(ms, 0);
    FER_CUDA(cudaEventDestroy(start));
    FER_CUDA(cudaEventDestroy(end));
}

// x = 0, then x += 1 on both streams for their own halves, then y = x.
cudaGraph_t capture_fork_and_join(const Streams2& streams, int* x, int* y) {
    FER_CUDA(cudaStreamBeginCapture(streams.compute(), cudaStreamCaptureModeGlobal));
    FER_CUDA(cudaMemsetAsync(x, 0, 32, streams.compute()));
    streams.order(streams.compute(), streams.copy());
    trap({.x = x, .n = 4}, Defect::kNone, streams.compute());
    trap({.x = x + 4, .n = 4}, Defect::kNone, streams.copy());
    streams.order(streams.copy(), streams.compute(), 1);
    FER_CUDA(cudaMemcpyAsync(y, x, 32, cudaMemcpyDeviceToDevice, streams.compute()));
    cudaGraph_t graph = nullptr;
    FER_CUDA(cudaStreamEndCapture(streams.compute(), &graph));
    return graph;
}

TEST(Capture, RecordsAndReplays) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        const ScopedSchedule scoped({.streams = seed == 1 ? Streams::kInOrder : Streams::kDeferred, .seed = seed});
        const Streams2 streams;
        const Array<int> x(std::vector<int>(8, 7));
        const Array<int> y(std::vector<int>(8, 7));
        const Counters before = counters();
        cudaGraph_t graph = capture_fork_and_join(streams, x.get(), y.get());
        EXPECT_EQ(x.read(), std::vector<int>(8, 7)) << "capturing does nothing yet";
        std::size_t nodes = 0;
        FER_CUDA(cudaGraphGetNodes(graph, nullptr, &nodes));
        EXPECT_EQ(nodes, 4u);
        cudaGraphExec_t exec = nullptr;
        FER_CUDA(cudaGraphInstantiate(&exec, graph));
        FER_CUDA(cudaGraphDestroy(graph));
        for (int replay = 0; replay < 2; ++replay) {
            FER_CUDA(cudaMemset(y.get(), 0, 32));
            FER_CUDA(cudaGraphLaunch(exec, streams.compute()));
            FER_CUDA(cudaStreamSynchronize(streams.compute()));
            EXPECT_EQ(y.read(), std::vector<int>(8, 1)) << "seed " << seed;
        }
        FER_CUDA(cudaGraphLaunch(exec, streams.compute()));
        FER_CUDA(cudaGraphExecDestroy(exec));  // the launch keeps what it needs
        FER_CUDA(cudaDeviceSynchronize());
        EXPECT_EQ(counters().graph_launches - before.graph_launches, 3u);
        EXPECT_EQ(counters().allocations, before.allocations);
    }
}

TEST(Capture, RefusesWhatCannotBeRecorded) {
    const Streams2 streams;
    cudaGraph_t graph = nullptr;
    void* p = nullptr;
    FER_CUDA(cudaStreamBeginCapture(streams.compute(), cudaStreamCaptureModeGlobal));
    EXPECT_EQ(cudaMalloc(&p, 16), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaStreamEndCapture(streams.compute(), &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);

    FER_CUDA(cudaStreamBeginCapture(streams.compute(), cudaStreamCaptureModeGlobal));
    EXPECT_EQ(cudaStreamSynchronize(streams.compute()), cudaErrorStreamCaptureUnsupported);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    FER_CUDA(cudaStreamIsCapturing(streams.compute(), &status));
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(cudaStreamEndCapture(streams.compute(), &graph), cudaErrorStreamCaptureInvalidated);

    EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaStreamEndCapture(streams.compute(), &graph), cudaErrorIllegalState);
    cudaGetLastError();
}

TEST(Capture, AStreamThatIsNotJoinedIsAnError) {
    const Streams2 streams;
    const Array<int> x(std::vector<int>(8, 0));
    FER_CUDA(cudaStreamBeginCapture(streams.compute(), cudaStreamCaptureModeGlobal));
    trap({.x = x.get(), .n = 4}, Defect::kNone, streams.compute());
    streams.order(streams.compute(), streams.copy());
    trap({.x = x.get() + 4, .n = 4}, Defect::kNone, streams.copy());
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(streams.compute(), &graph), cudaErrorStreamCaptureUnjoined);
    cudaGetLastError();
}

TEST(Capture, AMissingWaitInsideIsFound) {
    int wrong = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        const ScopedSchedule scoped({.streams = Streams::kDeferred, .seed = seed});
        recover();
        const Streams2 streams;
        const Array<int> x(std::vector<int>(4, 0));
        FER_CUDA(cudaStreamBeginCapture(streams.compute(), cudaStreamCaptureModeGlobal));
        streams.order(streams.compute(), streams.copy());
        FER_CUDA(cudaMemsetAsync(x.get(), 0, 16, streams.copy()));
        trap({.x = x.get(), .n = 4}, Defect::kNone, streams.compute());  // should wait for the memset
        streams.order(streams.copy(), streams.compute(), 1);
        cudaGraph_t graph = nullptr;
        FER_CUDA(cudaStreamEndCapture(streams.compute(), &graph));
        cudaGraphExec_t exec = nullptr;
        FER_CUDA(cudaGraphInstantiate(&exec, graph));
        FER_CUDA(cudaGraphLaunch(exec, streams.compute()));
        FER_CUDA(cudaDeviceSynchronize());
        wrong += x.read() != std::vector<int>(4, 1);
        FER_CUDA(cudaGraphExecDestroy(exec));
        FER_CUDA(cudaGraphDestroy(graph));
    }
    EXPECT_GT(wrong, 0);
}

}  // namespace

}  // namespace fer::emulated
