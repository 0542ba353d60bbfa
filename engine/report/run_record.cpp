#include "engine/report/run_record.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <sstream>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/report/ledger.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::vector<std::string> split(const std::string& line, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(line);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

std::string trimmed(const std::string& text) {
    const std::size_t first = text.find_first_not_of(" \t\r");
    return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

double number(const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    return end == text.c_str() || *end != '\0' ? std::numeric_limits<double>::quiet_NaN() : value;
}

/// The object in a JSON file; DataError if it is something else.
Json read_object(const fs::path& path) {
    Json json = Json::parse(read_file(path), nullptr, false);
    if (!json.is_object()) {
        throw DataError(fmt::format("{}: not a JSON object", path.string()))
            .because("it is damaged or of another program");
    }
    return json;
}

std::string text_in(const Json& json, const char* key) {
    const Json value = json.value(key, Json());
    return value.is_string() ? value.get<std::string>() : "";
}

void compare_accuracy(const SplitRecord& record, const Json& metrics, const fs::path& folder) {
    const ConfusionMatrix matrix = record.predictions.confusion();
    const Json hits = metrics.value("hits", Json());
    const Json images = metrics.value("images", Json());
    if (hits != matrix.hits() || images != matrix.total()) {
        throw DataError(fmt::format("{}: its files contradict each other", folder.string()))
            .because(fmt::format("metrics.json has {} of {} right, predictions.csv {} of {}", hits.dump(),
                                 images.dump(), matrix.hits(), matrix.total()))
            .try_this("fer evaluate writes both again");
    }
}

SplitRecord read_split(const fs::path& folder, const std::string& name) {
    SplitRecord record;
    record.split = name;
    const fs::path predictions = folder / "predictions.csv";
    record.predictions = parse_predictions(read_file(predictions), predictions.string());
    if (fs::exists(folder / "metrics.json")) {
        const Json metrics = read_object(folder / "metrics.json");
        compare_accuracy(record, metrics, folder);
        if (const Json loss = metrics.value("loss", Json()); loss.is_number()) {
            record.loss = loss.get<double>();
        }
        record.chose_best_epoch = metrics.value("chose_best_epoch", Json()) == true;
        record.usage = text_in(metrics, "usage");
        record.tta = text_in(metrics, "tta");
    }
    if (const fs::path pictures = folder / "pictures.json"; fs::exists(pictures)) {
        record.pictures = parse_pictures(read_file(pictures), record.predictions, pictures.string());
    }
    return record;
}

}  // namespace

std::optional<std::size_t> RunRecord::best() const {
    const Json best = manifest.value("best", Json());
    const Json epoch = best.is_object() ? best.value("epoch", Json()) : Json();
    std::optional<std::size_t> lowest;
    for (std::size_t i = 0; i < history.size(); ++i) {
        if (epoch.is_number_integer() && history[i].epoch == epoch.get<int>()) {
            return i;
        }
        if (std::isfinite(history[i].val_loss) && (!lowest || history[i].val_loss < history[*lowest].val_loss)) {
            lowest = i;
        }
    }
    return lowest;
}

std::vector<std::size_t> RunRecord::rate_drops() const {
    std::vector<std::size_t> drops;
    std::size_t changes = 0;
    for (std::size_t i = 1; i < history.size(); ++i) {
        const float before = history[i - 1].learning_rate, now = history[i].learning_rate;
        changes += now != before ? 1 : 0;
        if (now < before) {
            drops.push_back(i);
        }
    }
    return 2 * changes > history.size() ? std::vector<std::size_t>{} : drops;
}

std::vector<EpochRow> parse_results(const std::string& csv, const std::string& path) {
    std::istringstream lines(csv);
    std::string line;
    std::getline(lines, line);
    const std::vector<std::string> columns = split(trimmed(line), ',');
    const auto column = [&](std::string_view name) { return std::ranges::find(columns, name) - columns.begin(); };
    if (column("epoch") == static_cast<std::ptrdiff_t>(columns.size())) {
        throw DataError(fmt::format("{}: no column 'epoch'", path)).because("it is not a results.csv of fer train");
    }
    std::vector<EpochRow> history;
    while (std::getline(lines, line)) {
        const std::vector<std::string> fields = split(trimmed(line), ',');
        const auto value = [&](std::string_view name) {
            const auto at = static_cast<std::size_t>(column(name));
            return at < fields.size() ? number(fields[at]) : std::numeric_limits<double>::quiet_NaN();
        };
        if (const double epoch = value("epoch"); epoch >= 0 && epoch < 1e9) {  // else a row cut short by a crash
            history.push_back({static_cast<int>(epoch), value("time_s"), value("loss"), value("accuracy"),
                               value("val_loss"), value("val_accuracy"), static_cast<float>(value("learning_rate")),
                               value("images_per_s")});
        }
    }
    return history;
}

std::vector<SettingRecord> parse_settings(const std::string& toml) {
    std::vector<SettingRecord> settings;
    std::istringstream lines(toml);
    std::string table;
    for (std::string line; std::getline(lines, line);) {
        const std::string text = trimmed(line);
        const std::size_t equals = text.find(" = ");
        if (text.starts_with("[") && text.ends_with("]")) {
            table = text.substr(1, text.size() - 2) + ".";
        } else if (!text.starts_with("#") && equals != std::string::npos) {
            const std::size_t comment = text.rfind(" # ");
            const bool has_origin = comment != std::string::npos && comment > equals;
            settings.push_back({table + trimmed(text.substr(0, equals)),
                                trimmed(text.substr(equals + 3, has_origin ? comment - equals - 3 : std::string::npos)),
                                has_origin ? trimmed(text.substr(comment + 3)) : ""});
        }
    }
    return settings;
}

RunRecord read_run(const fs::path& folder) {
    if (!fs::is_directory(folder)) {
        throw DataError(fmt::format("no such run folder: {}", folder.string()))
            .try_this("ls runs/train shows the runs made here");
    }
    RunRecord run;
    run.folder = folder;
    run.name = fs::canonical(folder).filename().string();
    if (const fs::path path = folder / "results.csv"; fs::exists(path)) {
        run.history = parse_results(read_file(path), path.string());
    }
    if (fs::exists(folder / "run.json")) {
        run.manifest = read_object(folder / "run.json");
    } else {
        run.missing.emplace_back("There is no run.json: what ran where is not known.");
    }
    if (fs::exists(folder / "config.toml")) {
        run.config = read_file(folder / "config.toml");
        run.settings = parse_settings(run.config);
    } else {
        run.missing.emplace_back("There is no config.toml: the settings are not known.");
    }
    for (const char* name : {"test", "validation", "train"}) {
        if (fs::exists(folder / "eval" / name / "predictions.csv")) {
            run.splits.push_back(read_split(folder / "eval" / name, name));
            run.splits.back().looks = looks_at(folder, name);
        }
    }
    if (run.history.empty() && run.manifest.empty() && run.config.empty() && run.splits.empty()) {
        throw DataError(fmt::format("{} is not a run folder", folder.string()))
            .because("it has neither results.csv, run.json, config.toml nor eval/")
            .try_this("ls runs/train shows the runs made here");
    }
    if (run.history.empty()) {
        run.missing.emplace_back("No epoch was finished: there are no curves.");
    }
    if (run.splits.empty()) {
        run.missing.push_back(fmt::format("It was not evaluated yet: fer evaluate {}", folder.string()));
    }
    return run;
}

}  // namespace fer
