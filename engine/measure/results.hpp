// Result files: what fer-bench measures and compares, also readable by Google Benchmark's compare.py. bench/schema.json
// says what is in them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace fer {

inline constexpr const char* kResultSchema = "fer-bench/1";

using Json = nlohmann::ordered_json;

/// A file without rows yet; `fer` is what is known of program and devices.
Json new_results(Json fer);

/// What was repeated, under one name: a row of the file per repetition.
struct Series {
    std::string name;            // "train/custom_cnn/b64/fp32/cpu"
    std::string device;          // "AMD EPYC, 2 threads"
    std::string framework;       // "fer 0.1.0", "PyTorch 2.15.0, eager"
    std::vector<double> values;  // of the metric
    Json row;                    // the first of them
};

/// The file's text: a line for each row, so that two files can be read side by side.
std::string results_text(const Json& results);

/// Checks all that the functions below and compare.py rely on. DataError: no such file, not JSON, another schema (which
/// is named), or a row that lacks something or has it in another form, by its number.
Json read_results(const std::filesystem::path& path);

/// Rows of one name together, in the order of the file. `metric`: real_time or cpu_time in ms, or items_per_second.
/// UsageError for another one.
std::vector<Series> series_of(const Json& results, const std::string& metric);

}  // namespace fer
