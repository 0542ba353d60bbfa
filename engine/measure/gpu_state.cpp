// NVML by its documented entry points. Loaded when asked for: machines without a driver have none.
#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <vector>

#include "engine/measure/machine.hpp"

namespace fer {
namespace {

using Handle = void*;

// Of nvml.h: what the calls below take and give.
constexpr int kSuccess = 0;
constexpr int kClockSm = 1;
constexpr int kClockMemory = 2;

struct Reason {
    unsigned long long bit;
    const char* text;
};
constexpr std::array kReasons{
    Reason{0x004, "the power limit"}, Reason{0x008, "a hardware brake"},        Reason{0x020, "heat (driver)"},
    Reason{0x040, "heat (hardware)"}, Reason{0x080, "an external power brake"},
};

}  // namespace

struct GpuState::Library {
    void* module = nullptr;
    Handle gpu = nullptr;

    template <class... Arguments>
    bool call(const char* name, Arguments... arguments) const {
        if (module == nullptr) {
            return false;
        }
        const auto function = reinterpret_cast<int (*)(Arguments...)>(::dlsym(module, name));
        return function != nullptr && function(arguments...) == kSuccess;
    }
    template <class T>
    std::optional<T> ask(const char* name) const {
        T value{};
        return gpu != nullptr && call(name, gpu, &value) ? std::optional<T>(value) : std::nullopt;
    }
    std::optional<unsigned> clock(int which) const {
        unsigned mhz = 0;
        return gpu != nullptr && call("nvmlDeviceGetClockInfo", gpu, which, &mhz) ? std::optional(mhz) : std::nullopt;
    }
    /// A value now and one after a reset, of which the first counts.
    std::optional<bool> mode(const char* name) const {
        unsigned now = 0;
        unsigned pending = 0;
        return gpu != nullptr && call(name, gpu, &now, &pending) ? std::optional(now != 0) : std::nullopt;
    }
};

GpuState::GpuState() : library_(std::make_unique<Library>()) {
    const char* named = std::getenv("FER_NVML");
    library_->module = ::dlopen(named != nullptr ? named : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library_->call("nvmlInit_v2") || !library_->call("nvmlDeviceGetHandleByIndex_v2", 0u, &library_->gpu)) {
        library_->gpu = nullptr;
    }
}

GpuState::~GpuState() {
    if (library_->module != nullptr) {
        static_cast<void>(library_->call("nvmlShutdown"));
        ::dlclose(library_->module);
    }
}

std::optional<double> GpuState::energy_joules() const {
    const auto millijoules = library_->ask<unsigned long long>("nvmlDeviceGetTotalEnergyConsumption");
    return millijoules ? std::optional(static_cast<double>(*millijoules) * 1e-3) : std::nullopt;
}

std::optional<unsigned> GpuState::sm_clock_mhz() const { return library_->clock(kClockSm); }
std::optional<unsigned> GpuState::memory_clock_mhz() const { return library_->clock(kClockMemory); }

std::optional<double> GpuState::power_limit_watts() const {
    const auto milliwatts = library_->ask<unsigned>("nvmlDeviceGetEnforcedPowerLimit");
    return milliwatts ? std::optional(*milliwatts * 1e-3) : std::nullopt;
}

std::optional<std::string> GpuState::uuid() const {
    std::vector<char> text(96);
    if (library_->gpu == nullptr ||
        !library_->call("nvmlDeviceGetUUID", library_->gpu, text.data(), static_cast<unsigned>(text.size()))) {
        return std::nullopt;
    }
    return std::string(text.data());
}

std::optional<std::string> GpuState::driver() const {
    std::vector<char> text(96);
    if (!library_->call("nvmlSystemGetDriverVersion", text.data(), static_cast<unsigned>(text.size()))) {
        return std::nullopt;
    }
    return std::string(text.data());
}

std::optional<bool> GpuState::ecc() const { return library_->mode("nvmlDeviceGetEccMode"); }
std::optional<bool> GpuState::mig() const { return library_->mode("nvmlDeviceGetMigMode"); }

std::string GpuState::throttled() const {
    const auto reasons = library_->ask<unsigned long long>("nvmlDeviceGetCurrentClocksThrottleReasons");
    std::string text;
    for (const Reason& reason : kReasons) {
        if (reasons && (*reasons & reason.bit) != 0) {
            text += (text.empty() ? "" : ", ") + std::string(reason.text);
        }
    }
    return text;
}

}  // namespace fer
