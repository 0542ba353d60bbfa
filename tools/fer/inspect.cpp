// Commands that look at networks, plans and recipes without training.
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/core/text.hpp"
#include "engine/formats/file_kind.hpp"
#include "engine/formats/keras_h5.hpp"
#include "engine/interchange/keras_config.hpp"
#include "engine/plan/plan.hpp"
#include "engine/report/summary.hpp"
#include "engine/train/config.hpp"
#include "engine/train/run_folder.hpp"
#include "engine/train/trainer.hpp"
#include "models/models.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/device_flags.hpp"
#include "tools/fer/loaded_model.hpp"

namespace fer::tool {
namespace {

struct InspectFlags {
    std::string model, phase = "train", explain, fuse = "on";
    DeviceFlags device;
    int batch = 64;
    double width = 1;
    bool json = false, list = false;
};

namespace fs = std::filesystem;

/// A network, wherever it came from.
struct Subject {
    ModelBuilder build;
    std::string name;
    int height = 0, width = 0, channels = 0, classes = 0;
    double width_factor = 1;
};

Subject in_keras_file(const fs::path& path) {
    const std::string name = path.filename().string();
    const KerasFile file = read_keras(path);
    if (file.config.empty()) {
        throw DataError(fmt::format("{} holds weights without their layers", name))
            .try_this(fmt::format("fer import --list {}", path.string()));
    }
    const Architecture architecture = parse_keras_config(file.config, name).architecture;
    return {builder_of(architecture), architecture.name,     architecture.height,
            architecture.width,       architecture.channels, classes_of(architecture)};
}

/// A network of fer by name; else a weights file, a run folder, or a Keras file of a whole model.
Subject subject_of(const InspectFlags& flags) {
    const bool known = std::ranges::count(models::all(), flags.model, &models::Model::name) > 0;
    const fs::path path = flags.model;
    const bool names_file = path.has_extension() || path.has_parent_path();
    if (known || (!fs::exists(path) && !names_file)) {
        const models::Model& model = models::find(flags.model);
        return {model.build,    std::string(model.name), model.height, model.width,
                model.channels, models::kClasses,        flags.width};
    }
    FER_CHECK(flags.width == 1, "--width is for networks by name; {} has its own", path.string());
    const FileKind kind = fs::is_regular_file(path) ? file_kind(path) : FileKind::kSafetensors;
    if (kind == FileKind::kHdf5 || kind == FileKind::kZip) {
        return in_keras_file(path);
    }
    const fs::path weights = find_weights(path);
    const ModelCard card = read_card(SafetensorsFile(weights), weights.string());
    return {builder_of_card(card, weights.string()), card.model,       card.height, card.width, card.channels,
            static_cast<int>(card.classes.size()),   card.width_factor};
}

StepOptions options_of(const Subject& subject, const InspectFlags& flags) {
    Config config;
    config.train.batch = flags.batch;
    config.train.width = subject.width_factor;
    config.train.fuse = flags.fuse;
    StepOptions options = step_options(config, subject.height, subject.width, subject.channels, subject.classes);
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
    const Subject subject = subject_of(flags);
    InspectFlags plain = flags;
    plain.batch = 1;
    plain.fuse = "off";
    const Step step = evaluation_step(subject.build, options_of(subject, plain));
    fmt::print("{}", flags.json ? summary_json(step, subject.name) : summary_table(step, subject.name));
    return 0;
}

int plan(const InspectFlags& flags) {
    const Device& device = find_device(flags.device.device);
    const Subject subject = subject_of(flags);
    StepOptions options = options_of(subject, flags);
    options.precision = choose_precision(flags.device.precision, device);
    options.fuse = fusions_for(device, options.fuse);
    const Step step =
        flags.phase == "train" ? training_step(subject.build, options) : evaluation_step(subject.build, options);
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
    command->add_option("model", flags->model, "network, run folder, weights file, or Keras file of a whole model");
    command->add_option("--width", flags->width, "factor on filters and hidden units");
    command->add_flag("--list", flags->list, "the networks");
    command->add_flag("--json", flags->json, "as JSON");
    command->callback([&program, flags] { program.run = [flags] { return summary(*flags); }; });
}

void add_plan(Program& program) {
    auto flags = std::make_shared<InspectFlags>();
    CLI::App* command = program.app.add_subcommand("plan", "what runs, in which order, by what, at which addresses");
    command->add_option("model", flags->model, "network, run folder, weights file, or Keras file of a whole model")
        ->required();
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
