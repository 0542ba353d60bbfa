#include "tools/fer-bench/rows.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>

#include "engine/measure/statistics.hpp"
#include "tools/fer-bench/table.hpp"

namespace fer::tool {
namespace {

constexpr std::size_t kSamples = 30;  // of a repetition that are kept
constexpr double kOthersBusy = 0.1;   // cores
constexpr double kLaunchBound = 0.8;  // of the step's time, spent starting it
constexpr std::int64_t kFewSteps = 10;

double rounded(double value) { return std::round(value * 1e6) / 1e6; }

/// What every row of one case says.
Json common_json(const BenchCase& which, const std::string& device, const Json& measured) {
    const double images = which.flags.batch;
    const double joules = measured["joules"];
    return {{"threads", omp_get_max_threads()},
            {"time_unit", "ms"},
            {"framework", std::string("fer ") + FER_VERSION},
            {"device", device},
            {"device_name", which.device},
            {"model", which.model->name},
            {"phase", which.flags.phase},
            {"batch", which.flags.batch},
            {"precision", which.flags.device.precision},
            {"capture", measured["recorded"]},
            {"streamed", which.streamed},
            {"flops", measured["flops"]},
            {"bytes", measured["bytes"]},
            {"limit_ms", measured["limit_ms"]},
            {"peak_memory_bytes", measured["peak_bytes"]},
            {"joules_per_image", joules > 0 ? Json(joules / images) : Json()}};
}

Json row(const std::string& name, const Json& common, double real_ms, double cpu_ms, double images) {
    Json json{{"name", name},
              {"run_name", name},
              {"run_type", "iteration"},
              {"repetitions", 1},
              {"repetition_index", 0},
              {"iterations", 1},
              {"real_time", rounded(real_ms)},
              {"cpu_time", rounded(cpu_ms)},
              {"items_per_second", rounded(images / real_ms * 1e3)}};
    json.update(common);
    return json;
}

std::vector<std::string> hints_of(const std::string& device, const Json& measured, double step_ms) {
    std::vector<std::string> hints;
    const Json& pieces = measured["pieces_ms"];
    const double compute = pieces["compute"];
    if (device == "emulated") {
        return {"the emulator's times say nothing about a GPU"};
    }
    if (compute > 0 && pieces["enqueue"].get<double>() > kLaunchBound * compute) {
        hints.push_back(fmt::format("launch-bound: starting a step takes {:.3f} ms of {:.3f} ms; {}",
                                    pieces["enqueue"].get<double>(), compute,
                                    measured["recorded"] ? "a larger --batch" : "--capture on"));
    }
    for (const char* way : {"upload", "download"}) {
        if (compute > 0 && pieces[way].get<double>() >= compute) {
            hints.push_back(
                fmt::format("transfer-bound: the {} takes {:.3f} ms, the step {:.3f} ms; leave out --streamed", way,
                            pieces[way].get<double>(), compute));
        }
    }
    if (const auto why = measured["throttled"].get<std::string>(); !why.empty()) {
        hints.push_back(fmt::format("throttled clocks: {}", why));
    }
    if (const double others = measured["other_cores"]; others > kOthersBusy) {
        hints.push_back(fmt::format("other processes kept {:.1f} cores busy: times are too long", others));
    }
    if (const double limit = measured["limit_ms"]; step_ms > 0 && limit > step_ms) {
        hints.push_back("above the limit: tensors stay in the caches, or the peaks were measured beside other work");
    }
    return hints;
}

std::string share_of_limit(const Json& aggregate) {
    return fmt::format("{:.0f}", 100 * aggregate["limit_ms"].get<double>() / aggregate["real_time"].get<double>());
}

}  // namespace

std::string BenchCase::name() const {
    std::string text =
        fmt::format("{}/{}/b{}/{}/{}", flags.phase, model->name, flags.batch, flags.device.precision, device);
    text += flags.width == 1 ? "" : fmt::format("/width{:g}", flags.width);
    text += device != "cpu" && flags.device.no_capture ? "/no-capture" : "";
    return text + (streamed ? "/streamed" : "");
}

Json measured_json(const StepBench& bench, const std::vector<Repetition>& repetitions, const Pieces& pieces,
                   double limit_seconds) {
    Json list = Json::array();
    double joules = 0;
    double others = 0;
    std::int64_t steps = 0;
    for (const Repetition& r : repetitions) {
        Json samples = Json::array();
        for (const double s : r.step_seconds) {
            samples.push_back(rounded(s * 1e3));
        }
        const auto count = static_cast<double>(r.steps);
        list.push_back({{"steps", r.steps},
                        {"real_ms", r.wall_seconds / count * 1e3},
                        {"cpu_ms", r.cpu_seconds / count * 1e3},
                        {"other_cores", rounded(r.other_cores)},
                        {"samples_ms", std::move(samples)}});
        joules += r.joules;
        others = std::max(others, r.other_cores);
        steps += r.steps;
    }
    const Plan& plan = bench.plan();
    return {{"repetitions", std::move(list)},
            {"plan_ms", bench.plan_seconds() * 1e3},
            {"cold_ms", bench.cold_seconds() * 1e3},
            {"recorded", bench.recorded()},
            {"flops", plan.flops()},
            {"bytes", plan.traffic()},
            {"limit_ms", limit_seconds * 1e3},
            {"peak_bytes", bench.peak_bytes()},
            {"joules", joules / static_cast<double>(steps)},
            {"other_cores", others},
            {"throttled", bench.gpu() == nullptr ? "" : bench.gpu()->throttled()},
            {"pieces_ms",
             {{"enqueue", pieces.enqueue * 1e3},
              {"upload", pieces.upload * 1e3},
              {"compute", pieces.compute * 1e3},
              {"download", pieces.download * 1e3}}}};
}

void append_rows(Json& results, const BenchCase& which, const std::string& device, const Json& measured,
                 const std::vector<double>& percentiles, int wanted_repetitions, double duration) {
    Json& rows = results["benchmarks"];
    const std::string name = which.name();
    const Json common = common_json(which, device, measured);
    const Json& repetitions = measured["repetitions"];
    const double images = which.flags.batch;
    std::vector<double> real, cpu, samples;
    std::int64_t steps = 0;
    for (const Json& r : repetitions) {
        Json one = row(name, common, r["real_ms"], r["cpu_ms"], images);
        one["repetitions"] = repetitions.size();
        one["repetition_index"] = real.size();
        one["iterations"] = r["steps"];
        one["other_cores"] = r["other_cores"];
        one["samples_ms"] = Json::array();
        for (const Json& sample : r["samples_ms"]) {
            samples.push_back(sample);
            if (one["samples_ms"].size() < kSamples) {
                one["samples_ms"].push_back(sample);
            }
        }
        rows.push_back(std::move(one));
        real.push_back(r["real_ms"]);
        cpu.push_back(r["cpu_ms"]);
        steps += r["steps"].get<std::int64_t>();
    }
    const double middle = median(real);
    Json aggregate = row(name, common, middle, median(cpu), images);
    aggregate["name"] = name + "_median";
    aggregate["run_type"] = "aggregate";
    aggregate["aggregate_name"] = "median";
    aggregate["aggregate_unit"] = "time";
    aggregate["repetitions"] = repetitions.size();
    aggregate["iterations"] = repetitions.size();
    aggregate["p10_ms"] = percentile(samples, 10);
    aggregate["p50_ms"] = median(samples);
    for (const double p : percentiles) {
        aggregate[fmt::format("p{:g}_ms", p)] = percentile(samples, p);
    }
    aggregate["p90_ms"] = percentile(samples, 90);
    aggregate["relative_iqr"] = relative_iqr(real);
    aggregate["pieces_ms"] = measured["pieces_ms"];
    aggregate["hints"] = hints_of(which.device, measured, middle);
    aggregate["notes"] = Json::array();
    if (std::ssize(real) < wanted_repetitions) {
        aggregate["notes"].push_back(
            fmt::format("{} of {} repetitions fit into {:g} s", real.size(), wanted_repetitions, duration));
    } else if (steps < kFewSteps) {
        aggregate["notes"].push_back(fmt::format("{} step{} only", steps, steps == 1 ? "" : "s"));
    }
    rows.push_back(std::move(aggregate));
    rows.push_back(row("cold/" + name, common, measured["cold_ms"], measured["cold_ms"], images));
    rows.push_back(row("plan/" + name, common, measured["plan_ms"], measured["plan_ms"], images));
}

std::vector<std::string> summary_header() {
    return {"model",   "phase",   "precision", "device",  "batch",   "img/s", "p10",  "p90",
            "ms/step", "GFLOP/s", "GB/s",      "% limit", "peak MB", "J/img", "noise"};
}

std::vector<std::string> summary_row(const Json& a) {
    const double seconds = a["real_time"].get<double>() * 1e-3;
    const double images = a["batch"];
    const double noise = a["relative_iqr"];
    const Json& joules = a["joules_per_image"];
    return {a["model"],
            a["phase"],
            a["precision"],
            a["device_name"].get<std::string>() + (a["streamed"] ? " streamed" : ""),
            fmt::format("{}", a["batch"].get<int>()),
            figure(images / seconds),
            figure(images / a["p90_ms"].get<double>() * 1e3),
            figure(images / a["p10_ms"].get<double>() * 1e3),
            figure(seconds * 1e3),
            figure(a["flops"].get<double>() * 1e-9 / seconds),
            figure(a["bytes"].get<double>() * 1e-9 / seconds),
            share_of_limit(a),
            fmt::format("{:.0f}", a["peak_memory_bytes"].get<double>() * 1e-6),
            joules.is_null() ? "-" : figure(joules),
            noise > kNoisy ? fmt::format("(! {:.0f}%)", 100 * noise) : ""};
}

std::string rate_text(double flops_per_s) {
    return flops_per_s >= 1e12 ? fmt::format("{} TFLOP/s", figure(flops_per_s * 1e-12))
                               : fmt::format("{} GFLOP/s", figure(flops_per_s * 1e-9));
}

}  // namespace fer::tool
