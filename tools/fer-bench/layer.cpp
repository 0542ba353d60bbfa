// One node again and again, for a profiler of kernels: what it reads is what it reads in a step.
#include "engine/graph/op_table.hpp"
#include "engine/measure/peaks.hpp"
#include "engine/measure/statistics.hpp"
#include "tools/fer-bench/case_flags.hpp"
#include "tools/fer-bench/commands.hpp"
#include "tools/fer-bench/rows.hpp"
#include "tools/fer-bench/table.hpp"

namespace fer::tool {
namespace {

struct LayerFlags {
    CaseFlags which;
    std::string node;
    int iterations = 10;
};

int layer(const LayerFlags& flags) {
    const Device& device = find_device(flags.which.device.device);
    const models::Model& model = models::find(flags.which.model);
    const StepCase which = step_case(model, flags.which, device);
    Runtime& runtime = open_runtime(device);
    StepBench bench(which, device, runtime, nullptr, make_tuner(flags.which.device, device, runtime));
    Executor& executor = bench.executor();
    const std::size_t node = find_node(executor.plan(), flags.node);
    const PlanStep& step = executor.plan().steps[node];
    bench.rewind();
    executor.run_before(node);
    runtime.wait();
    std::vector<double> times;
    runtime.profile(true);
    for (int i = 0; i < flags.iterations; ++i) {
        times.push_back(runtime.seconds([&] { executor.run_one(node); }));
    }
    runtime.profile(false);
    const double seconds = median(times);
    const std::string shape = step.op.out.empty() ? "state" : step.op.out[0].shape.str();
    fmt::print("{} {}.{} {}: {:.4f} ms (least {:.4f}, of {}), {}, {} GB/s\n", step.op.name, name_of(step.op.kind),
               step.implementation->name, shape, seconds * 1e3, *std::ranges::min_element(times) * 1e3, times.size(),
               rate_text(static_cast<double>(flops_of(step.op)) / seconds),
               figure(static_cast<double>(traffic_of(step.op)) * 1e-9 / seconds));
    return 0;
}

}  // namespace

void add_layer(Program& program) {
    auto flags = std::make_shared<LayerFlags>();
    CLI::App* command = program.app.add_subcommand("layer", "one node of a step, repeated, for ncu");
    add_case_flags(command, flags->which);
    command->add_option("node", flags->node, "its name (fer plan MODEL)")->required();
    command->add_option("--iters", flags->iterations, "how often")
        ->check(CLI::Range(1, 1000000))
        ->capture_default_str();
    command->callback([&program, flags] { program.run = [flags] { return layer(*flags); }; });
}

}  // namespace fer::tool
