// Commands that look at networks, plans and recipes without training.
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/core/text.hpp"
#include "engine/plan/plan.hpp"
#include "engine/report/summary.hpp"
#include "engine/train/config.hpp"
#include "engine/train/trainer.hpp"
#include "models/models.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/device_flags.hpp"

namespace fer::tool {
namespace {

struct InspectFlags {
    std::string model, phase = "train", explain, fuse = "on";
    DeviceFlags device;
    int batch = 64;
    double width = 1;
    bool json = false, list = false;
};

StepOptions options_of(const models::Model& model, const InspectFlags& flags) {
    Config config;
    config.train.batch = flags.batch;
    config.train.width = flags.width;
    config.train.fuse = flags.fuse;
    StepOptions options = step_options(config, model.height, model.width, model.channels, models::kClasses);
    options.input.images = std::max(flags.batch, 1);
    return options;
}

int summary(const InspectFlags& flags) {
    if (flags.list || flags.model.empty()) {
        if (!flags.list) {
            throw UsageError("fer summary: which network?").try_this("fer summary --list shows them");
        }
        for (const models::Model& model : models::all()) {
            fmt::print("{:<14} {}x{}x{}  {}\n", model.name, model.height, model.width, model.channels, model.what);
        }
        return 0;
    }
    const models::Model& model = models::find(flags.model);
    InspectFlags plain = flags;
    plain.batch = 1;
    plain.fuse = "off";
    const Step step = evaluation_step(model.build, options_of(model, plain));
    const std::string name(model.name);
    fmt::print("{}", flags.json ? summary_json(step, name) : summary_table(step, name));
    return 0;
}

int plan(const InspectFlags& flags) {
    const Device& device = find_device(flags.device.device);
    const models::Model& model = models::find(flags.model);
    StepOptions options = options_of(model, flags);
    options.precision = choose_precision(flags.device.precision, device);
    options.fuse = fusions_for(device, options.fuse);
    const Step step =
        flags.phase == "train" ? training_step(model.build, options) : evaluation_step(model.build, options);
    PlanOptions how = plan_options(flags.device);
    how.timings = known_timings(flags.device, device);
    how.ask_all = !flags.explain.empty();
    const Plan plan = make_plan(step.graph, device, how);
    fmt::print("{}", describe(plan, flags.explain));
    if (flags.explain.empty()) {
        for (const FusionCount& fusion : step.fusions) {
            fmt::print("fused {}: {}\n", fusion.rule, fusion.count);
        }
    }
    return 0;
}

int recipe_diff(const std::string& first, const std::string& second) {
    Config a, b;
    apply_recipe(a, first);
    apply_recipe(b, second);
    fmt::print("{:<34}{:<22}{}\n", "", first, second);
    int differences = 0;
    for (const Setting& setting : settings()) {
        const std::string left = value_text(a, setting), right = value_text(b, setting);
        if (left != right) {
            fmt::print("{:<34}{:<22}{}\n", setting.key, left, right);
            ++differences;
        }
    }
    if (differences == 0) {
        fmt::print("the same settings\n");
    }
    return 0;
}

}  // namespace

void add_summary(Program& program) {
    auto flags = std::make_shared<InspectFlags>();
    CLI::App* command = program.app.add_subcommand("summary", "layers, parameters, FLOPs and activations of a network");
    command->add_option("model", flags->model, "network");
    command->add_option("--width", flags->width, "factor on filters and hidden units");
    command->add_flag("--list", flags->list, "the networks");
    command->add_flag("--json", flags->json, "as JSON");
    command->callback([&program, flags] { program.run = [flags] { return summary(*flags); }; });
}

void add_plan(Program& program) {
    auto flags = std::make_shared<InspectFlags>();
    CLI::App* command = program.app.add_subcommand("plan", "what runs, in which order, by what, at which addresses");
    command->add_option("model", flags->model, "network")->required();
    command->add_option("--phase", flags->phase, "train | infer")->check(one_of({"train", "infer"}));
    command->add_option("--batch", flags->batch, "images per step")->check(CLI::Range(1, 65536))->capture_default_str();
    command->add_option("--width", flags->width, "factor on filters and hidden units");
    command->add_option("--fuse", flags->fuse, "on, off, or rules separated by commas");
    add_device_flags(command, flags->device);
    command->add_option("--explain", flags->explain, "one node: tensors, lifetimes, refusals");
    command->callback([&program, flags] { program.run = [flags] { return plan(*flags); }; });
}

void add_recipe(Program& program) {
    CLI::App* command = program.app.add_subcommand("recipe", "built-in recipes");
    command->require_subcommand(1);
    CLI::App* list = command->add_subcommand("list", "their names");
    list->callback([&program] {
        program.run = [] {
            for (const Recipe& recipe : recipes()) {
                Config config;
                apply_recipe(config, recipe.name);
                fmt::print("{:<22} {:<14} {:>3} epochs  {} {:g}\n", recipe.name, config.train.model,
                           config.train.epochs, config.optimizer.name, config.optimizer.lr);
            }
            return 0;
        };
    });
    struct Names {
        std::string first, second;
    };
    auto names = std::make_shared<Names>();
    CLI::App* diff = command->add_subcommand("diff", "the settings in which two differ");
    diff->add_option("first", names->first, "recipe")->required();
    diff->add_option("second", names->second, "recipe")->required();
    diff->callback([&program, names] { program.run = [names] { return recipe_diff(names->first, names->second); }; });
    auto name = std::make_shared<std::string>();
    CLI::App* show = command->add_subcommand("show", "every setting of one, with its origin");
    show->add_option("name", *name, "recipe")->required();
    show->callback([&program, name] {
        program.run = [name] {
            Config config;
            apply_recipe(config, *name);
            fmt::print("{}", to_toml(config));
            return 0;
        };
    });
}

}  // namespace fer::tool
