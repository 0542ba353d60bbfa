// What a command line of `fer train` says, and the configuration that comes of it.
#pragma once

#include <map>
#include <string>

#include "engine/train/config.hpp"
#include "tools/fer/device_flags.hpp"

namespace fer::tool {

struct TrainFlags {
    std::string model, recipe, config, resume, name, progress = "auto";
    std::string out = "runs/train", profile_steps;
    bool exist_ok = false, dry_run = false, no_cache = false;
    std::map<std::string, std::string> settings;  // key -> text
    DeviceFlags device;
};

/// defaults < recipe < --config < FER_* < flags. A resumed run starts from its own saved configuration.
Config resolve(const TrainFlags& flags);

}  // namespace fer::tool
