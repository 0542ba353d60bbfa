#include "tools/fer-bench/case_flags.hpp"

#include "engine/core/text.hpp"
#include "tools/fer/program.hpp"

namespace fer::tool {

void add_case_flags(CLI::App* command, CaseFlags& flags) {
    command->add_option("model", flags.model, "network (fer summary --list)")->required();
    command->add_option("--phase", flags.phase, "train | infer")->check(one_of({"train", "infer"}));
    command->add_option("--batch", flags.batch, "images per step")->check(CLI::Range(1, 65536))->capture_default_str();
    command->add_option("--width", flags.width, "factor on filters and hidden units");
    command->add_option("--fuse", flags.fuse, "on, off, or rules separated by commas");
    add_device_flags(command, flags.device);
}

StepCase step_case(const models::Model& model, const CaseFlags& flags, const Device& device) {
    StepCase which;
    which.build = model.build;
    which.use = flags.phase == "train" ? Session::Use::kTrain : Session::Use::kEvaluateOnly;
    which.plan = plan_options(flags.device);
    which.capture = !flags.device.no_capture;
    which.step.batch = flags.batch;
    which.step.classes = models::kClasses;
    which.step.width = static_cast<float>(flags.width);
    which.step.fuse = flags.fuse;
    which.step.precision = choose_precision(flags.device.precision, device);
    which.step.input.height = model.height;
    which.step.input.width = model.width;
    which.step.input.channels = model.channels;
    which.step.input.rescale.scale = 1.0f / 255;
    return which;
}

std::size_t find_node(const Plan& plan, const std::string& name) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        if (plan.steps[i].op.name == name && plan.steps[i].implementation != nullptr) {
            return i;
        }
        names.push_back(plan.steps[i].op.name);
    }
    const std::string near = nearest(name, names);
    throw UsageError(fmt::format("the step has no node '{}' that runs", name))
        .try_this(near.empty() || near == name ? "fer plan MODEL lists the nodes"
                                               : fmt::format("did you mean '{}'?", near));
}

}  // namespace fer::tool
