#include "tools/fer/device_flags.hpp"

#include <algorithm>

#include "engine/core/error.hpp"
#include "engine/data/dataset.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {

void add_device_flags(CLI::App* command, DeviceFlags& flags, bool precision) {
    command->add_option("--device", flags.device, "auto | cpu | cuda | emulated");
    if (precision) {
        command->add_option("--precision", flags.precision, "auto | fp32 | tf32 | bf16 | fp16");
    }
    command->add_option("--impl", flags.impl, "op=implementation, for instance conv2d=reference")
        ->allow_extra_args(false);
    command->add_flag("--no-capture", flags.no_capture, "start every node by itself, each step anew");
    command->add_flag("--no-overlap", flags.no_overlap, "one kernel after the other, weight gradients in line");
    command->add_flag_function(
        "--tune,!--no-tune", [&flags](std::int64_t given) { flags.tune = given > 0; },
        "measure which implementation of a node is fastest, as cuda does");
    command->add_option("--tune-cache", flags.tune_cache, "file of measured times (default: tune.json in the cache)");
}

PlanOptions plan_options(const DeviceFlags& flags) {
    PlanOptions options;
    options.force = parse_forced(flags.impl);
    options.overlap = !flags.no_overlap;
    return options;
}

namespace {

std::filesystem::path tune_file(const DeviceFlags& flags) {
    if (!flags.tune_cache.empty()) {
        return flags.tune_cache;
    }
    const std::filesystem::path folder = default_cache_folder();
    return folder.empty() ? folder : folder / "tune.json";
}

}  // namespace

std::shared_ptr<Tuner> make_tuner(const DeviceFlags& flags, const Device& device, Runtime& runtime) {
    if (!flags.tune.value_or(device.name() == "cuda")) {
        return nullptr;
    }
    return std::make_shared<Tuner>(device, runtime, tune_file(flags));
}

void tell_findings(const Tuner* tuner) {
    if (tuner != nullptr) {
        for (const std::string& finding : tuner->findings()) {
            warn(finding);
        }
    }
}

std::shared_ptr<const Timings> known_timings(const DeviceFlags& flags, const Device& device) {
    const std::filesystem::path path = tune_file(flags);
    if (!flags.tune.value_or(true) || path.empty() || (!std::filesystem::exists(path) && flags.tune_cache.empty())) {
        return nullptr;
    }
    if (!std::filesystem::exists(path)) {
        throw DataError(fmt::format("{}: no such file", path.string()));
    }
    const TuneFile file(path);
    const std::vector<std::string> devices = file.devices();
    std::string name;
    try {
        name = open_runtime(device).tuning_key();
    } catch (const DeviceError&) {  // no GPU here
        name = devices.size() == 1 && !flags.tune_cache.empty() ? devices[0] : "";
    }
    return std::ranges::count(devices, name) == 0 ? nullptr : std::make_shared<const Timings>(file.timings(name));
}

Precision choose_precision(const std::string& wanted, const Device& device) {
    if (wanted == "auto") {
        return device.name() == "cuda" ? Precision::kBf16 : Precision::kFp32;
    }
    const Precision precision = precision_named(wanted);
    if (device.name() == "cpu" && precision != Precision::kFp32) {
        throw UsageError(fmt::format("the cpu computes in fp32, not in {}", wanted))
            .try_this("--precision fp32, or --device cuda or emulated");
    }
    return precision;
}

}  // namespace fer::tool
