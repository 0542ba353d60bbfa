#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <map>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/train/run_folder.hpp"
#include "models/models.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/progress.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct TrainFlags {
    std::string model, recipe, config, resume, name, progress = "auto", device = "auto";
    std::string out = "runs/train";
    bool exist_ok = false, dry_run = false, no_cache = false;
    std::map<std::string, std::string> settings;  // key -> text
    std::vector<std::string> impl;                // op=name
};

std::atomic<bool> stop_requested{false};
std::atomic<int> stop_signal{0};

// The first signal asks for an orderly end; the second one ends the program at once.
void on_signal(int signal) {
    stop_requested = true;
    stop_signal = signal;
    std::signal(signal, SIG_DFL);
}

/// defaults < recipe < --config < FER_* < flags. A resumed run starts from its own saved configuration.
Config resolve(const TrainFlags& flags) {
    Config config;
    if (!flags.resume.empty()) {
        const fs::path saved = fs::path(flags.resume) / "config.toml";
        apply_toml(config, read_file(saved), saved.string(), Origin::kFile);
    } else {
        if (!flags.recipe.empty()) {
            apply_recipe(config, flags.recipe);
        }
        if (!flags.config.empty()) {
            apply_toml(config, read_file(flags.config), flags.config, Origin::kFile);
        }
        apply_environment(config);
    }
    for (const Setting& setting : settings()) {
        const auto given = flags.settings.find(std::string(setting.key));
        if (given != flags.settings.end()) {
            set_from_text(config, setting, given->second, Origin::kFlag, std::string(setting.flag));
        }
    }
    if (!flags.model.empty()) {
        FER_CHECK(flags.resume.empty() || flags.model == config.train.model, "{} trains {}, not {}", flags.resume,
                  config.train.model, flags.model);
        config.train.model = flags.model;
        config.origin["train.model"] = Origin::kFlag;
    }
    if (flags.settings.contains("early_stopping.patience")) {
        config.early_stopping.enabled = true;
        config.origin["early_stopping.enabled"] = Origin::kFlag;
    }
    return config;
}

Split make_split(const Dataset& data, const DataConfig& config) {
    return config.split == "official" ? split_official(data) : split_folder(data, config.val_split);
}

PlanOptions plan_options(const std::vector<std::string>& impl) {
    PlanOptions options;
    for (const std::string& pair : impl) {
        const std::size_t equals = pair.find('=');
        FER_CHECK(equals != std::string::npos, "--impl takes op=name, got '{}'", pair);
        options.force[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return options;
}

std::int64_t parameter_count(const Step& step) {
    std::int64_t count = 0;
    for (const Variable& variable : step.variables) {
        count += step.graph.value(variable.id).info.shape.count();
    }
    return count;
}

void tell_data(const Dataset& data) {
    for (const std::string& text : data.notes) {
        note(text);
    }
    if (!data.skipped.empty()) {
        warn(fmt::format("{} of {} images skipped; the first: {}", data.skipped.size(),
                         static_cast<std::int64_t>(data.skipped.size()) + data.size(), data.skipped.front()));
    }
}

/// Everything a run is made of, so that the end can be written whatever it is.
struct Run {
    Config config;
    Dataset data;
    Split split;
    std::unique_ptr<Session> session;
    ModelCard card;
    Manifest manifest;
    fs::path folder;
};

void open_run(Run& run, const TrainFlags& flags) {
    const models::Model& model = models::find(run.config.train.model);
    for (const std::string& text : check(run.config)) {
        warn(text);
    }
    DataOptions options;
    options.strict = run.config.data.strict;
    options.use_cache = !flags.no_cache;
    run.data = open_dataset(run.config.data.path, options);
    tell_data(run.data);
    run.split = make_split(run.data, run.config.data);
    FER_CHECK(run.data.classes.size() == models::kClasses, "the data has {} classes ({}); the networks have {}",
              run.data.classes.size(), fmt::join(run.data.classes, ", "), models::kClasses);
    run.session = std::make_unique<Session>(
        model.build, step_options(run.config, model.height, model.width, model.channels, models::kClasses), run.data,
        cpu_device(), Session::Use::kTrain, plan_options(flags.impl));
    run.card = {.model = std::string(model.name),
                .classes = run.data.classes,
                .height = model.height,
                .width = model.width,
                .channels = model.channels,
                .rescale = run.config.data.rescale,
                .width_factor = run.config.train.width,
                .recipe = run.config.recipe,
                .data = run.config.data.path,
                .fingerprint = fmt::format("{:016x}", run.data.fingerprint)};
    run.manifest.train_images = static_cast<std::int64_t>(run.split.train.size());
    run.manifest.validation_images = static_cast<std::int64_t>(run.split.validation.size());
    run.manifest.test_images = static_cast<std::int64_t>(run.split.test.size());
    run.manifest.parameters = parameter_count(run.session->step());
    run.manifest.data_fingerprint = run.card.fingerprint;
    run.manifest.split = run.config.data.split == "official" ? "official" : fmt::format("folder, validation {}", run.config.data.val_split);
}

void tell_plan(const Run& run) {
    const std::int64_t batch = run.config.train.batch;
    fmt::print(stderr, "plan  {} {} params | {} train / {} val | batch {} | {} steps/epoch | {} {:g} | fp32 | cpu\n",
               run.config.train.model, thousands(run.manifest.parameters), run.manifest.train_images,
               run.manifest.validation_images, batch, (run.manifest.train_images + batch - 1) / batch,
               run.config.optimizer.name, run.config.optimizer.lr);
}

/// A resumed run must see the data it began with.
void check_same_data(const Run& run) {
    const SafetensorsFile file(TrainFiles{run.folder}.state());
    const ModelCard before = read_card(file, TrainFiles{run.folder}.state().string());
    if (before.fingerprint != run.card.fingerprint) {
        throw DataError(fmt::format("the data set {} has changed since this run began", run.config.data.path))
            .because(fmt::format("its fingerprint was {} and is {}", before.fingerprint, run.card.fingerprint));
    }
}

int finish(Run& run, const Trainer& trainer, Outcome outcome, double seconds) {
    const Progress& progress = trainer.progress();
    run.manifest.seconds = seconds;
    run.manifest.exit_reason = outcome == Outcome::kFinished       ? "finished"
                               : outcome == Outcome::kStoppedEarly ? "stopped early"
                                                                   : "interrupted";
    write_manifest(run.folder, run.manifest, run.config, progress);
    if (outcome == Outcome::kInterrupted) {
        note(fmt::format("interrupted in epoch {}; everything is saved", progress.epoch + 1));
        fmt::print(stderr, "next  fer train --resume {}\n", run.folder.string());
        return 128 + stop_signal;
    }
    if (progress.best.best_epoch >= 0) {
        const EpochRow& best = progress.history[static_cast<std::size_t>(progress.best.best_epoch)];
        fmt::print("best epoch {}: val_accuracy {:.4f}, val_loss {:.4f}\n", best.epoch, best.val_accuracy, best.val_loss);
    }
    fmt::print("saved {}\n", run.folder.string());
    fmt::print(stderr, "next  fer evaluate {}\n", run.folder.string());
    return 0;
}

int train(const Program& program, const TrainFlags& flags) {
    check_device(flags.device);
    const auto start = std::chrono::steady_clock::now();
    Run run;
    run.config = resolve(flags);
    open_run(run, flags);
    const ProgressStyle style = progress_style(flags.progress, program.quiet);
    if (style != ProgressStyle::kOff) {
        tell_plan(run);
    }
    if (flags.dry_run) {
        return 0;
    }
    run.folder = flags.resume.empty()
                     ? make_run_folder(flags.out, flags.name.empty() ? (run.config.recipe.empty() ? run.config.train.model : run.config.recipe) : flags.name, flags.exist_ok)
                     : fs::path(flags.resume);
    run.manifest.command = program.command_line;
    if (!flags.resume.empty()) {
        check_same_data(run);
    }
    write_file(run.folder / "config.toml", to_toml(run.config));
    ProgressLine line(style, run.config.train.batch);
    Trainer trainer(run.config, run.card, *run.session, run.data, run.split, {run.folder}, line);
    if (!flags.resume.empty()) {
        trainer.resume();
    }
    write_manifest(run.folder, run.manifest, run.config, trainer.progress());
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    const auto seconds = [start] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
    try {
        const Outcome outcome = trainer.run(stop_requested);
        return finish(run, trainer, outcome, seconds());
    } catch (const DivergedError& error) {
        run.manifest.seconds = seconds();
        run.manifest.exit_reason = fmt::format("failed: {}", error.what());
        write_manifest(run.folder, run.manifest, run.config, trainer.progress());
        throw;
    }
}

}  // namespace

void add_train(Program& program) {
    auto flags = std::make_shared<TrainFlags>();
    CLI::App* command = program.app.add_subcommand("train", "train a network");
    command->add_option("model", flags->model, "network (fer summary --list)");
    command->add_option("--recipe", flags->recipe, "built-in recipe (fer recipe list)");
    command->add_option("--config", flags->config, "TOML file of settings");
    command->add_option("--resume", flags->resume, "continue the run in this folder");
    command->add_option("--out", flags->out, "where run folders are made")->capture_default_str();
    command->add_option("--name", flags->name, "name of the run folder");
    command->add_flag("--exist-ok", flags->exist_ok, "write into an existing run folder");
    command->add_flag("--dry-run", flags->dry_run, "print the plan and exit");
    command->add_flag("--no-cache", flags->no_cache, "decode the images anew");
    command->add_option("--device", flags->device, "auto | cpu | cuda");
    command->add_option("--progress", flags->progress, "auto | rich | plain | off");
    command->add_option("--impl", flags->impl, "op=implementation, for instance conv2d=reference");
    for (const Setting& setting : settings()) {
        if (setting.flag.empty()) {
            continue;
        }
        const std::string key(setting.key);
        const std::string flag(setting.flag);
        Config defaults;
        if (std::holds_alternative<bool*>(setting.field(defaults))) {
            command->add_flag_callback(flag, [flags, key] { flags->settings[key] = "true"; }, std::string(setting.help));
        } else {
            command->add_option_function<std::string>(
                flag, [flags, key](const std::string& text) { flags->settings[key] = text; },
                setting.choices.empty() ? std::string(setting.help)
                                        : fmt::format("{}{}{}", setting.help, setting.help.empty() ? "" : ": ", setting.choices));
        }
    }
    command->callback([&program, flags] { program.run = [&program, flags] { return train(program, *flags); }; });
}

}  // namespace fer::tool
