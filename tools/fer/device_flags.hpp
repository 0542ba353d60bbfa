// --device, --precision and what else says where and how a plan runs: the same for every command that runs one.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include "engine/graph/precision.hpp"
#include "engine/plan/plan.hpp"
#include "engine/run/devices.hpp"

namespace fer::tool {

struct DeviceFlags {
    std::string device = "auto";
    std::string precision = "auto";
    std::vector<std::string> impl;
    bool no_capture = false;
};

/// Without --precision: a command whose settings have one already adds it with them.
void add_device_flags(CLI::App* command, DeviceFlags& flags, bool precision = true);

/// "auto" is bf16 on cuda and fp32 elsewhere. UsageError if the device cannot compute in it.
Precision choose_precision(const std::string& wanted, const Device& device);

}  // namespace fer::tool
