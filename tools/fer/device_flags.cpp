#include "tools/fer/device_flags.hpp"

#include "engine/core/error.hpp"

namespace fer::tool {

void add_device_flags(CLI::App* command, DeviceFlags& flags, bool precision) {
    command->add_option("--device", flags.device, "auto | cpu | cuda | emulated");
    if (precision) {
        command->add_option("--precision", flags.precision, "auto | fp32 | tf32 | bf16 | fp16");
    }
    command->add_option("--impl", flags.impl, "op=implementation, for instance conv2d=reference")
        ->allow_extra_args(false);
    command->add_flag("--no-capture", flags.no_capture, "start every node by itself, each step anew");
}

Precision choose_precision(const std::string& wanted, const Device& device) {
    if (wanted == "auto") {
        return device.name() == "cuda" ? Precision::kBf16 : Precision::kFp32;
    }
    const Precision precision = precision_named(wanted);
    if (device.name() == "cpu" && precision != Precision::kFp32) {
        throw UsageError(fmt::format("the cpu computes in fp32, not in {}", wanted))
            .try_this("--precision fp32, or --device cuda or emulated");
    }
    return precision;
}

}  // namespace fer::tool
