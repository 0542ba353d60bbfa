// The pictures of a report, drawn by gnuplot.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/report/run_record.hpp"

namespace fer {

/// One picture: commands for gnuplot, and what came of them.
struct Plot {
    std::string name;     // of its files: "curves_loss"
    std::string caption;  // what it shows, in a sentence
    int width = 480, height = 340;
    std::string commands;
    std::string svg = {}, png = {};  // the files; empty until drawn
};

/// Loss and accuracy by epoch with the best epoch and the drops of the learning rate; the rate; images per second. What
/// was not recorded is left out.
std::vector<Plot> curve_plots(const RunRecord& run);
/// Confusions as counts and as shares of each true class, ROC curves, calibration.
std::vector<Plot> evaluation_plots(const SplitRecord& split);
/// val_loss and val_accuracy of several runs, and their accuracy on the first split that all were evaluated on.
std::vector<Plot> comparison_plots(const std::vector<RunRecord>& runs);

/// The first of test, validation, train that every run has; empty if there is none.
std::string common_split(const std::vector<RunRecord>& runs);

/// Draws all of them at once, each as SVG and as PNG. None if it went well, else why there are no pictures.
std::optional<std::string> draw(const std::vector<Plot*>& plots);

/// An SVG file as a part of a page: without its XML head, in the page's colours, as wide as there is room.
std::string inline_svg(const Plot& plot);

}  // namespace fer
