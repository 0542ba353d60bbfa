#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/report/calibration.hpp"
#include "engine/report/gnuplot.hpp"
#include "engine/report/ink.hpp"
#include "engine/report/plots.hpp"
#include "engine/report/roc.hpp"

namespace fer {
namespace {

constexpr int kRocPoints = 160;  // of a curve that is drawn 400 points wide

std::string tics(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) {
        text += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_text(names[i]), i);
    }
    return text;
}

long colour(std::string_view ink) { return std::strtol(std::string(ink.substr(1)).c_str(), nullptr, 16); }

/// Cells as full as their share of the true class; rows true, columns predicted.
Plot confusion_plot(const ConfusionMatrix& matrix, const std::string& name, bool normalized) {
    const std::size_t n = matrix.classes.size();
    std::string data = "$cells << EOD\n";
    for (std::size_t t = 0; t < n; ++t) {
        std::int64_t support = 0;
        for (std::size_t p = 0; p < n; ++p) {
            support += matrix.at(t, p);
        }
        for (std::size_t p = 0; p < n; ++p) {
            const double share = support == 0 ? 0 : static_cast<double>(matrix.at(t, p)) / static_cast<double>(support);
            const auto clear = std::lround(255 * (1 - 0.04 - 0.9 * share));
            const std::string text = normalized ? fmt::format("{:.2f}", share) : fmt::format("{}", matrix.at(t, p));
            data += fmt::format("{} {} {} {} {}\n", p, t, clear << 24 | colour(ink("series-1")), text,
                                colour(ink(share > 0.55 ? "on-accent"
                                           : share == 0 ? "muted"
                                                        : "text")));
        }
    }
    std::size_t longest = 0;
    for (const std::string& class_name : matrix.classes) {
        longest = std::min<std::size_t>(24, std::max(longest, class_name.size()));
    }
    return {.name = name,
            .caption = normalized ? "The same as shares of each true class: the diagonal is the recall."
                                  : "Rows are the true class, columns the predicted one.",
            .height = 480,
            .commands = fmt::format("{0}EOD\nunset key\nunset grid\nunset border\nset size ratio -1\n"
                                    "set lmargin {4}\nset rmargin 1\nset tmargin 0.5\nset bmargin {5}\n"
                                    "set xrange [-0.5:{1}]\nset yrange [{1}:-0.5]\n"
                                    "set xtics ({2}) scale 0 rotate by 40 right textcolor rgb '{3}'\n"
                                    "set ytics ({2}) scale 0 textcolor rgb '{3}'\n"
                                    "set xlabel 'predicted'\nset ylabel 'true'\n"
                                    "plot $cells using 1:2:(0.48):(0.48):3 with boxxyerror fillstyle solid noborder "
                                    "linecolor rgb variable, $cells using 1:2:4:5 with labels textcolor rgb variable\n",
                                    data, static_cast<double>(n) - 0.5, tics(matrix.classes), ink("text"), longest + 4,
                                    3.6 + 0.27 * static_cast<double>(longest))};
}

/// Not more points than can be seen, both ends among them.
std::string thinned(const RocCurve& curve) {
    std::string data;
    const std::size_t count = curve.false_positive_rate.size();
    const std::size_t step = std::max<std::size_t>(1, count / kRocPoints);
    for (std::size_t i = 0; i < count; i = i + 1 == count ? count : std::min(i + step, count - 1)) {
        data += fmt::format("{:.5f} {:.5f}\n", curve.false_positive_rate[i], curve.true_positive_rate[i]);
    }
    return data;
}

Plot roc_plot(const Predictions& predictions) {
    std::string data, plot = fmt::format("plot x with lines dashtype 2 linecolor rgb '{}' notitle", ink("muted"));
    for (std::size_t c = 0; c < predictions.classes.size(); ++c) {
        if (const auto curve = roc_of(predictions, static_cast<int>(c))) {
            data += fmt::format("$class{} << EOD\n{}EOD\n", c, thinned(*curve));
            plot +=
                fmt::format(", $class{} using 1:2 with lines linewidth 2 linecolor rgb '{}' title {}", c, series_ink(c),
                            gnuplot_text(fmt::format("{} {:.3f}", predictions.classes[c], curve->auc)));
        }
    }
    return {.name = "roc",
            .caption = "Each class against the rest; beside its name the area under its curve.",
            .height = 400,
            .commands = fmt::format("{}set key inside bottom right vertical\nset xrange [0:1]\nset yrange [0:1]\n"
                                    "set xlabel 'false positive rate'\nset ylabel 'true positive rate'\n{}\n",
                                    data, plot)};
}

Plot calibration_plot(const Predictions& predictions) {
    const Calibration calibration = calibration_of(predictions);
    std::string data = "$bins << EOD\n", shares = "$shares << EOD\n";
    for (const CalibrationBin& bin : calibration.bins) {
        shares += fmt::format("{} {} {}\n", (bin.low + bin.high) / 2,
                              static_cast<double>(bin.count) / static_cast<double>(predictions.size()),
                              0.92 * (bin.high - bin.low));
        if (bin.count > 0) {
            data += fmt::format("{} {}\n", bin.confidence, bin.accuracy);
        }
    }
    return {
        .name = "calibration",
        .caption = fmt::format("How often it is right when it is how sure; on the dashed line it knows what it knows. "
                               "Expected calibration error {:.3f}. Bars: the share of images.",
                               calibration.error),
        .height = 400,
        .commands =
            fmt::format("{}EOD\n{}EOD\nunset key\nset xrange [0:1]\nset yrange [0:1]\n"
                        "set xlabel 'confidence'\nset ylabel 'accuracy'\n"
                        "plot $shares using 1:2:3 with boxes fillstyle solid noborder linecolor rgb '{}', "
                        "x with lines dashtype 2 linecolor rgb '{}', "
                        "$bins using 1:2 with linespoints linewidth 2 pointtype 7 pointsize 0.5 linecolor rgb '{}'\n",
                        data, shares, ink("grid"), ink("muted"), ink("series-1"))};
}

}  // namespace

std::vector<Plot> evaluation_plots(const SplitRecord& split) {
    const std::string suffix = split.split == "test" ? "" : "_" + split.split;
    const ConfusionMatrix matrix = split.predictions.confusion();
    std::vector<Plot> plots{confusion_plot(matrix, "confusion_matrix" + suffix, false),
                            confusion_plot(matrix, "confusion_matrix_normalized" + suffix, true),
                            roc_plot(split.predictions), calibration_plot(split.predictions)};
    plots[2].name += suffix;
    plots[3].name += suffix;
    return plots;
}

}  // namespace fer
