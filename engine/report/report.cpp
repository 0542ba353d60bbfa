#include "engine/report/report.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "engine/report/calibration.hpp"
#include "engine/report/gnuplot.hpp"
#include "engine/report/roc.hpp"

namespace fer {
namespace {

constexpr int kManyLooks = 3;

using Visit = std::function<void(Plot&)>;

void for_each_plot(Report& report, const Visit& visit) {
    std::ranges::for_each(report.comparison, visit);
    for (RunReport& run : report.runs) {
        std::ranges::for_each(run.curves, visit);
        for (std::vector<Plot>& plots : run.evaluations) {
            std::ranges::for_each(plots, visit);
        }
    }
}

/// Names of files, also where a run's folder is named for something else.
std::string plain_name(const std::string& name) {
    std::string plain = name;
    std::ranges::replace_if(
        plain, [](unsigned char c) { return std::isalnum(c) == 0 && c != '_' && c != '-' && c != '.'; }, '_');
    return plain;
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    const std::size_t n = values.size();
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

void flatten(const nlohmann::ordered_json& json, const std::string& prefix,
             std::vector<std::pair<std::string, std::string>>& rows) {
    for (const auto& [key, value] : json.items()) {
        if (value.is_object()) {
            flatten(value, prefix + key + ".", rows);
        } else {
            rows.emplace_back(prefix + key, value.is_string() ? value.get<std::string>() : value.dump());
        }
    }
}

}  // namespace

std::vector<const Plot*> Report::drawn() const {
    std::vector<const Plot*> plots;
    for_each_plot(const_cast<Report&>(*this), [&](const Plot& plot) {
        if (!plot.svg.empty()) {
            plots.push_back(&plot);
        }
    });
    return plots;
}

Report make_report(std::vector<RunRecord> runs) {
    Report report;
    if (runs.size() > 1) {
        report.comparison = comparison_plots(runs);
    }
    for (std::size_t i = 0; i < runs.size(); ++i) {
        RunReport part{std::move(runs[i]), {}, {}};
        part.curves = curve_plots(part.run);
        for (const SplitRecord& split : part.run.splits) {
            part.evaluations.push_back(evaluation_plots(split));
        }
        report.runs.push_back(std::move(part));
    }
    for (std::size_t i = 0; report.runs.size() > 1 && i < report.runs.size(); ++i) {
        const std::string prefix = fmt::format("{}_{}_", i + 1, plain_name(report.runs[i].run.name));
        for (Plot& plot : report.runs[i].curves) {
            plot.name.insert(0, prefix);
        }
        for (std::vector<Plot>& plots : report.runs[i].evaluations) {
            for (Plot& plot : plots) {
                plot.name.insert(0, prefix);
            }
        }
    }
    if (!gnuplot_version()) {
        report.without_pictures = "There are no plots: gnuplot is not installed (apt-get install gnuplot-nox).";
        return report;
    }
    std::vector<Plot*> plots;
    for_each_plot(report, [&](Plot& plot) { plots.push_back(&plot); });
    if (const auto failure = draw(plots)) {
        report.without_pictures = fmt::format("There are no plots: {}", *failure);
    }
    return report;
}

Measured measure(const SplitRecord& split) {
    const ConfusionMatrix matrix = split.predictions.confusion();
    Measured m{matrix,
               scores_of(matrix),
               wilson(matrix.hits(), matrix.total()),
               top_accuracy(split.predictions, 2),
               calibration_of(split.predictions).error,
               {},
               0};
    int defined = 0;
    for (std::size_t c = 0; c < matrix.classes.size(); ++c) {
        const auto curve = roc_of(split.predictions, static_cast<int>(c));
        m.auc.push_back(curve ? curve->auc : std::numeric_limits<double>::quiet_NaN());
        m.macro_auc += curve ? curve->auc : 0;
        defined += curve ? 1 : 0;
    }
    m.macro_auc = defined == 0 ? std::numeric_limits<double>::quiet_NaN() : m.macro_auc / defined;
    return m;
}

std::string title_of(const SplitRecord& split) {
    const std::string name = split.usage.empty() ? split.split : fmt::format("{} ({})", split.split, split.usage);
    return split.tta.empty() ? name : fmt::format("{}, test-time augmentation {}", name, split.tta);
}

std::vector<std::string> warnings_of(const SplitRecord& split) {
    std::vector<std::string> warnings;
    if (split.chose_best_epoch) {
        warnings.emplace_back("The best epoch was chosen on these very images: the figures are optimistic.");
    }
    if (split.split == "train") {
        warnings.emplace_back("The network was trained on these very images: the figures say nothing about others.");
    }
    if (split.split == "test" && split.looks >= kManyLooks) {
        warnings.push_back(
            fmt::format("These test images have been looked at {} times for this run: what was chosen by "
                        "such looks is no longer tested by them.",
                        split.looks));
    }
    return warnings;
}

std::vector<std::pair<std::string, std::string>> environment_of(const RunRecord& run) {
    std::vector<std::pair<std::string, std::string>> rows;
    flatten(run.manifest, "", rows);
    return rows;
}

std::optional<Throughput> throughput_of(const RunRecord& run) {
    std::vector<double> rates, seconds;
    double before = 0;
    for (const EpochRow& row : run.history) {
        if (std::isfinite(row.images_per_s)) {
            rates.push_back(row.images_per_s);
        }
        if (std::isfinite(row.seconds)) {
            seconds.push_back(row.seconds - before);
            before = row.seconds;
        }
    }
    if (rates.empty() || seconds.empty()) {
        return std::nullopt;
    }
    return Throughput{std::ranges::min(rates), median(rates), std::ranges::max(rates), median(seconds), before};
}

std::string duration_text(double seconds) {
    const auto s = std::llround(seconds);
    if (!std::isfinite(seconds)) {
        return "-";
    }
    if (s >= 3600) {
        return fmt::format("{} h {} min", s / 3600, s / 60 % 60);
    }
    if (s >= 60) {
        return fmt::format("{} min {} s", s / 60, s % 60);
    }
    return seconds >= 10 ? fmt::format("{} s", s) : fmt::format("{:.2f} s", seconds);
}

std::string number_text(double value) { return std::isfinite(value) ? fmt::format("{:.4g}", value) : "-"; }

}  // namespace fer
