// Commands that look at a data set.
#include <numeric>

#include "engine/core/file.hpp"
#include "engine/core/random.hpp"
#include "engine/data/contact_sheet.hpp"
#include "engine/data/image.hpp"
#include "engine/data/split.hpp"
#include "engine/train/preview.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/train_flags.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct DataFlags {
    std::string source = "synthetic", out, recipe, config;
    int count = 35, columns = 7, scale = 2;
    std::int64_t seed = 0;
    bool strict = false;
};

Dataset open(const DataFlags& flags) {
    DataOptions options;
    options.strict = flags.strict;
    options.seed = static_cast<std::uint64_t>(flags.seed);
    return open_dataset(flags.source, options);
}

/// `count` images spread evenly over the classes, drawn by the seed, class by class in turn.
std::vector<std::int32_t> sample(const Dataset& data, int count, std::int64_t seed) {
    std::vector<std::vector<std::int32_t>> by_class(data.classes.size());
    std::vector<std::int32_t> order(static_cast<std::size_t>(data.size()));
    std::iota(order.begin(), order.end(), 0);
    shuffle(order, RandomStream(static_cast<std::uint64_t>(seed), 0, stream_of("preview")));
    for (const std::int32_t i : order) {
        by_class[static_cast<std::size_t>(data.labels[static_cast<std::size_t>(i)])].push_back(i);
    }
    std::vector<std::int32_t> chosen;
    for (std::size_t round = 0; chosen.size() < static_cast<std::size_t>(count) && round < order.size(); ++round) {
        for (const auto& members : by_class) {
            if (round < members.size() && chosen.size() < static_cast<std::size_t>(count)) {
                chosen.push_back(members[round]);
            }
        }
    }
    return chosen;
}

int info(const DataFlags& flags) {
    const Dataset data = open(flags);
    const Split split = split_folder(data, 0.2);
    fmt::print("{}: {} images {}x{}, fingerprint {:016x}\n", flags.source, data.size(), data.height, data.width,
               data.fingerprint);
    const auto train = class_counts(data, split.train);
    const auto validation = class_counts(data, split.validation);
    const auto test = class_counts(data, split.test);
    fmt::print("{:<12} {:>8} {:>11} {:>8}\n", "class", "train", "validation", "test");
    for (std::size_t c = 0; c < data.classes.size(); ++c) {
        fmt::print("{:<12} {:>8} {:>11} {:>8}\n", data.classes[c], train[c], validation[c], test[c]);
    }
    fmt::print("{:<12} {:>8} {:>11} {:>8}\n", "total", split.train.size(), split.validation.size(), split.test.size());
    for (const std::string& text : data.notes) {
        note(text);
    }
    for (const std::string& text : data.skipped) {
        warn("skipped " + text);
    }
    return 0;
}

/// The augmentation asked for; none without a recipe or a file.
Config preview_config(const DataFlags& flags) {
    TrainFlags train;
    train.recipe = flags.recipe;
    train.config = flags.config;
    Config config = resolve(train);
    config.train.seed = static_cast<std::int64_t>(flags.seed);
    return config;
}

int preview(const DataFlags& flags) {
    const Dataset data = open(flags);
    const fs::path out = flags.out.empty() ? "preview.png" : flags.out;
    const std::vector<std::int32_t> chosen = sample(data, flags.count, flags.seed);
    if (flags.recipe.empty() && flags.config.empty()) {
        write_contact_sheet(out, data, chosen, flags.columns, flags.scale);
    } else {
        const Dataset seen = augmented_images(preview_config(flags), data, chosen, 0);
        std::vector<std::int32_t> all(chosen.size());
        std::iota(all.begin(), all.end(), 0);
        write_contact_sheet(out, seen, all, flags.columns, flags.scale);
    }
    fmt::print("saved {}\n", out.string());
    return 0;
}

int export_images(const DataFlags& flags) {
    const Dataset data = open(flags);
    const fs::path out = flags.out.empty() ? "images" : flags.out;
    for (const std::int32_t i : sample(data, flags.count, flags.seed)) {
        const auto at = static_cast<std::size_t>(i);
        const fs::path folder = out / data.classes[static_cast<std::size_t>(data.labels[at])];
        make_folder(folder);
        const auto pixels = static_cast<std::size_t>(data.height * data.width);
        write_png(folder / fmt::format("{:05}.png", i), data.width, data.height, 1, {data.image(i), pixels});
    }
    fmt::print("saved {}\n", out.string());
    return 0;
}

void add_source(CLI::App* command, const std::shared_ptr<DataFlags>& flags) {
    command->add_option("source,--data", flags->source, "folder, .zip, .csv or synthetic[:N]")->capture_default_str();
    command->add_option("--seed", flags->seed, "which images are drawn; for synthetic faces also how they look");
    command->add_flag("--strict", flags->strict, "stop at the first unreadable image");
}

}  // namespace

void add_data(Program& program) {
    auto flags = std::make_shared<DataFlags>();
    CLI::App* command = program.app.add_subcommand("data", "look at a data set");
    command->require_subcommand(1);
    const auto on = [&program, flags](CLI::App* app, int (*run)(const DataFlags&)) {
        app->callback([&program, flags, run] { program.run = [flags, run] { return run(*flags); }; });
    };
    CLI::App* counts = command->add_subcommand("info", "images per class and split; what was skipped");
    add_source(counts, flags);
    on(counts, info);
    CLI::App* sheet = command->add_subcommand("preview", "a contact sheet as PNG");
    add_source(sheet, flags);
    sheet->add_option("--out", flags->out, "PNG file (default: preview.png)");
    sheet->add_option("--recipe", flags->recipe, "as this recipe augments them");
    sheet->add_option("--config", flags->config, "as this file of settings does");
    sheet->add_option("--count", flags->count, "images")->check(CLI::Range(1, 10000))->capture_default_str();
    sheet->add_option("--columns", flags->columns, "images a row")->check(CLI::Range(1, 100))->capture_default_str();
    sheet->add_option("--scale", flags->scale, "pixels per pixel")->check(CLI::Range(1, 16))->capture_default_str();
    on(sheet, preview);
    CLI::App* files = command->add_subcommand("export", "images as PNG files, a folder per class");
    add_source(files, flags);
    files->add_option("--out", flags->out, "folder (default: images)");
    files->add_option("--count", flags->count, "images")->check(CLI::Range(1, 1000000))->capture_default_str();
    on(files, export_images);
}

}  // namespace fer::tool
