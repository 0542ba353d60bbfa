// Command lines for Nsight Systems and Nsight Compute that look at what these programs mark.
#include <algorithm>

#include "tools/fer-bench/case_flags.hpp"
#include "tools/fer-bench/commands.hpp"

namespace fer::tool {
namespace {

struct NsightFlags {
    CaseFlags which;
    std::string node, steps = "20:40", program;
};

/// What differs from the defaults, as it was given.
std::string arguments(const CaseFlags& which, bool trains) {
    std::string text = which.model + fmt::format(" --batch {}", which.batch);
    text += !trains ? fmt::format(" --phase {}", which.phase) : "";
    text += which.width == 1 ? "" : fmt::format(" --width {:g}", which.width);
    text += which.fuse == "on" ? "" : " --fuse " + which.fuse;
    text += fmt::format(" --device {}", which.device.device == "auto" ? "cuda" : which.device.device);
    text += which.device.precision == "auto" ? "" : " --precision " + which.device.precision;
    for (const std::string& impl : which.device.impl) {
        text += " --impl " + impl;
    }
    return text + (which.device.no_overlap ? " --no-overlap" : "");
}

/// The plans of `emulated` have the nodes of those of `cuda`, which not every build has.
const Device& device_to_plan_for(const std::string& name) {
    const auto built = device_names();
    const bool stands_in = (name == "auto" || name == "cuda") && std::ranges::count(built, "cuda") == 0;
    return find_device(stands_in ? "emulated" : name == "auto" ? "cuda" : name);
}

/// Plans what the command will run: a wrong node shows here, not after minutes in a profiler.
void check_node(const NsightFlags& flags) {
    const Device& device = device_to_plan_for(flags.which.device.device);
    StepCase which = step_case(models::find(flags.which.model), flags.which, device);
    which.step.input.images = which.step.batch;
    which.step.fuse = fusions_for(device, which.step.fuse);
    const Step step = which.use == Session::Use::kTrain ? training_step(which.build, which.step)
                                                        : evaluation_step(which.build, which.step);
    find_node(make_plan(step.graph, device, which.plan), flags.node);
}

int nsys(const NsightFlags& flags) {
    models::find(flags.which.model);
    const bool graph = !flags.which.device.no_capture;
    fmt::print(
        "nsys profile --trace=cuda,nvtx --sample=none --cuda-graph-trace={} --capture-range=cudaProfilerApi "
        "--capture-range-end=stop --output={} fer train {} --data synthetic:4000 --epochs 1 --profile-steps {}{}\n",
        graph ? "node" : "graph", flags.which.model, arguments(flags.which, true), flags.steps,
        graph ? "" : " --no-capture");
    return 0;
}

int ncu(const NsightFlags& flags) {
    models::find(flags.which.model);
    check_node(flags);
    fmt::print(
        "ncu --nvtx --nvtx-include \"fer@{}/\" --profile-from-start off --set full --export {} "
        "fer-bench layer {} {} --iters 1\n",
        flags.node, flags.which.model, arguments(flags.which, false), flags.node);
    return 0;
}

}  // namespace

void add_nsight(Program& program) {
    auto flags = std::make_shared<NsightFlags>();
    CLI::App* systems =
        program.app.add_subcommand("nsys-cmd", "a command line for Nsight Systems: where a step's time goes");
    add_case_flags(systems, flags->which);
    systems->add_option("--profile-steps", flags->steps, "steps to look at, A:B")->capture_default_str();
    systems->callback([&program, flags] { program.run = [flags] { return nsys(*flags); }; });
    auto node = std::make_shared<NsightFlags>();
    CLI::App* compute =
        program.app.add_subcommand("ncu-cmd", "a command line for Nsight Compute: why a node's kernels are slow");
    add_case_flags(compute, node->which);
    compute->add_option("node", node->node, "its name (fer plan MODEL)")->required();
    compute->callback([&program, node] { program.run = [node] { return ncu(*node); }; });
}

}  // namespace fer::tool
