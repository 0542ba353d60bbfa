// --device, --precision and what else says where and how a plan runs: the same for every command that runs one.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/graph/precision.hpp"
#include "engine/plan/plan.hpp"
#include "engine/run/devices.hpp"
#include "engine/run/tuner.hpp"

namespace fer::tool {

struct DeviceFlags {
    std::string device = "auto";
    std::string precision = "auto";
    std::vector<std::string> impl;
    bool no_capture = false, no_overlap = false;
    std::optional<bool> tune;  // none: on cuda
    std::string tune_cache;
};

/// Without --precision: a command whose settings have one already adds it with them.
void add_device_flags(CLI::App* command, DeviceFlags& flags, bool precision = true);

PlanOptions plan_options(const DeviceFlags& flags);

/// Null if nothing is to be measured: --no-tune, and on devices other than cuda no --tune.
std::shared_ptr<Tuner> make_tuner(const DeviceFlags& flags, const Device& device, Runtime& runtime);
/// What the tuner found, as warnings.
void tell_findings(const Tuner* tuner);

/// Measured times for a plan alone: those of the device's GPU, or, where there is none, of the only device in
/// --tune-cache. Null if there are none.
std::shared_ptr<const Timings> known_timings(const DeviceFlags& flags, const Device& device);

/// "auto" is bf16 on cuda and fp32 elsewhere. UsageError if the device cannot compute in it.
Precision choose_precision(const std::string& wanted, const Device& device);

}  // namespace fer::tool
