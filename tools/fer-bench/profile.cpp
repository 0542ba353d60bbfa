// One step node by node: where the time goes. Each node is timed by itself, in a run of its own that is not the one
// fer-bench run measures: there nodes overlap and no event stands between them.
#include <algorithm>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/measure/peaks.hpp"
#include "engine/measure/results.hpp"
#include "engine/measure/statistics.hpp"
#include "tools/fer-bench/case_flags.hpp"
#include "tools/fer-bench/commands.hpp"
#include "tools/fer-bench/profile_files.hpp"
#include "tools/fer-bench/table.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

constexpr double kInputBound = 0.25;  // of the step, spent on its images

struct ProfileFlags {
    CaseFlags which;
    std::string sort = "time", json, profile, trace, svg;
    int steps = 10, warmup = 2, top = 0;
};

/// What the runner-up took, where candidates were measured.
std::string next_best(const PlanStep& step) {
    for (const Timing& timing : step.timings) {
        if (timing.implementation != step.implementation->name) {
            return fmt::format("{} {:.3f}", timing.implementation, timing.microseconds * 1e-3);
        }
    }
    return "-";
}

/// The median of the timed steps, per node, in ms.
std::vector<double> time_nodes(StepBench& bench, const ProfileFlags& flags) {
    Executor& executor = bench.executor();
    for (int i = 0; i < flags.warmup; ++i) {
        bench.step();
    }
    std::vector<std::vector<double>> times(executor.plan().steps.size());
    for (int i = 0; i < flags.steps; ++i) {
        bench.rewind();
        executor.time_steps(true);
        executor.run();
        for (std::size_t s = 0; s < times.size(); ++s) {
            times[s].push_back(executor.step_seconds()[s] * 1e3);
        }
    }
    executor.time_steps(false);
    std::vector<double> medians;
    for (const std::vector<double>& node : times) {
        medians.push_back(median(node));
    }
    return medians;
}

std::vector<NodeRow> rows_of(StepBench& bench, const ProfileFlags& flags, const Peaks& peaks) {
    const Executor& executor = bench.executor();
    const std::vector<PlanStep>& steps = executor.plan().steps;
    const std::vector<double> ms = time_nodes(bench, flags);
    const std::vector<Phase> phases = phases_of(executor.plan());
    std::vector<NodeRow> rows;
    for (std::size_t s = 0; s < steps.size(); ++s) {
        const PlanStep& step = steps[s];
        if (step.implementation == nullptr) {
            continue;
        }
        rows.push_back({.step = s,
                        .name = step.op.name,
                        .implementation = fmt::format("{}.{}", name_of(step.op.kind), step.implementation->name),
                        .next_best = next_best(step),
                        .phase = phases[s],
                        .ms = ms[s],
                        .flops = flops_of(step.op),
                        .bytes = traffic_of(step.op),
                        .limit = limit_of(step.op, peaks),
                        .recorded = s < executor.recorded_nodes().size() ? executor.recorded_nodes()[s]
                                                                         : std::pair<std::int64_t, std::int64_t>{}});
    }
    double total = 0;
    for (const NodeRow& r : rows) {
        total += r.ms;
    }
    for (NodeRow& r : rows) {
        r.share = 100 * r.ms / total;
    }
    return rows;
}

void sort_rows(std::vector<NodeRow>& rows, const std::string& by) {
    const auto descending = [&](auto key) { std::ranges::stable_sort(rows, std::ranges::greater{}, key); };
    if (by == "time") {
        descending(&NodeRow::ms);
    } else if (by == "flops") {
        descending(&NodeRow::flops);
    } else if (by == "bytes") {
        descending(&NodeRow::bytes);
    } else if (by == "lost") {  // the most time above the limit first
        descending([](const NodeRow& r) { return r.ms - r.limit.seconds * 1e3; });
    }
}

Table table_of(const std::vector<NodeRow>& rows, int top) {
    Table table({"node", "phase", "implementation", "bound by", "ms", "%", "MFLOP", "MB", "GFLOP/s", "GB/s", "% limit",
                 "next best ms"},
                4);
    for (const NodeRow& r : rows) {
        if (top > 0 && std::ssize(rows) > top && &r - rows.data() >= top) {
            break;
        }
        table.add({r.name, std::string(name_of(r.phase)), r.implementation, std::string(name_of(r.limit.bound)),
                   fmt::format("{:.3f}", r.ms), fmt::format("{:.1f}", r.share),
                   figure(static_cast<double>(r.flops) * 1e-6), figure(static_cast<double>(r.bytes) * 1e-6),
                   figure(r.ms == 0 ? 0 : static_cast<double>(r.flops) * 1e-6 / r.ms),
                   figure(r.ms == 0 ? 0 : static_cast<double>(r.bytes) * 1e-6 / r.ms),
                   fmt::format("{:.0f}", r.percent_of_limit()), r.next_best});
    }
    return table;
}

Table phase_table(const std::vector<NodeRow>& rows) {
    Table table({"phase", "ms", "%", "GFLOP", "GB"}, 1);
    for (int p = 0; p < static_cast<int>(Phase::kCount); ++p) {
        double ms = 0, share = 0, flops = 0, bytes = 0;
        for (const NodeRow& r : rows) {
            if (r.phase == static_cast<Phase>(p)) {
                ms += r.ms;
                share += r.share;
                flops += static_cast<double>(r.flops);
                bytes += static_cast<double>(r.bytes);
            }
        }
        if (ms > 0) {
            table.add({std::string(name_of(static_cast<Phase>(p))), fmt::format("{:.3f}", ms),
                       fmt::format("{:.1f}", share), figure(flops * 1e-9), figure(bytes * 1e-9)});
        }
    }
    return table;
}

void tell_hints(const std::vector<NodeRow>& rows) {
    double data = 0;
    double all = 0;
    for (const NodeRow& r : rows) {
        data += r.phase == Phase::kData ? r.ms : 0;
        all += r.ms;
    }
    if (data > kInputBound * all) {
        note(fmt::format("input-bound: {:.0f} % of the step prepares its images", 100 * data / all));
    }
}

int profile(const ProfileFlags& flags) {
    const Device& device = find_device(flags.which.device.device);
    const models::Model& model = models::find(flags.which.model);
    const StepCase which = step_case(model, flags.which, device);
    Runtime& runtime = open_runtime(device);
    const Peaks peaks = measure_peaks(device, runtime, which.step.precision);
    const std::shared_ptr<Tuner> tuner = make_tuner(flags.which.device, device, runtime);
    StepBench bench(which, device, runtime, nullptr, tuner);
    if (device.name() != "cpu" && which.capture) {
        bench.step();  // the second run is recorded: which nodes of the recording are whose
    }
    std::vector<NodeRow> rows = rows_of(bench, flags, peaks);
    tell_findings(tuner.get());
    double step_ms = 0;
    for (const NodeRow& r : rows) {
        step_ms += r.ms;
    }
    const ProfileTitle about{flags.which.model,     flags.which.phase,
                             flags.which.batch,     std::string(name_of(which.step.precision)),
                             runtime.description(), step_ms};
    if (!flags.svg.empty()) {
        write_file(flags.svg, profile_svg(rows, about));
    }
    if (!flags.trace.empty()) {
        write_file(flags.trace, trace_json(rows).dump() + "\n");
    }
    sort_rows(rows, flags.sort);
    fmt::print("{}\n{}", table_of(rows, flags.top).text(Table::Style::kText),
               phase_table(rows).text(Table::Style::kText));
    fmt::print("step {:.3f} ms, each node by itself, without a graph; limit layer by layer {:.3f} ms ({:.0f} %)\n",
               step_ms, limit_seconds(bench.plan(), peaks) * 1e3,
               100 * limit_seconds(bench.plan(), peaks) * 1e3 / step_ms);
    tell_hints(rows);
    if (!flags.json.empty()) {
        write_file(flags.json, profile_json(rows, about, peaks).dump(1) + "\n");
    }
    if (!flags.profile.empty()) {
        write_file(flags.profile, trtexec_json(rows, flags.steps).dump(1) + "\n");
    }
    return 0;
}

}  // namespace

void add_profile(Program& program) {
    auto flags = std::make_shared<ProfileFlags>();
    CLI::App* command = program.app.add_subcommand("profile", "each node of a step: time, work, limit, implementation");
    add_case_flags(command, flags->which);
    command->add_option("--steps", flags->steps, "timed steps")->check(CLI::Range(1, 1000000))->capture_default_str();
    command->add_option("--sort", flags->sort, "time | lost | flops | bytes | order")
        ->check(one_of({"time", "lost", "flops", "bytes", "order"}));
    command->add_option("--top", flags->top, "lines to print (default: all)")->check(CLI::Range(1, 1000000));
    command->add_option("--json", flags->json, "file of the table, with the graph nodes of each node");
    command->add_option("--export-profile", flags->profile, "the same with the keys of trtexec's");
    command->add_option("--svg", flags->svg,
                        "file for a picture: the phases, and the longest nodes beside their limits");
    command->add_option("--chrome-trace", flags->trace, "file for Perfetto and chrome://tracing");
    command->callback([&program, flags] { program.run = [flags] { return profile(*flags); }; });
}

}  // namespace fer::tool
