// The devices that this machine can run on.
#pragma once

#include <string_view>
#include <vector>

#include "engine/core/error.hpp"
#include "engine/run/devices.hpp"

namespace fer::test {

inline std::vector<std::string_view> open_devices() {
    std::vector<std::string_view> names;
    for (const std::string_view name : device_names()) {
        try {
            open_runtime(find_device(name));
            names.push_back(name);
        } catch (const DeviceError&) {  // no such hardware here
        }
    }
    return names;
}

}  // namespace fer::test
