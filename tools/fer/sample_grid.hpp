// A few images of a run's own data, with what the network says of them.
#pragma once

#include <string>

#include "tools/fer/loaded_model.hpp"

namespace fer::tool {

struct SampleFlags {
    int count = 0;
    std::string grid, data;
    std::int64_t seed = 0;
};

/// Prints a row for each, and draws them all on one picture: the true class, below it the predicted one, green or red.
/// Validation images: test images are looked at by `fer evaluate` alone, which counts its looks.
int sample_grid(const LoadedModel& model, const std::string& run, const SampleFlags& flags, const DeviceFlags& where,
                int batch);

}  // namespace fer::tool
