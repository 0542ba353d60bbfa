// What a run folder tells about itself, read with tolerance: what is not there is missing in the report, nothing more.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/report/mistakes.hpp"
#include "engine/report/predictions.hpp"
#include "engine/train/checkpoint.hpp"

namespace fer {

/// eval/SPLIT of a run.
struct SplitRecord {
    std::string split;  // "test"
    Predictions predictions;
    Pictures pictures;
    std::optional<double> loss;
    bool chose_best_epoch = false;  // the figures are optimistic
    std::string usage;              // "PrivateTest" where the data tell
    std::string tta;                // "flip": the views each answer is the mean of; empty: one
    int looks = 0;                  // how often these images have been looked at, by the ledger; 0: unknown
};

/// One value of config.toml.
struct SettingRecord {
    std::string key, value, origin;  // "train.epochs", "50", "flag"
};

struct RunRecord {
    std::string name;
    std::filesystem::path folder;
    std::vector<EpochRow> history;  // results.csv
    nlohmann::ordered_json manifest = nlohmann::ordered_json::object();
    std::string config;                   // config.toml as it is
    std::vector<SettingRecord> settings;  // the same, in order
    std::vector<SplitRecord> splits;      // test, validation, train: those that were evaluated
    std::vector<std::string> missing;     // sentences: what is not there, and what would make it

    /// Index into history of the epoch whose weights are the best, by the manifest, else by the least val_loss.
    std::optional<std::size_t> best() const;
    /// Indices into history of epochs that began with a smaller rate than the one before; none if the rate moves in
    /// most epochs, as it does by a schedule.
    std::vector<std::size_t> rate_drops() const;
};

/// DataError if `folder` is no run folder, or if one of its files contradicts itself or another: a report of those
/// would be wrong. The accuracy of metrics.json is held against a recount of predictions.csv.
RunRecord read_run(const std::filesystem::path& folder);

/// The rows of a results.csv, by the names of its columns, in any order; what is no number is NaN. DataError naming
/// `path` if there is no epoch column.
std::vector<EpochRow> parse_results(const std::string& csv, const std::string& path);

/// Key, value and origin of every line of a config.toml that to_toml() wrote.
std::vector<SettingRecord> parse_settings(const std::string& toml);

}  // namespace fer
