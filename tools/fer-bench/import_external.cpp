// Rows that other programs measured, beside ours: PyTorch, Keras, and our own of other rounds.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "engine/core/file.hpp"
#include "engine/measure/results.hpp"
#include "engine/measure/statistics.hpp"
#include "tools/fer-bench/commands.hpp"
#include "tools/fer-bench/table.hpp"

namespace fer::tool {
namespace {

struct ImportFlags {
    std::vector<std::string> files;
    std::string label, out;
};

/// "PyTorch 2.15, compiled" as the end of a name: "pytorch-2.15-compiled".
std::string slug(const std::string& label) {
    std::string text;
    for (const char c : label) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.';
        const bool capital = c >= 'A' && c <= 'Z';
        if (plain || capital) {
            text += capital ? static_cast<char>(c - 'A' + 'a') : c;
        } else if (!text.empty() && text.back() != '-') {
            text += '-';
        }
    }
    return text.substr(0, text.find_last_not_of('-') + 1);
}

/// Rows of one name that come from several files are repetitions of one another, and numbered as such.
void number_repetitions(Json& rows) {
    std::map<std::string, int> total;
    for (const Json& row : rows) {
        ++total[row["name"].get<std::string>()];
    }
    std::map<std::string, int> seen;
    for (Json& row : rows) {
        const auto name = row["name"].get<std::string>();
        row["repetitions"] = total[name];
        row["repetition_index"] = seen[name]++;
    }
}

Table table_of(const Json& results) {
    Table table({"name", "framework", "repetitions", "ms", "img/s", "noise"}, 2);
    for (const Series& series : series_of(results, "real_time")) {
        const double ms = median(series.values);
        const double noise = relative_iqr(series.values);
        table.add({series.name, series.framework, fmt::format("{}", series.values.size()), figure(ms),
                   figure(series.row["items_per_second"].get<double>() * series.row["real_time"].get<double>() / ms),
                   noise > kNoisy ? fmt::format("(! {:.0f}%)", 100 * noise) : ""});
    }
    return table;
}

int import_external(const ImportFlags& flags) {
    Json merged;
    for (const std::string& file : flags.files) {
        const Json results = read_results(file);
        if (merged.is_null()) {
            merged = results;
            merged["benchmarks"] = Json::array();
        }
        const Json environment = results["context"].value("fer", Json::object());
        for (Json row : results["benchmarks"]) {
            if (row["run_type"] != "iteration") {
                continue;
            }
            if (!flags.label.empty()) {
                for (const char* key : {"name", "run_name"}) {
                    row[key] = fmt::format("{}/{}", row[key].get<std::string>(), slug(flags.label));
                }
                row["framework"] = flags.label;
            }
            row["environment"] = environment;
            merged["benchmarks"].push_back(std::move(row));
        }
    }
    number_repetitions(merged["benchmarks"]);
    if (!flags.out.empty()) {
        write_file(flags.out, results_text(merged));
    }
    fmt::print("{}", table_of(merged).text(Table::Style::kText));
    return 0;
}

}  // namespace

void add_import_external(Program& program) {
    auto flags = std::make_shared<ImportFlags>();
    CLI::App* command =
        program.app.add_subcommand("import-external", "result files of other programs or rounds, in one");
    command->add_option("files", flags->files, "result files; rows of one name become repetitions")->required();
    command->add_option("--label", flags->label, "what they come from, added to the rows' names");
    command->add_option("--out", flags->out, "the file they go into");
    command->callback([&program, flags] { program.run = [flags] { return import_external(*flags); }; });
}

}  // namespace fer::tool
