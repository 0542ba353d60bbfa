// What a person looks at after training: one page, the same as Markdown, and all its numbers as JSON.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/report/plots.hpp"
#include "engine/report/run_record.hpp"

namespace fer {

struct RunReport {
    RunRecord run;
    std::vector<Plot> curves;
    std::vector<std::vector<Plot>> evaluations;  // of each split of the run
};

struct Report {
    std::vector<RunReport> runs;
    std::vector<Plot> comparison;  // of several runs
    std::string without_pictures;  // why there are none; empty if there are

    /// All pictures that were drawn; their names are all different.
    std::vector<const Plot*> drawn() const;
};

/// Makes the report of one or more runs and draws its pictures. Without gnuplot it has none and says so.
Report make_report(std::vector<RunRecord> runs);

/// One file without scripts that asks for nothing over the network, for light and dark screens from 400 points wide.
std::string report_html(const Report& report);

/// Tables and figures for a text file; pictures as links to `plots`/NAME.svg.
std::string report_markdown(const Report& report, const std::string& plots);

/// {"format": 1, "runs": [{"name", "best_epoch", "history", "evaluations": {SPLIT: {"accuracy", ...}}, ...}]}.
std::string report_json(const Report& report);

// Words that the three have in common.

struct Measured {
    ConfusionMatrix matrix;
    Scores scores;
    Interval interval;
    double top2 = 0, calibration_error = 0;
    std::vector<double> auc;  // by class; NaN without images of the class or of others
    double macro_auc = 0;     // mean of those there are
};
Measured measure(const SplitRecord& split);

/// "test (PrivateTest)": what was evaluated.
std::string title_of(const SplitRecord& split);
/// What a reader must know of the figures: that they are optimistic, that these images were looked at often.
std::vector<std::string> warnings_of(const SplitRecord& split);

/// The manifest without its braces: "data.train" and "3202".
std::vector<std::pair<std::string, std::string>> environment_of(const RunRecord& run);

struct Throughput {
    double images_per_s_min = 0, images_per_s_median = 0, images_per_s_max = 0;
    double epoch_s_median = 0;  // training and validation
    double total_s = 0;
};
/// None without epochs that tell.
std::optional<Throughput> throughput_of(const RunRecord& run);

/// "2 h 13 min", "41 s", "0.31 s".
std::string duration_text(double seconds);
/// A number as a person reads it: four significant digits; "-" for NaN.
std::string number_text(double value);

}  // namespace fer
