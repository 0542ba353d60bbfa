#include "engine/measure/results.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <thread>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/core/text.hpp"

namespace fer {
namespace {

constexpr std::size_t kLimitBytes = std::size_t{1} << 28;
constexpr std::array<std::string_view, 3> kMetrics{"real_time", "cpu_time", "items_per_second"};

std::string now() {
    const std::time_t seconds = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    static_cast<void>(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts));
    return text.data();
}

std::string host_name() {
    std::array<char, 256> text{};
    return ::gethostname(text.data(), text.size() - 1) == 0 ? text.data() : "";
}

/// Empty, or what is wrong with a row.
std::string complaint(const Json& row) {
    if (!row.is_object()) {
        return "is not an object";
    }
    for (const char* key : {"name", "run_name", "run_type", "time_unit", "device", "framework"}) {
        if (!row.contains(key) || !row[key].is_string()) {
            return fmt::format("has no text '{}'", key);
        }
    }
    for (const char* key : {"real_time", "cpu_time", "items_per_second", "iterations"}) {
        if (!row.contains(key) || !row[key].is_number() || row[key].get<double>() < 0) {
            return fmt::format("has no number '{}'", key);
        }
    }
    if (row["time_unit"] != "ms") {
        return fmt::format("is in '{}', not in ms", row["time_unit"].get<std::string>());
    }
    return row["real_time"] > 0 ? "" : "took no time";
}

}  // namespace

Json new_results(Json fer) {
    return {{"schema", kResultSchema},
            {"context",
             {{"date", now()},
              {"host_name", host_name()},
              {"executable", "fer-bench"},
              {"num_cpus", std::thread::hardware_concurrency()},
              {"library_version", FER_VERSION},
              {"library_build_type", "release"},
              {"caches", Json::array()},
              {"fer", std::move(fer)}}},
            {"benchmarks", Json::array()},
            {"errors", Json::array()}};
}

std::string results_text(const Json& results) {
    std::string text = "{\n";
    for (const auto& [key, value] : results.items()) {
        text += text.size() > 2 ? ",\n" : "";
        if (!value.is_array() || value.empty()) {
            text += fmt::format(" {}: {}", Json(key).dump(), value.dump());
            continue;
        }
        text += fmt::format(" {}: [", Json(key).dump());
        for (std::size_t i = 0; i < value.size(); ++i) {
            text += fmt::format("{}\n  {}", i > 0 ? "," : "", value[i].dump());
        }
        text += "\n ]";
    }
    return text + "\n}\n";
}

Json read_results(const std::filesystem::path& path) {
    Json results = Json::parse(read_file(path, kLimitBytes), nullptr, false);
    const auto refuse = [&](const std::string& why) {
        throw DataError(fmt::format("{} is not a result of fer-bench", path.string()))
            .because(why)
            .try_this("fer-bench run --json FILE writes one");
    };
    if (!results.is_object()) {
        refuse(results.is_discarded() ? "it is not JSON" : "it is JSON, but not an object");
    }
    if (!results.contains("schema") || !results["schema"].is_string()) {
        refuse(fmt::format("it has no 'schema'; wanted is {}", kResultSchema));
    }
    if (results["schema"] != kResultSchema) {
        refuse(fmt::format("its schema is '{}', wanted is {}", results["schema"].get<std::string>(), kResultSchema));
    }
    if (!results.contains("context") || !results["context"].is_object() || !results.contains("benchmarks") ||
        !results["benchmarks"].is_array()) {
        refuse("it has no 'context' or no 'benchmarks'");
    }
    std::size_t number = 0;
    for (const Json& row : results["benchmarks"]) {
        ++number;
        if (const std::string what = complaint(row); !what.empty()) {
            refuse(fmt::format("row {} {}", number, what));
        }
    }
    return results;
}

std::vector<Series> series_of(const Json& results, const std::string& metric) {
    if (std::ranges::count(kMetrics, metric) == 0) {
        const std::string near = nearest(metric, kMetrics);
        throw UsageError(fmt::format("--metric: unknown value '{}'", metric))
            .try_this(near.empty() ? fmt::format("one of {}", fmt::join(kMetrics, ", "))
                                   : fmt::format("did you mean '{}'?", near));
    }
    std::vector<Series> all;
    for (const Json& row : results["benchmarks"]) {
        if (row["run_type"] != "iteration") {
            continue;
        }
        const auto name = row["name"].get<std::string>();
        auto at = std::ranges::find(all, name, &Series::name);
        if (at == all.end()) {
            all.push_back({name, row["device"].get<std::string>(), row["framework"].get<std::string>(), {}, row});
            at = all.end() - 1;
        }
        at->values.push_back(row[metric].get<double>());
    }
    return all;
}

}  // namespace fer
