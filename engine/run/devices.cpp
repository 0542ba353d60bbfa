#include "engine/run/devices.hpp"

#include <algorithm>
#include <array>

#include "engine/core/error.hpp"
#include "engine/core/text.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/cuda/cuda_device.hpp"
#include "engine/run/cuda/libraries/lists.hpp"

namespace fer {
namespace {

struct Entry {
    std::string_view name;
    const Device& (*device)();  // null: not in this build
    Runtime& (*runtime)();
};

const Device& cpu() { return cpu_device(); }

constexpr std::array kEntries {
    Entry{"cpu", cpu, host_runtime},
#if defined(FER_HAVE_CUDA)
        Entry{"cuda", cuda::cuda_device, cuda::cuda_runtime},
#else
        Entry{"cuda", nullptr, nullptr},
#endif
#if defined(FER_HAVE_EMULATED)
        Entry{"emulated", emulated::cuda_device, emulated::cuda_runtime},
#else
        Entry{"emulated", nullptr, nullptr},
#endif
};

bool has_gpu() {
    for (const Entry& entry : kEntries) {
        if (entry.name == "cuda" && entry.runtime != nullptr) {
            try {
                entry.runtime();
                return true;
            } catch (const DeviceError&) {
                return false;
            }
        }
    }
    return false;
}

}  // namespace

std::vector<std::string_view> device_names() {
    std::vector<std::string_view> names;
    for (const Entry& entry : kEntries) {
        if (entry.device != nullptr) {
            names.push_back(entry.name);
        }
    }
    return names;
}

const Device& find_device(std::string_view name) {
    if (name == "auto") {
        return find_device(has_gpu() ? "cuda" : "cpu");
    }
    std::vector<std::string> known{"auto"};
    for (const Entry& entry : kEntries) {
        if (entry.name == name) {
            if (entry.device == nullptr) {
                throw DeviceError(fmt::format("this build has no device '{}'", name))
                    .because("it was built without the CUDA toolkit, or without CUDA's headers")
                    .try_this("--device cpu");
            }
            return entry.device();
        }
        known.emplace_back(entry.name);
    }
    throw UsageError(fmt::format("--device: unknown value '{}'", name))
        .try_this(fmt::format("one of {}", fmt::join(known, ", ")));
}

std::string library_versions() {
#if defined(FER_HAVE_CUDA)
    return cuda::library_versions();
#else
    return {};
#endif
}

Runtime& open_runtime(const Device& device) {
    const auto* entry = std::ranges::find(kEntries, device.name(), &Entry::name);
    FER_ASSERT(entry != kEntries.end() && entry->runtime != nullptr, "no runtime for '{}'", device.name());
    return entry->runtime();
}

}  // namespace fer
