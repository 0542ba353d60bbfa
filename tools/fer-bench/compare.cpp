// Two result files, name by name: is the second faster, and is that more than noise?
#include <algorithm>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/measure/results.hpp"
#include "engine/measure/statistics.hpp"
#include "tools/fer-bench/commands.hpp"
#include "tools/fer-bench/table.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

struct CompareFlags {
    std::string before, after, metric = "real_time", markdown, csv, json;
    double alpha = 0.05;
    double fail_above = -1;  // percent; below 0: no gate
    bool all = false;
};

constexpr std::size_t kReliable = 9;  // repetitions that a test of ranks wants

struct Pair {
    Series before, after;
    double ratio = 0;  // after / before
    Interval interval;
    double p = 1;
    std::string noise;

    bool significant(double alpha) const { return p < alpha; }
};

std::string noise_of(const Series& series) {
    const double noise = relative_iqr(series.values);
    return noise > kNoisy ? fmt::format("(! {:.0f}%)", 100 * noise) : "";
}

/// Rows that both have. Cold starts and plans are single times: only with --all.
std::vector<Pair> pairs_of(const CompareFlags& flags) {
    const std::vector<Series> before = series_of(read_results(flags.before), flags.metric);
    const std::vector<Series> after = series_of(read_results(flags.after), flags.metric);
    std::vector<Pair> pairs;
    for (const Series& a : before) {
        const auto b = std::ranges::find(after, a.name, &Series::name);
        const bool single = a.name.starts_with("cold/") || a.name.starts_with("plan/");
        if (b == after.end() || (single && !flags.all)) {
            continue;
        }
        if (a.device != b->device) {
            throw UsageError(fmt::format("{} was measured on two devices", a.name))
                .because(fmt::format("{}: {}; {}: {}", flags.before, a.device, flags.after, b->device))
                .try_this("compare results of one device: run both programs on it");
        }
        Pair pair{a, *b, median(b->values) / median(a.values), {}, 1, {}};
        pair.interval = ratio_interval(b->values, a.values);
        pair.p = mann_whitney(a.values, b->values);
        const std::string first = noise_of(a);
        const std::string second = noise_of(*b);
        pair.noise = first + (first.empty() || second.empty() ? "" : " ") + second;
        pairs.push_back(std::move(pair));
    }
    if (pairs.empty()) {
        throw DataError(fmt::format("{} and {} have no row in common", flags.before, flags.after))
            .because(before.empty() || after.empty()
                         ? fmt::format("{} has none", before.empty() ? flags.before : flags.after)
                         : fmt::format("one has {}, the other {}", before[0].name, after[0].name));
    }
    return pairs;
}

Table table_of(const std::vector<Pair>& pairs, const CompareFlags& flags) {
    const bool frameworks =
        std::ranges::any_of(pairs, [](const Pair& p) { return p.before.framework != p.after.framework; });
    const std::string unit = flags.metric == "items_per_second" ? "img/s" : "ms";
    const auto heading = [&](const char* which, const Series& series) {
        return fmt::format("{} {}", frameworks ? series.framework : which, unit);
    };
    Table table({"name", heading("before", pairs[0].before), heading("after", pairs[0].after), "ratio", "95 %", "p",
                 "verdict", "noise"},
                1);
    const bool more_is_better = flags.metric == "items_per_second";
    for (const Pair& pair : pairs) {
        const bool better = (pair.ratio < 1) != more_is_better;
        table.add({pair.before.name, figure(median(pair.before.values)), figure(median(pair.after.values)),
                   fmt::format("{:.3f}", pair.ratio),
                   fmt::format("{:.3f}..{:.3f}", pair.interval.low, pair.interval.high), fmt::format("{:.4f}", pair.p),
                   !pair.significant(flags.alpha) ? "same"
                   : better                       ? "faster"
                                                  : "slower",
                   pair.noise});
    }
    return table;
}

Json json_of(const std::vector<Pair>& pairs, const CompareFlags& flags) {
    Json rows = Json::array();
    for (const Pair& pair : pairs) {
        rows.push_back({{"name", pair.before.name},
                        {"device", pair.before.device},
                        {"frameworks", {pair.before.framework, pair.after.framework}},
                        {"medians", {median(pair.before.values), median(pair.after.values)}},
                        {"repetitions", {pair.before.values.size(), pair.after.values.size()}},
                        {"ratio", pair.ratio},
                        {"interval", {pair.interval.low, pair.interval.high}},
                        {"p", pair.p},
                        {"noise", pair.noise}});
    }
    return {{"schema", "fer-bench-comparison/1"}, {"metric", flags.metric}, {"rows", rows}};
}

/// Percent that a row is worse by; below 0: better.
double worse(const Pair& pair, const std::string& metric) {
    return 100 * (metric == "items_per_second" ? 1 / pair.ratio - 1 : pair.ratio - 1);
}

int compare(const CompareFlags& flags) {
    const std::vector<Pair> pairs = pairs_of(flags);
    const Table table = table_of(pairs, flags);
    fmt::print("{}", table.text(Table::Style::kText));
    if (!flags.markdown.empty()) {
        write_file(flags.markdown, table.text(Table::Style::kMarkdown));
    }
    if (!flags.csv.empty()) {
        write_file(flags.csv, table.text(Table::Style::kCsv));
    }
    if (!flags.json.empty()) {
        write_file(flags.json, json_of(pairs, flags).dump(1) + "\n");
    }
    std::size_t fewest = pairs[0].before.values.size();
    for (const Pair& pair : pairs) {
        fewest = std::min({fewest, pair.before.values.size(), pair.after.values.size()});
    }
    if (fewest < kReliable) {
        note(fmt::format("{} repetition{}: with fewer than {} the test says little", fewest, fewest == 1 ? "" : "s",
                         kReliable));
    }
    const auto fails = [&](const Pair& pair) {
        return flags.fail_above >= 0 && pair.significant(flags.alpha) && worse(pair, flags.metric) > flags.fail_above;
    };
    const auto first = std::ranges::find_if(pairs, fails);
    if (first == pairs.end()) {
        return 0;
    }
    throw GateError(fmt::format("{} of {} rows slower by more than {:g} %", std::ranges::count_if(pairs, fails),
                                pairs.size(), flags.fail_above))
        .because(fmt::format("{} by {:.1f} % (p {:.4f})", first->before.name, worse(*first, flags.metric), first->p));
}

}  // namespace

void add_compare(Program& program) {
    auto flags = std::make_shared<CompareFlags>();
    CLI::App* command = program.app.add_subcommand("compare", "two result files: ratios, intervals, significance");
    command->add_option("before", flags->before, "result file")->required();
    command->add_option("after", flags->after, "result file")->required();
    command->add_option("--metric", flags->metric, "real_time | cpu_time | items_per_second");
    command->add_option("--alpha", flags->alpha, "p below which a difference counts")->check(CLI::Range(0.0, 1.0));
    command->add_option("--fail-above", flags->fail_above, "exit 7 if a row is significantly slower by more percent")
        ->check(CLI::Range(0.0, 1e6));
    command->add_flag("--all", flags->all, "cold starts and planning too");
    command->add_option("--markdown", flags->markdown, "file of the table");
    command->add_option("--csv", flags->csv, "file of the table");
    command->add_option("--json", flags->json, "file of the table");
    command->callback([&program, flags] { program.run = [flags] { return compare(*flags); }; });
}

}  // namespace fer::tool
