// fer-bench: how fast a network trains and runs here, and where the time goes.
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/core/file.hpp"
#include "engine/core/random.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/executor.hpp"
#include "models/models.hpp"

namespace {

using namespace fer;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct Flags {
    std::vector<std::string> models, phases{"train", "infer"}, impl;
    std::vector<int> batches{64};
    std::string json, fuse = "on";
    int steps = 20, warmup = 3, threads = 0;
};

/// A step of one model on random images, ready to run.
class Bench {
public:
    Bench(const std::string& name, const std::string& phase, int batch, const Flags& flags) : batch_(batch) {
        const models::Model& model = models::find(name);
        StepOptions options;
        options.batch = batch;
        options.fuse = fusions_for(cpu_device(), flags.fuse);
        options.input.images = kImages * batch;
        options.input.height = model.height;
        options.input.width = model.width;
        options.input.channels = model.channels;
        step_ = phase == "train" ? training_step(model.build, options) : evaluation_step(model.build, options);
        const Graph* graph = &step_.graph;
        variables_ = std::make_unique<Variables>(std::span(&graph, 1));
        initialize(*variables_, step_, 1);
        variables_->write(kLearningRate, 1e-4f);
        const auto count = static_cast<std::size_t>(options.input.images);
        const RandomStream random(1, 0, stream_of("images"));
        pixels_.resize(count * 48 * 48);
        for (std::size_t i = 0; i < pixels_.size(); ++i) {
            pixels_[i] = static_cast<std::uint8_t>(random.word(i));
        }
        labels_.resize(count);
        order_.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            labels_[i] = static_cast<std::int32_t>(random.word(i) % models::kClasses);
        }
        std::iota(order_.begin(), order_.end(), 0);
        Plan plan = make_plan(step_.graph, cpu_device(), {.force = parse_forced(flags.impl)});
        Plan prepare = make_plan(step_.prepare, cpu_device());
        arena_.reserve(std::max(plan.arena_bytes, prepare.arena_bytes));
        Executor(std::move(prepare), *variables_, arena_, {}).run();
        executor_ = std::make_unique<Executor>(
            std::move(plan), *variables_, arena_,
            std::map<std::string, const void*>{
                {fer::kImages, pixels_.data()}, {kLabels, labels_.data()}, {kOrder, order_.data()}});
        clock_ = variables_->get<std::int64_t>(phase == "train" ? kClock : kEvaluationClock);
    }

    double run() {
        clock_[kClockCursor] %= kImages * batch_;
        const auto start = Clock::now();
        executor_->run();
        return std::chrono::duration<double>(Clock::now() - start).count();
    }
    Executor& executor() { return *executor_; }

private:
    static constexpr std::int64_t kImages = 4;  // batches of data to go round

    int batch_;
    Step step_;
    std::unique_ptr<Variables> variables_;
    std::vector<std::uint8_t> pixels_;
    std::vector<std::int32_t> labels_, order_;
    Arena arena_;
    std::unique_ptr<Executor> executor_;
    std::span<std::int64_t> clock_;
};

double quantile(std::vector<double> sorted, double q) {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const auto high = std::min(low + 1, sorted.size() - 1);
    return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

double peak_rss_mb() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmHWM:")) {
            return std::stod(line.substr(6)) / 1024;
        }
    }
    return 0;
}

Json measure(const std::string& model, const std::string& phase, int batch, const Flags& flags) {
    Bench bench(model, phase, batch, flags);
    for (int i = 0; i < flags.warmup; ++i) {
        bench.run();
    }
    std::vector<double> rates;
    for (int i = 0; i < flags.steps; ++i) {
        rates.push_back(batch / bench.run());
    }
    std::ranges::sort(rates);
    const double median = quantile(rates, 0.5);
    return {{"model", model},
            {"phase", phase},
            {"batch", batch},
            {"threads", omp_get_max_threads()},
            {"device", "cpu"},
            {"precision", "fp32"},
            {"images_per_s", {{"median", median}, {"p10", quantile(rates, 0.1)}, {"p90", quantile(rates, 0.9)}}},
            {"step_ms", 1e3 * batch / median},
            {"gflop_per_s", static_cast<double>(bench.executor().plan().flops()) * 1e-9 * median / batch},
            {"steps", flags.steps},
            {"warmup", flags.warmup},
            {"arena_mb", static_cast<double>(bench.executor().plan().arena_bytes) / (1 << 20)},
            {"peak_rss_mb", peak_rss_mb()},
            {"fer", FER_VERSION}};
}

/// In a process of its own, so that peak memory is its own.
Json measure_apart(const std::string& model, const std::string& phase, int batch, const Flags& flags) {
    int ends[2];
    FER_ASSERT(::pipe(ends) == 0, "no pipe");
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        std::string text;
        try {
            text = measure(model, phase, batch, flags).dump();
        } catch (const std::exception& error) {
            text = Json{{"error", error.what()}}.dump();
        }
        const ssize_t written = ::write(ends[1], text.data(), text.size());
        ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    ::close(ends[1]);
    std::string text;
    char part[4096];
    for (ssize_t got = 0; (got = ::read(ends[0], part, sizeof part)) > 0;) {
        text.append(part, static_cast<std::size_t>(got));
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    Json row = Json::parse(text, nullptr, false);
    if (row.is_discarded() || row.contains("error")) {
        throw UsageError(row.is_discarded() ? fmt::format("{} {} ended without a result", model, phase)
                                            : row["error"].get<std::string>());
    }
    return row;
}

int run(const Flags& flags) {
    std::vector<std::string> names = flags.models;
    if (names.empty() || names == std::vector<std::string>{"all"}) {
        names.clear();
        for (const models::Model& model : models::all()) {
            names.emplace_back(model.name);
        }
    }
    for (const std::string& name : names) {
        models::find(name);  // a wrong name is told before anything is measured
    }
    Json rows = Json::array();
    fmt::print("{:<14} {:<6} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}\n", "model", "phase", "batch", "img/s", "p10",
               "p90", "ms/step", "GFLOP/s", "peak MB");
    for (const std::string& name : names) {
        for (const std::string& phase : flags.phases) {
            for (const int batch : flags.batches) {
                const Json row = measure_apart(name, phase, batch, flags);
                const Json& rate = row["images_per_s"];
                fmt::print("{:<14} {:<6} {:>6} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>8.0f}\n", name, phase,
                           batch, rate["median"].get<double>(), rate["p10"].get<double>(), rate["p90"].get<double>(),
                           row["step_ms"].get<double>(), row["gflop_per_s"].get<double>(),
                           row["peak_rss_mb"].get<double>());
                std::fflush(stdout);
                rows.push_back(row);
            }
        }
    }
    if (!flags.json.empty()) {
        write_file(flags.json, rows.dump(1) + "\n");
    }
    return 0;
}

int profile(const Flags& flags) {
    Bench bench(flags.models.front(), flags.phases.front(), flags.batches.front(), flags);
    for (int i = 0; i < flags.warmup; ++i) {
        bench.run();
    }
    Executor& executor = bench.executor();
    executor.time_steps(true);
    double total = 0;
    for (int i = 0; i < flags.steps; ++i) {
        total += bench.run();
    }
    const std::vector<PlanStep>& steps = executor.plan().steps;
    std::vector<std::size_t> order(steps.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return executor.step_seconds()[i]; });
    fmt::print("{:<34} {:<30} {:>9} {:>6} {:>9} {:>9}\n", "node", "implementation", "ms", "%", "GFLOP/s", "GB/s");
    for (const std::size_t i : order) {
        const double seconds = executor.step_seconds()[i] / flags.steps;
        if (steps[i].implementation == nullptr) {
            continue;
        }
        std::int64_t bytes = 0;
        for (const auto* list : {&steps[i].op.in, &steps[i].op.out, &steps[i].op.state}) {
            for (const TensorInfo& info : *list) {
                bytes += info.bytes();
            }
        }
        fmt::print("{:<34} {:<30} {:>9.3f} {:>6.1f} {:>9.1f} {:>9.2f}\n", steps[i].op.name,
                   fmt::format("{}.{}", name_of(steps[i].op.kind), steps[i].implementation->name), seconds * 1e3,
                   100 * seconds * flags.steps / total, static_cast<double>(flops_of(steps[i].op)) * 1e-9 / seconds,
                   static_cast<double>(bytes) * 1e-9 / seconds);
    }
    fmt::print("{:<34} {:<30} {:>9.3f}\n", "step", "", 1e3 * total / flags.steps);
    return 0;
}

int start(int argc, char** argv) {
    Flags flags;
    CLI::App app("fer-bench: how fast a network trains and runs here, and where the time goes");
    app.require_subcommand(1);
    app.fallthrough();
    app.add_option("--threads", flags.threads, "CPU threads (default: all)")->check(CLI::Range(1, 1024));
    app.add_option("--steps", flags.steps, "timed steps")->check(CLI::Range(1, 1000000))->capture_default_str();
    app.add_option("--warmup", flags.warmup, "steps before them")->check(CLI::Range(0, 1000000))->capture_default_str();
    app.add_option("--fuse", flags.fuse, "on, off, or rules separated by commas");
    app.add_option("--impl", flags.impl, "op=implementation");
    std::function<int()> chosen;
    CLI::App* rates = app.add_subcommand("run", "images per second and peak memory, each in a process of its own");
    rates->add_option("--models", flags.models, "networks, or all")->delimiter(',');
    rates->add_option("--phase", flags.phases, "train, infer")
        ->delimiter(',')
        ->check(CLI::IsMember({"train", "infer"}));
    rates->add_option("--batch", flags.batches, "images per step")->delimiter(',')->check(CLI::Range(1, 65536));
    rates->add_option("--json", flags.json, "file for the rows");
    rates->callback([&] { chosen = [&] { return run(flags); }; });
    CLI::App* nodes = app.add_subcommand("profile", "time, GFLOP/s and GB/s of each node");
    nodes->add_option("model", flags.models, "network")->required()->expected(1);
    nodes->add_option("--phase", flags.phases, "train or infer")->expected(1)->check(CLI::IsMember({"train", "infer"}));
    nodes->add_option("--batch", flags.batches, "images per step")->expected(1)->check(CLI::Range(1, 65536));
    nodes->callback([&] { chosen = [&] { return profile(flags); }; });
    try {
        app.parse(argc, argv);
        if (flags.threads > 0) {
            omp_set_num_threads(flags.threads);
        }
        return chosen();
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(Fault::kUsage);
    } catch (const Error& error) {
        fmt::print(stderr, "fer-bench: error: {}\n", error.what());
        if (!error.hint().empty()) {
            fmt::print(stderr, "  try: {}\n", error.hint());
        }
        return static_cast<int>(error.fault());
    } catch (const std::exception& error) {
        fmt::print(stderr, "fer-bench: internal error: {}\n", error.what());
        return static_cast<int>(Fault::kInternal);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return start(argc, argv);
    } catch (...) {
        return static_cast<int>(fer::Fault::kInternal);
    }
}
