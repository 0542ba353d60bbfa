// Whole steps: images per second, latency, limits, memory and energy, each case in a process of its own.
#include <fmt/ranges.h>
#include <omp.h>

#include <sstream>

#include "engine/core/file.hpp"
#include "engine/data/dataset.hpp"
#include "engine/measure/peaks.hpp"
#include "tools/fer-bench/apart.hpp"
#include "tools/fer-bench/case_flags.hpp"
#include "tools/fer-bench/commands.hpp"
#include "tools/fer-bench/rows.hpp"
#include "tools/fer-bench/table.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

struct RunFlags {
    std::vector<std::string> models{"all"}, phases{"train", "infer"}, capture{"on"};
    std::vector<int> batches{64};
    std::string data, json, csv, markdown, commit, fuse = "on";
    std::vector<double> percentiles{90, 95, 99};
    double width = 1, warmup_ms = 200, duration = 3;
    int iterations = 0, repetitions = 9, steps = 0;
    bool streamed = false;
    DeviceFlags device;
};

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> words;
    std::istringstream stream(list);
    for (std::string word; std::getline(stream, word, ',');) {
        words.push_back(word);
    }
    return words;
}

std::vector<const models::Model*> models_of(const RunFlags& flags) {
    std::vector<const models::Model*> chosen;
    for (const std::string& name : flags.models) {
        if (name == "all") {
            for (const models::Model& model : models::all()) {
                chosen.push_back(&model);
            }
        } else {
            chosen.push_back(&models::find(name));
        }
    }
    return chosen;
}

/// Every case, before anything is measured: a mistake in the last one shows at once.
std::vector<BenchCase> cases_of(const RunFlags& flags) {
    std::vector<BenchCase> cases;
    for (const std::string& device : split(flags.device.device)) {
        // Only the children may touch a device: what has opened one cannot be copied into them.
        const std::string name = device != "auto"
                                     ? std::string(find_device(device).name())
                                     : apart([] { return Json(find_device("auto").name()); }).get<std::string>();
        for (const models::Model* model : models_of(flags)) {
            for (const std::string& phase : flags.phases) {
                for (const int batch : flags.batches) {
                    for (const std::string& precision : split(flags.device.precision)) {
                        for (const std::string& capture : flags.capture) {
                            BenchCase one{.model = model, .device = name, .flags = {}, .streamed = flags.streamed};
                            one.flags = {std::string(model->name), phase, flags.fuse, batch, flags.width, flags.device};
                            one.flags.device.precision = name_of(choose_precision(precision, find_device(name)));
                            one.flags.device.no_capture = flags.device.no_capture || capture == "off";
                            cases.push_back(one);
                        }
                    }
                }
            }
        }
    }
    return cases;
}

Json gpu_json(const GpuState& gpu) {
    Json json;
    const auto put = [&](const char* key, const auto& value) { json[key] = value ? Json(*value) : Json(); };
    put("driver", gpu.driver());
    put("gpu_uuid", gpu.uuid());
    put("sm_clock_mhz", gpu.sm_clock_mhz());
    put("mem_clock_mhz", gpu.memory_clock_mhz());
    put("power_limit_w", gpu.power_limit_watts());
    put("ecc", gpu.ecc());
    put("mig", gpu.mig());
    return json;
}

/// What is known of a device: its name in full, what it can do at best in each precision that is asked for.
Json look_at(const std::string& name, const std::vector<BenchCase>& cases) {
    return apart([&] {
        const Device& device = find_device(name);
        Runtime& runtime = open_runtime(device);
        Json json{
            {"description", runtime.description()}, {"threads", omp_get_max_threads()}, {"peaks", Json::object()}};
        for (const BenchCase& one : cases) {
            const std::string& precision = one.flags.device.precision;
            if (one.device == name && !json["peaks"].contains(precision)) {
                const Peaks peaks = measure_peaks(device, runtime, precision_named(precision));
                json["peaks"][precision] = {{"flops_per_s", peaks.flops_per_s}, {"bytes_per_s", peaks.bytes_per_s}};
            }
        }
        if (name != "cpu") {
            json.update(gpu_json(GpuState()));
        }
        if (name == "cuda") {
            json["libraries"] = library_versions();
        }
        return json;
    });
}

Json measure(const BenchCase& one, const RunFlags& flags, const Peaks& peaks) {
    return apart([&] {
        const Device& device = find_device(one.device);
        Runtime& runtime = open_runtime(device);
        StepCase which = step_case(*one.model, one.flags, device);
        which.streamed = one.streamed;
        const std::shared_ptr<Tuner> tuner = make_tuner(one.flags.device, device, runtime);
        const Dataset data = flags.data.empty() ? Dataset{} : open_dataset(flags.data);
        StepBench bench(which, device, runtime, flags.data.empty() ? nullptr : &data, tuner);
        const std::vector<Repetition> repetitions = bench.measure({.warmup = flags.warmup_ms * 1e-3,
                                                                   .duration = flags.duration,
                                                                   .repetitions = flags.repetitions,
                                                                   .iterations = flags.iterations,
                                                                   .exact_steps = flags.steps});
        double spent = 0;
        for (const Repetition& r : repetitions) {
            spent += r.wall_seconds;
        }
        // Only where it says more than the steps did, and where a step is short enough to be repeated.
        const bool apart_too = (!runtime.host_memory() || one.streamed) && spent < 10 * std::max(1.0, flags.duration);
        const Pieces pieces = apart_too ? bench.take_to_pieces(std::min(10, std::max(1, flags.steps))) : Pieces{};
        return measured_json(bench, repetitions, pieces, limit_seconds(bench.plan(), peaks));
    });
}

void save(const RunFlags& flags, const Json& results) {
    if (!flags.json.empty()) {
        write_file(flags.json, results_text(results));
    }
}

/// What is wrong with one case, kept with the results so far.
void record_error(Json& results, const BenchCase& one, const Error& error) {
    results["errors"].push_back({{"name", one.name()},
                                 {"message", error.what()},
                                 {"why", error.why()},
                                 {"status", static_cast<int>(error.fault())}});
}

Table table_of(const Json& results) {
    Table table(summary_header(), 4);
    for (const Json& row : results["benchmarks"]) {
        if (row["run_type"] == "aggregate") {
            table.add(summary_row(row));
        }
    }
    return table;
}

void tell(const Json& results, std::size_t from) {
    for (std::size_t i = from; i < results["benchmarks"].size(); ++i) {
        const Json& row = results["benchmarks"][i];
        for (const char* kind : {"hints", "notes"}) {
            for (const Json& text : row.value(kind, Json::array())) {
                note(fmt::format("{}: {}", row["run_name"].get<std::string>(), text.get<std::string>()));
            }
        }
    }
}

int run(const RunFlags& flags) {
    const std::vector<BenchCase> cases = cases_of(flags);
    Json devices = Json::object();
    for (const BenchCase& one : cases) {
        if (!devices.contains(one.device)) {
            devices[one.device] = look_at(one.device, cases);
            const Json& seen = devices[one.device];
            for (const auto& [precision, peaks] : seen["peaks"].items()) {
                note(fmt::format("{}: {} in {} at best, copies at {} GB/s", seen["description"].get<std::string>(),
                                 rate_text(peaks["flops_per_s"]), precision,
                                 figure(peaks["bytes_per_s"].get<double>() * 1e-9)));
            }
        }
    }
    Json results = new_results({{"version", FER_VERSION}, {"commit", flags.commit}, {"devices", devices}});
    int status = 0;
    for (const BenchCase& one : cases) {
        const std::size_t before = results["benchmarks"].size();
        const Json& peaks = devices[one.device]["peaks"][one.flags.device.precision];
        try {
            const Json measured = measure(one, flags, {peaks["flops_per_s"], peaks["bytes_per_s"]});
            append_rows(results, one, devices[one.device]["description"], measured, flags.percentiles,
                        flags.steps > 0 ? 1 : flags.repetitions, flags.duration);
        } catch (const Error& error) {
            record_error(results, one, error);
            save(flags, results);
            if (error.fault() != Fault::kMemory) {  // the next case would meet it again
                if (!results["benchmarks"].empty()) {
                    fmt::print("{}", table_of(results).text(Table::Style::kText));
                }
                throw;
            }
            status = report(error);
        }
        save(flags, results);
        tell(results, before);
    }
    const Table table = table_of(results);
    fmt::print("{}", table.text(Table::Style::kText));
    if (!flags.csv.empty()) {
        write_file(flags.csv, table.text(Table::Style::kCsv));
    }
    if (!flags.markdown.empty()) {
        write_file(flags.markdown, table.text(Table::Style::kMarkdown));
    }
    return status;
}

}  // namespace

void add_run(Program& program) {
    auto flags = std::make_shared<RunFlags>();
    CLI::App* command = program.app.add_subcommand("run", "images/s, latency, limits, memory, energy of whole steps");
    command->add_option("--models", flags->models, "networks, or all")->delimiter(',');
    command->add_option("--phase", flags->phases, "train, infer")->delimiter(',')->check(one_of({"train", "infer"}));
    command->add_option("--batch", flags->batches, "images per step")->delimiter(',')->check(CLI::Range(1, 65536));
    command->add_option("--capture", flags->capture, "on, off: steps replayed as one graph, or node by node")
        ->delimiter(',')
        ->check(one_of({"on", "off"}));
    command->add_flag("--streamed", flags->streamed, "images from the host in every step, probabilities to it");
    command->add_option("--data", flags->data, "a data set's images instead of random ones");
    command->add_option("--width", flags->width, "factor on filters and hidden units");
    command->add_option("--fuse", flags->fuse, "on, off, or rules separated by commas");
    command->add_option("--warmup-ms", flags->warmup_ms, "at least; then until the steps have settled")
        ->check(CLI::Range(0.0, 1e6))
        ->capture_default_str();
    command->add_option("--duration", flags->duration, "seconds per case; one repetition at least")
        ->check(CLI::Range(0.0, 1e6))
        ->capture_default_str();
    command->add_option("--repetitions", flags->repetitions, "parts of that, compared with each other")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    command->add_option("--iterations", flags->iterations, "steps per case at least, however long they take");
    command->add_option("--steps", flags->steps, "exactly so many, in one repetition")->check(CLI::Range(1, 1000000));
    command->add_option("--percentiles", flags->percentiles, "of the step's time")
        ->delimiter(',')
        ->check(CLI::Range(0.0, 100.0));
    command->add_option("--json,--out", flags->json, "file of all rows, written anew after each case");
    command->add_option("--csv", flags->csv, "file of the table");
    command->add_option("--markdown", flags->markdown, "file of the table");
    command->add_option("--commit", flags->commit, "what was built, for the file of rows");
    add_device_flags(command, flags->device);
    command->callback([&program, flags] { program.run = [flags] { return run(*flags); }; });
}

}  // namespace fer::tool
