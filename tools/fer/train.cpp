#include <omp.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/data/contact_sheet.hpp"
#include "engine/train/preview.hpp"
#include "engine/train/run_folder.hpp"
#include "models/models.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/device_flags.hpp"
#include "tools/fer/loaded_model.hpp"
#include "tools/fer/network.hpp"
#include "tools/fer/progress.hpp"
#include "tools/fer/train_flags.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

std::atomic<bool> stop_requested{false};
std::atomic<int> stop_signal{0};

// The first signal asks for an orderly end; the second one ends the program at once.
void on_signal(int signal) {
    stop_requested = true;
    stop_signal = signal;
    std::signal(signal, SIG_DFL);
}

Split make_split(const Dataset& data, const DataConfig& config) {
    return config.split == "official" ? split_official(data) : split_folder(data, config.val_split);
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

void check_parts(const Run& run) {
    if (run.split.validation.empty()) {
        throw UsageError(fmt::format("{}: no validation images", run.config.data.path))
            .because(fmt::format("--val-split {} of each class is less than one image", run.config.data.val_split))
            .try_this("more data, a larger --val-split, or --val-split 0 to validate on test/");
    }
}

/// The offset and the factor on bytes: the setting's, or what belongs to the weights the run starts from.
void set_preprocess(Run& run, const Network& network, StepOptions& step) {
    step.input.rescale.scale = static_cast<float>(network.rescale);
    step.input.rescale.offset = network.offset;
    run.card.rescale = network.rescale;
    run.card.offset = network.offset;
    run.card.bilinear = step.input.bilinear;
}

void open_run(Run& run, const TrainFlags& flags) {
    if (flags.resume.empty()) {
        resolve_weights(run.config);
    }
    const Network network = find_network(run.config, flags.resume);
    for (const std::string& text : check(run.config)) {
        warn(text);
    }
    DataOptions options;
    options.strict = run.config.data.strict;
    options.use_cache = !flags.no_cache;
    run.data = open_dataset(run.config.data.path, options);
    tell_data(run.data);
    run.split = make_split(run.data, run.config.data);
    check_parts(run);
    FER_CHECK(static_cast<int>(run.data.classes.size()) == network.classes,
              "the data has {} classes ({}); the network has {}", run.data.classes.size(),
              fmt::join(run.data.classes, ", "), network.classes);
    if (!network.class_names.empty()) {
        match_classes(network.class_names, run.data, run.config.data.path);
    }
    const Device& device = find_device(flags.device.device);
    StepOptions step = step_options(run.config, network.height, network.width, network.channels, network.classes,
                                    static_cast<std::int64_t>(run.split.train.size()));
    step.freeze = layers_to_freeze(run.config, network);
    step.precision = choose_precision(run.config.train.precision, device);
    set_preprocess(run, network, step);
    Runtime& runtime = open_runtime(device);
    const std::shared_ptr<Tuner> tuner = make_tuner(flags.device, device, runtime);
    run.session = std::make_unique<Session>(network.build, step, run.data, device, runtime, Session::Use::kTrain,
                                            plan_options(flags.device), !flags.device.no_capture, tuner);
    tell_findings(tuner.get());
    run.manifest.device = device.name();
    run.manifest.hardware = runtime.description();
    run.manifest.precision = name_of(step.precision);
    if (has_random_trunk(run.config, *run.session)) {
        warn("the frozen part of this network has random weights: --weights FILE starts from pretrained ones");
    }
    if (flags.resume.empty()) {
        load_starting_weights(run.config, *run.session);  // what does not fit shows before a folder is made
    }
    run.card.model = network.name;
    run.card.classes = run.data.classes;
    run.card.height = network.height;
    run.card.width = network.width;
    run.card.channels = network.channels;
    run.card.width_factor = run.config.train.width;
    run.card.architecture = network.architecture;
    run.card.recipe = run.config.recipe;
    run.card.data = run.config.data.path;
    run.card.fingerprint = fmt::format("{:016x}", run.data.fingerprint);
    run.manifest.train_images = static_cast<std::int64_t>(run.split.train.size());
    run.manifest.validation_images = static_cast<std::int64_t>(run.split.validation.size());
    run.manifest.test_images = static_cast<std::int64_t>(run.split.test.size());
    run.manifest.parameters = parameter_count(run.session->step());
    run.manifest.data_fingerprint = run.card.fingerprint;
    run.manifest.split = run.config.data.split == "official"
                             ? "official"
                             : fmt::format("folder, validation {}", run.config.data.val_split);
}

/// " (from conv5_block1_1_conv 0.0001, from dense 0.001)": the rates of layers that have one of their own.
std::string group_rates(const Run& run) {
    std::string text;
    for (const RateGroup& group : run.session->step().rate_groups) {
        if (!group.layer.empty()) {
            text += fmt::format("{} from {} {:g}", text.empty() ? "" : ",", group.layer,
                                static_cast<float>(run.config.optimizer.lr) * group.factor);
        }
    }
    return text.empty() ? text : fmt::format(" ({})", text.substr(1));
}

std::string plan_text(const Run& run) {
    const std::int64_t batch = run.config.train.batch;
    const std::int64_t features = run.session->feature_bytes();
    const std::string cached = features == 0 ? ""
                                             : fmt::format(" | the frozen layers once per image, {:.1f} MB",
                                                           static_cast<double>(features) * 1e-6);
    return fmt::format("plan  {} {} params | {} train / {} val | batch {} | {} steps/epoch | {} {:g}{}{} | {} | {}\n",
                       run.config.train.model, thousands(run.manifest.parameters), run.manifest.train_images,
                       run.manifest.validation_images, batch, (run.manifest.train_images + batch - 1) / batch,
                       run.config.optimizer.name, run.config.optimizer.lr, group_rates(run), cached,
                       run.manifest.precision, run.manifest.device);
}

/// A resumed run must be of the model and see the data it began with. Takes over its recipe's name.
void check_same_run(Run& run) {
    const fs::path path = TrainFiles{run.folder}.state();
    if (!fs::exists(path)) {
        throw DataError(fmt::format("nothing to resume in {}", run.folder.string()))
            .because(fmt::format("there is no {}: it ended before anything was saved", path.string()))
            .try_this("start it again without --resume");
    }
    const ModelCard before = read_card(SafetensorsFile(path), path.string());
    if (before.model != run.card.model) {
        throw DataError(fmt::format("{} is of {}", path.string(), before.model))
            .because(fmt::format("the run in {} trains {}", run.folder.string(), run.card.model));
    }
    if (before.fingerprint != run.card.fingerprint) {
        throw DataError(fmt::format("the data set {} is not the one this run began with", run.config.data.path))
            .because(fmt::format("its fingerprint was {} and is {}", before.fingerprint, run.card.fingerprint))
            .try_this("name the unchanged data with --data, or start a new run without --resume");
    }
    run.config.recipe = run.card.recipe = before.recipe;
    const auto manifest = nlohmann::json::parse(std::ifstream(run.folder / "run.json"), nullptr, false);
    const int threads = manifest.is_object() && manifest["threads"].is_number() ? manifest["threads"].get<int>() : 0;
    if (threads > 0 && threads != omp_get_max_threads()) {
        warn(
            fmt::format("this run began with {} threads and goes on with {}: sums round differently, and so will its "
                        "last digits (--threads {})",
                        threads, omp_get_max_threads(), threads));
    }
    for (const auto& [what, now] : {std::pair{"device", run.manifest.device}, {"precision", run.manifest.precision}}) {
        const std::string then = manifest.is_object() ? manifest.value(what, now) : now;
        if (then != now) {
            warn(fmt::format("this run began with {} {} and goes on with {}: its last digits will differ (--{} {})",
                             what, then, now, what, then));
        }
    }
}

bool step_augments(const Config& config) { return augment_attrs(config).any() || config.augment.mixup > 0; }

/// The first training images as the network sees them, in its run folder.
void write_augmented(const Run& run) {
    constexpr std::size_t kImages = 32;
    constexpr int kColumns = 8;
    const auto count = std::min(kImages, run.split.train.size());
    const std::size_t stride = run.split.train.size() / count;  // of every class
    std::vector<std::int32_t> indices;
    for (std::size_t i = 0; i < count; ++i) {
        indices.push_back(run.split.train[i * stride]);
    }
    const Dataset seen = augmented_images(run.config, run.data, indices, 0);
    std::vector<std::int32_t> all(count);
    std::iota(all.begin(), all.end(), 0);
    write_contact_sheet(TrainFiles{run.folder}.augmented(), seen, all, kColumns, 2);
}

fs::path new_folder(const Run& run, const TrainFlags& flags) {
    FER_CHECK(flags.name.find('/') == std::string::npos && flags.name != "." && flags.name != "..",
              "--name is the name of a folder, not a path: '{}'; --out says where it goes", flags.name);
    const std::string& own = run.config.recipe.empty() ? run.config.train.model : run.config.recipe;
    return make_run_folder(flags.out, flags.name.empty() ? own : flags.name, flags.exist_ok);
}

/// The reason goes into run.json if that can be written at all.
void record_failure(Run& run, const Trainer& trainer, const Error& error, double seconds) {
    run.manifest.seconds = seconds;
    run.manifest.exit_reason = fmt::format("failed: {}", error.what());
    try {
        write_manifest(run.folder, run.manifest, run.config, trainer.progress());
    } catch (const OutputError&) {
        note("run.json does not tell how this run ended: it cannot be written either");
    }
}

int finish(Run& run, const Trainer& trainer, Outcome outcome, double seconds, bool quiet) {
    const Progress& progress = trainer.progress();
    run.manifest.seconds = seconds;
    run.manifest.exit_reason = outcome == Outcome::kFinished       ? "finished"
                               : outcome == Outcome::kStoppedEarly ? "stopped early"
                                                                   : "interrupted";
    write_manifest(run.folder, run.manifest, run.config, progress);
    if (outcome == Outcome::kInterrupted) {
        note(fmt::format("interrupted in epoch {}; everything is saved", progress.epoch + 1));
        say(fmt::format("next  fer train --resume {}\n", run.folder.string()));
        return 128 + stop_signal;
    }
    if (progress.best.best_epoch >= 0) {
        const EpochRow& best = progress.history[static_cast<std::size_t>(progress.best.best_epoch)];
        fmt::print("best epoch {}: val_accuracy {:.4f}, val_loss {:.4f}\n", best.epoch, best.val_accuracy,
                   best.val_loss);
    }
    fmt::print("saved {}\n", run.folder.string());
    if (!quiet) {
        say(fmt::format("next  fer evaluate {}\n", run.folder.string()));
    }
    return 0;
}

/// "20:40" -> steps 20 to 39; nothing: none.
std::pair<std::int64_t, std::int64_t> parse_steps(const std::string& text) {
    if (text.empty()) {
        return {-1, -1};
    }
    std::int64_t first = -1;
    std::int64_t last = -1;
    const char* end = text.data() + text.size();
    const auto [colon, error] = std::from_chars(text.data(), end, first);
    const bool whole =
        error == std::errc() && colon != end && *colon == ':' && std::from_chars(colon + 1, end, last).ptr == end;
    if (!whole || first < 0 || last <= first) {
        throw UsageError(fmt::format("--profile-steps: '{}' is no range of steps", text))
            .try_this("--profile-steps 20:40");
    }
    return {first, last};
}

void tell_if_done(const Progress& progress, int epochs) {
    if (progress.finished) {
        note(fmt::format("this run stopped early after epoch {}: nothing is left to train", progress.epoch));
    } else if (progress.epoch >= epochs) {
        note(fmt::format("epoch {} of {} is done: nothing is left to train (a larger --epochs goes on)", progress.epoch,
                         epochs));
    }
}

int train(const Program& program, const TrainFlags& flags) {
    const std::pair<std::int64_t, std::int64_t> profiled = parse_steps(flags.profile_steps);
    open_runtime(find_device(flags.device.device));  // a device that is not there shows before the data set is read
    const auto start = std::chrono::steady_clock::now();
    Run run;
    run.config = resolve(flags);
    open_run(run, flags);
    const ProgressStyle style = progress_style(flags.progress, program.quiet);
    if (flags.dry_run) {
        fmt::print("{}", plan_text(run));
        return 0;
    }
    if (style != ProgressStyle::kOff) {
        say(plan_text(run));
    }
    const bool resumes = !flags.resume.empty();
    run.folder = resumes ? fs::path(flags.resume) : new_folder(run, flags);
    const RunLock lock(run.folder);
    run.manifest.command = program.command_line;
    if (resumes) {
        check_same_run(run);
    }
    ProgressLine line(style, run.config.train.batch);
    Trainer trainer(run.config, run.card, *run.session, run.data, run.split, {run.folder}, line);
    if (resumes) {
        trainer.resume();
        tell_if_done(trainer.progress(), run.config.train.epochs);
    } else {
        if (const std::string done = load_starting_weights(run.config, *run.session); !done.empty()) {
            note(done);
        }
    }
    write_file(run.folder / "config.toml", to_toml(run.config));
    if (step_augments(run.config)) {
        write_augmented(run);
    }
    write_manifest(run.folder, run.manifest, run.config, trainer.progress());
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    const auto seconds = [start] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    trainer.profile_steps(profiled.first, profiled.second);
    try {
        const Outcome outcome = trainer.run(stop_requested);
        return finish(run, trainer, outcome, seconds(), program.quiet);
    } catch (const Error& error) {
        record_failure(run, trainer, error, seconds());
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
    add_device_flags(command, flags->device, false);
    command->add_option("--profile-steps", flags->profile_steps,
                        "A:B: a profiler looks at these steps alone, from 0 on");
    command->add_option("--progress", flags->progress, "auto | rich | plain | off")
        ->check(one_of({"auto", "rich", "plain", "off"}));
    for (const Setting& setting : settings()) {
        if (setting.flag.empty()) {
            continue;
        }
        const std::string key(setting.key);
        const std::string flag(setting.flag);
        Config defaults;
        if (std::holds_alternative<bool*>(setting.field(defaults))) {
            command->add_flag_callback(
                flag, [flags, key] { flags->settings[key] = "true"; }, std::string(setting.help));
        } else {
            CLI::Option* option = command->add_option_function<std::string>(
                flag, [flags, key](const std::string& text) { flags->settings[key] = text; },
                setting.choices.empty()
                    ? std::string(setting.help)
                    : fmt::format("{}{}{}", setting.help, setting.help.empty() ? "" : ": ", setting.choices));
            if (key == "train.model") {
                option->group("");  // the positional says it
            }
        }
    }
    command->callback([&program, flags] { program.run = [&program, flags] { return train(program, *flags); }; });
}

}  // namespace fer::tool
