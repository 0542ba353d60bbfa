#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "engine/report/gnuplot.hpp"
#include "engine/report/ink.hpp"
#include "engine/report/plots.hpp"

namespace fer {
namespace {

using Value = std::function<double(const EpochRow&)>;

struct Line {
    std::string name;
    const std::vector<EpochRow>* history;
    Value value;
    std::string_view ink;
};

bool has_values(const Line& line) {
    return std::ranges::any_of(*line.history, [&](const EpochRow& row) { return std::isfinite(line.value(row)); });
}

/// The lines by epoch, as far as they have values; empty if none has.
std::string by_epoch(std::vector<Line> lines, const std::string& label, const std::string& style = "linespoints") {
    std::erase_if(lines, [](const Line& line) { return !has_values(line); });
    if (lines.empty()) {
        return {};
    }
    std::string data, plot;
    int first = lines[0].history->front().epoch, last = first;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        data += fmt::format("$line{} << EOD\n", i);
        for (const EpochRow& row : *lines[i].history) {
            const double value = lines[i].value(row);
            data +=
                std::isfinite(value) ? fmt::format("{} {}\n", row.epoch, value) : fmt::format("{} NaN\n", row.epoch);
            first = std::min(first, row.epoch);
            last = std::max(last, row.epoch);
        }
        data += "EOD\n";
        const std::string points =
            style == "linespoints" ? last - first < 40 ? "pointtype 7 pointsize 0.35" : "pointtype 0" : "";
        plot += fmt::format("{}$line{} using 1:2 with {} linewidth 2 {} linecolor rgb '{}' {}", i == 0 ? "plot " : ", ",
                            i, style, points, lines[i].ink,
                            lines[i].name.empty() ? "notitle" : "title " + gnuplot_text(lines[i].name));
    }
    const std::string range =
        first == last ? fmt::format("[{}:{}]", first - 0.5, last + 0.5) : fmt::format("[{}:{}]", first, last);
    return fmt::format("{}set xrange {}\n{}set xlabel 'epoch'\nset ylabel {}\n{}\n", data, range,
                       last - first <= 10 ? "set xtics 1\n" : "", gnuplot_text(label), plot);
}

/// Upright lines at the best epoch and where the rate dropped, to be set before the plot.
std::string marks(const RunRecord& run) {
    std::string text;
    for (const std::size_t drop : run.rate_drops()) {
        text += fmt::format(
            "set arrow from first {0}, graph 0 to first {0}, graph 1 nohead dashtype 3 linewidth 1.5 "
            "linecolor rgb '{1}'\n",
            run.history[drop].epoch, ink("series-2"));
    }
    if (const auto best = run.best()) {
        const int epoch = run.history[*best].epoch;
        const bool right = 2 * *best > run.history.size();
        text += fmt::format(
            "set arrow from first {0}, graph 0 to first {0}, graph 1 nohead dashtype 2 linewidth 1.5 "
            "linecolor rgb '{1}'\nset label 'best {0}' at first {0}, graph 0.96 {2} offset {3},0 "
            "textcolor rgb '{1}'\n",
            epoch, ink("good"), right ? "right" : "left", right ? -0.6 : 0.6);
    }
    return text;
}

void add(std::vector<Plot>& plots, const std::string& name, const std::string& caption, const std::string& before,
         const std::string& commands) {
    if (!commands.empty()) {
        plots.push_back({.name = name, .caption = caption, .commands = before + commands});
    }
}

Value loss() {
    return [](const EpochRow& r) { return r.loss; };
}
Value val_loss() {
    return [](const EpochRow& r) { return r.val_loss; };
}
Value accuracy() {
    return [](const EpochRow& r) { return r.accuracy; };
}
Value val_accuracy() {
    return [](const EpochRow& r) { return r.val_accuracy; };
}

/// Accuracy of each run with its interval, one above the other.
Plot interval_plot(const std::vector<RunRecord>& runs, const std::string& split) {
    std::string data = "$intervals << EOD\n", names;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const auto record = std::ranges::find(runs[i].splits, split, &SplitRecord::split);
        const ConfusionMatrix matrix = record->predictions.confusion();
        const Interval interval = wilson(matrix.hits(), matrix.total());
        data += fmt::format("{} {} {} {}\n", scores_of(matrix).accuracy, i, interval.low, interval.high);
        names += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_text(runs[i].name), i);
    }
    const auto count = static_cast<int>(runs.size());
    return {.name = "compare_" + split,
            .caption = fmt::format("Accuracy on the {} images with its 95 % interval: where two overlap, the "
                                   "difference may be chance.",
                                   split),
            .height = 90 + 34 * count,
            .commands =
                fmt::format("{}EOD\nset yrange [{}:-0.6]\nset ytics ({}) textcolor rgb '{}'\nunset key\n"
                            "set xlabel 'accuracy'\nset offsets 0.01, 0.01, 0, 0\nplot $intervals using 1:2:3:4 with "
                            "xerrorbars linewidth 2 pointtype 7 pointsize 0.7 linecolor rgb '{}'\n",
                            data, count - 0.4, names, ink("text"), ink("series-1"))};
}

}  // namespace

std::vector<Plot> curve_plots(const RunRecord& run) {
    std::vector<Plot> plots;
    if (run.history.empty()) {
        return plots;
    }
    const auto* rows = &run.history;
    const std::string at = marks(run);
    const std::string drops = run.rate_drops().empty() ? "" : " Dotted: the learning rate was reduced.";
    add(plots, "curves_loss", "Loss by epoch. Dashed: the best epoch, whose weights are kept." + drops, at,
        by_epoch({{"training", rows, loss(), ink("series-8")}, {"validation", rows, val_loss(), ink("series-1")}},
                 "loss"));
    add(plots, "curves_accuracy", "Accuracy by epoch." + drops, at,
        by_epoch(
            {{"training", rows, accuracy(), ink("series-8")}, {"validation", rows, val_accuracy(), ink("series-1")}},
            "accuracy"));
    add(plots, "learning_rate", "Learning rate of each epoch.",
        "unset key\nset logscale y\nset mytics 1\nset format y '%.0e'\n",
        by_epoch({{"", rows,
                   [](const EpochRow& r) {
                       const auto rate = static_cast<double>(r.learning_rate);
                       return rate > 0 ? rate : std::nan("");
                   },
                   ink("series-2")}},
                 "learning rate", "steps"));
    add(plots, "throughput", "Training throughput of each epoch.", "unset key\nset yrange [0:*]\n",
        by_epoch({{"", rows, [](const EpochRow& r) { return r.images_per_s; }, ink("series-3")}}, "images/s"));
    return plots;
}

std::string common_split(const std::vector<RunRecord>& runs) {
    for (const char* split : {"test", "validation", "train"}) {
        const bool all = std::ranges::all_of(runs, [&](const RunRecord& run) {
            return std::ranges::find(run.splits, split, &SplitRecord::split) != run.splits.end();
        });
        if (all && !runs.empty()) {
            return split;
        }
    }
    return {};
}

std::vector<Plot> comparison_plots(const std::vector<RunRecord>& runs) {
    std::vector<Plot> plots;
    std::vector<Line> losses, accuracies;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (!runs[i].history.empty()) {
            losses.push_back({runs[i].name, &runs[i].history, val_loss(), series_ink(i)});
            accuracies.push_back({runs[i].name, &runs[i].history, val_accuracy(), series_ink(i)});
        }
    }
    add(plots, "compare_val_loss", "Validation loss of each run.", "", by_epoch(losses, "validation loss"));
    add(plots, "compare_val_accuracy", "Validation accuracy of each run.", "",
        by_epoch(accuracies, "validation accuracy"));
    if (const std::string split = common_split(runs); !split.empty()) {
        plots.push_back(interval_plot(runs, split));
    }
    return plots;
}

}  // namespace fer
