// The devices of this build, by name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/plan/implementation.hpp"
#include "engine/run/runtime.hpp"

namespace fer {

/// "cpu", then "cuda" and "emulated" where this build has them.
std::vector<std::string_view> device_names();

/// What plans of that device are made for; needs no hardware. "auto" is cuda where there is a GPU, else cpu.
/// UsageError for an unknown name, DeviceError for one that this build lacks.
const Device& find_device(std::string_view name);

/// Where they run. DeviceError if the hardware is not there.
Runtime& open_runtime(const Device& device);

/// Of the libraries that implementations on cuda may come from: "cuDNN 9.19.0, cuBLASLt 13.1.0", with "no" before one
/// that was not found. Empty: this build has no device `cuda`.
std::string library_versions();

}  // namespace fer
