#include "tools/fer/train_flags.hpp"

#include <algorithm>
#include <filesystem>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

/// The configuration a run was begun with.
Config saved_config(const TrainFlags& flags) {
    FER_CHECK(flags.recipe.empty() && flags.config.empty() && flags.name.empty(),
              "--resume goes on with the run's own settings: no --recipe, --config or --name");
    const fs::path saved = fs::path(flags.resume) / "config.toml";
    if (!fs::exists(saved)) {
        throw DataError(fmt::format("no run to resume in {}", flags.resume))
            .because(fmt::format("there is no {}", saved.string()))
            .try_this("ls runs/train shows the runs made here");
    }
    Config config;
    apply_toml(config, read_file(saved), saved.string(), Origin::kFile);
    return config;
}

/// A setting file that cannot be read is a mistake in the command.
std::string read_config(const std::string& path) {
    try {
        return read_file(path);
    } catch (const DataError& error) {
        throw UsageError(fmt::format("--config: {}", error.what())).because(error.why());
    }
}

/// What may change in a run that has begun: how long it goes on, and where its unchanged data lies.
bool may_change(std::string_view key, const Config& begun) {
    if (key == "train.epochs" && plans_its_length(begun)) {
        return false;
    }
    constexpr std::string_view kFree[] = {"train.epochs", "early_stopping.patience", "data.path", "data.strict"};
    return std::ranges::count(kFree, key) > 0;
}

bool same_value(const Setting& setting, Config& a, Config& b) {
    return std::visit([&](auto* value) { return *value == *std::get<decltype(value)>(setting.field(b)); },
                      setting.field(a));
}

}  // namespace

Config resolve(const TrainFlags& flags) {
    Config config;
    if (!flags.resume.empty()) {
        config = saved_config(flags);
    } else {
        if (!flags.recipe.empty()) {
            apply_recipe(config, flags.recipe);
        }
        if (!flags.config.empty()) {
            apply_toml(config, read_config(flags.config), flags.config, Origin::kFile);
        }
        apply_environment(config);
    }
    Config saved = config;
    for (const Setting& setting : settings()) {
        const auto given = flags.settings.find(std::string(setting.key));
        if (given != flags.settings.end()) {
            set_from_text(config, setting, given->second, Origin::kFlag, std::string(setting.flag));
            if (!flags.resume.empty() && !may_change(setting.key, saved) && !same_value(setting, config, saved)) {
                throw UsageError(fmt::format("{} {} would change a run that has begun", setting.flag, given->second))
                    .because(plans_its_length(saved)
                                 ? "a resumed run ends as if it had never stopped, and this one planned its length"
                                 : "a resumed run ends as if it had never stopped; only --epochs and --patience may "
                                   "change")
                    .try_this("leave it out, or start a new run without --resume");
            }
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

}  // namespace fer::tool
