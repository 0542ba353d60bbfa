// Which step is meant: the flags of every command that runs one.
#pragma once

#include "engine/measure/step_bench.hpp"
#include "models/models.hpp"
#include "tools/fer/device_flags.hpp"

namespace fer::tool {

struct CaseFlags {
    std::string model, phase = "train", fuse = "on";
    int batch = 64;
    double width = 1;
    DeviceFlags device;
};

/// MODEL, --phase, --batch, --width, --fuse and the flags of the device.
void add_case_flags(CLI::App* command, CaseFlags& flags);

/// Of one network: Step and Plan options as the flags say; the device decides precision and fusions.
StepCase step_case(const models::Model& model, const CaseFlags& flags, const Device& device);

/// The node of the plan by its name. UsageError names the nearest.
std::size_t find_node(const Plan& plan, const std::string& name);

}  // namespace fer::tool
