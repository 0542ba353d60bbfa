// The state of the machine around a measurement: memory and processors of the host, clocks and energy of a GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace fer {

/// The most memory this process has held, in bytes; 0 where the system does not say.
std::int64_t peak_resident_bytes();

/// What this process may still take: what the system calls available, and no more than its control group is granted.
std::int64_t available_bytes();

/// Processor time since the machine started and since this process did.
struct BusySeconds {
    double machine = 0, process = 0;
};
BusySeconds busy_seconds();

/// What NVIDIA's management library says of the first GPU. Each value is missing where the library, the driver or the
/// GPU does not give it.
class GpuState {
public:
    /// Loads libnvidia-ml, or what FER_NVML names. Never throws: without it nothing is known.
    GpuState();
    ~GpuState();
    GpuState(const GpuState&) = delete;
    GpuState& operator=(const GpuState&) = delete;

    std::optional<double> energy_joules() const;  // since the driver was loaded
    std::optional<unsigned> sm_clock_mhz() const;
    std::optional<unsigned> memory_clock_mhz() const;
    std::optional<double> power_limit_watts() const;
    std::optional<std::string> uuid() const;
    std::optional<std::string> driver() const;
    std::optional<bool> ecc() const;
    std::optional<bool> mig() const;
    /// Why the clocks are below what was asked for, in words: power, heat, an external brake. Empty: they are not.
    std::string throttled() const;

private:
    struct Library;
    std::unique_ptr<Library> library_;
};

}  // namespace fer
