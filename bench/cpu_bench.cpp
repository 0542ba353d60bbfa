// What happens before the first step and beside the steps: reading data, making plans, drawing faces, random numbers.
//   FER2013_DATA=fer2013.zip build/release/bin/bench_cpu
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

#include "engine/core/random.hpp"
#include "engine/data/dataset.hpp"
#include "engine/data/synthetic.hpp"
#include "engine/graph/step.hpp"
#include "engine/plan/plan.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "models/models.hpp"

namespace {

using namespace fer;

void read_dataset(benchmark::State& state, bool cached) {
    const char* path = std::getenv("FER2013_DATA");
    if (path == nullptr) {
        state.SkipWithError("FER2013_DATA names no data set");
        return;
    }
    DataOptions options;
    options.use_cache = cached;
    options.cache = std::filesystem::temp_directory_path() / "fer-bench-cache";
    std::int64_t images = 0;
    for ([[maybe_unused]] auto _ : state) {
        images = open_dataset(path, options).size();
    }
    state.counters["images"] = static_cast<double>(images);
}
BENCHMARK_CAPTURE(read_dataset, decode, false)->Unit(benchmark::kMillisecond)->Iterations(3)->UseRealTime();
BENCHMARK_CAPTURE(read_dataset, cached, true)->Unit(benchmark::kMillisecond)->Iterations(5)->UseRealTime();

void synthetic_faces(benchmark::State& state) {
    std::uint64_t index = 0;
    for ([[maybe_unused]] auto _ : state) {
        benchmark::DoNotOptimize(synthetic_face(1, index, static_cast<int>(index % 7)));
        ++index;
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(synthetic_faces)->Unit(benchmark::kMicrosecond);

void plan_training_step(benchmark::State& state) {
    const models::Model& model = models::all()[static_cast<std::size_t>(state.range(0))];
    StepOptions options;
    options.input.images = 64;
    for ([[maybe_unused]] auto _ : state) {
        const Step step = training_step(model.build, options);
        benchmark::DoNotOptimize(make_plan(step.graph, cpu_device()));
    }
    state.SetLabel(std::string(model.name));
}
BENCHMARK(plan_training_step)->DenseRange(0, 6)->Unit(benchmark::kMillisecond);

void shuffle_epoch(benchmark::State& state) {
    std::vector<std::int32_t> order(28709);
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = static_cast<std::int32_t>(i);
    }
    std::uint64_t epoch = 0;
    for ([[maybe_unused]] auto _ : state) {
        shuffle(order, RandomStream(1, epoch++, stream_of("shuffle")));
        benchmark::ClobberMemory();
    }
}
BENCHMARK(shuffle_epoch)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
