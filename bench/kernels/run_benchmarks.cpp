#include "bench/kernels/run_benchmarks.hpp"

#include <benchmark/benchmark.h>

#include <memory>

#include "bench/kernels/stopwatch.hpp"
#include "engine/core/error.hpp"

namespace fer::FER_PORT {
namespace {

/// One iteration is the whole series of launches, its time their median.
void measure_case(benchmark::State& state, const Case& c, Stopwatch& stopwatch, const Peaks& peaks) {
    try {
        Memory memory(Content::kRandom);
        const Run run = c.prepare(memory);
        const auto bytes = static_cast<double>(memory.bytes());
        std::vector<double> seconds;
        for ([[maybe_unused]] auto _ : state) {
            seconds = stopwatch.measure(run);
            state.SetIterationTime(median(seconds));
        }
        if (const std::string wrong = memory.unwritten(); !wrong.empty()) {
            state.SkipWithError(wrong.c_str());
            return;
        }
        const double middle = median(seconds);
        state.counters["min_us"] = seconds.front() * 1e6;
        state.counters["p90_us"] = seconds[seconds.size() * 9 / 10] * 1e6;
        state.counters["launches"] = static_cast<double>(seconds.size());
        state.counters["bytes"] = bytes;
        state.counters["flops"] = static_cast<double>(c.flops);
        state.counters["GB/s"] = bytes / middle * 1e-9;
        state.counters["TFLOP/s"] = static_cast<double>(c.flops) / middle * 1e-12;
        state.counters["of_peak"] = peaks.least_seconds(c, memory.bytes()) / middle;
        state.SetLabel(c.shape);
    } catch (const Error& error) {  // of memory, say: the other cases may still fit
        state.SkipWithError(error.what());
    }
}

void describe(Stopwatch& stopwatch, const Peaks& peaks, std::int64_t batch) {
    const DeviceFacts facts = device_facts();
    const auto say = [](const char* key, const std::string& value) { benchmark::AddCustomContext(key, value); };
    say("device", facts.name);
    say("driver", fmt::format("{}.{}", facts.driver / 1000, facts.driver % 1000 / 10));
    say("cuda runtime", fmt::format("{}.{}", facts.runtime / 1000, facts.runtime % 1000 / 10));
    say("batch", std::to_string(batch));
    say("l2", fmt::format("{} MB", facts.l2_bytes >> 20));
    say("empty launch", fmt::format("{:.2f} us between events", stopwatch.empty_seconds() * 1e6));
    say("peak bytes",
        fmt::format("{:.0f} GB/s, measured: a copy of 1 GiB, read plus written", peaks.copied_bytes * 1e-9));
    say("peak flops", fmt::format("{:.0f} f16 and bf16, {:.0f} tf32, {:.1f} f32 TFLOP/s, not measured: {} "
                                  "multiprocessors at {:.0f} MHz and the rates of the data sheet",
                                  peaks.half_flops * 1e-12, peaks.tf32_flops * 1e-12, peaks.float_flops * 1e-12,
                                  facts.multiprocessors, peaks.clock_hz * 1e-6));
}

}  // namespace

int run_benchmarks(int argc, char** argv, const std::vector<Case>& cases, std::int64_t batch) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    Stopwatch stopwatch;
    const Peaks peaks = stopwatch.peaks();
    describe(stopwatch, peaks, batch);
    for (const Case& c : cases) {
        benchmark::RegisterBenchmark(c.name().c_str(),
                                     [&](benchmark::State& state) { measure_case(state, c, stopwatch, peaks); })
            ->Iterations(1)
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond);
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}

}  // namespace fer::FER_PORT
