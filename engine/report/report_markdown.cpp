#include <cmath>

#include "engine/core/text.hpp"
#include "engine/report/report.hpp"

namespace fer {
namespace {

/// Text that is no markup, also in a table.
std::string plain(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '\n' || c == '\r') {
            out += ' ';
            continue;
        }
        if (std::string_view("\\`*_|<>[]#").find(c) != std::string_view::npos) {
            out += '\\';
        }
        out += c;
    }
    return out;
}

std::string row_of(const std::vector<std::string>& cells) {
    std::string text = "|";
    for (const std::string& cell : cells) {
        text += fmt::format(" {} |", cell);
    }
    text += '\n';
    return text;
}

std::string head_of(const std::vector<std::string>& cells) {
    std::string text = row_of(cells) + "|---|";
    for (std::size_t i = 1; i < cells.size(); ++i) {
        text += "---:|";
    }
    return text + "\n";
}

std::string links(const std::vector<Plot>& plots, const std::string& folder) {
    std::string text;
    for (const Plot& plot : plots) {
        if (!plot.svg.empty()) {
            text += fmt::format("![{}]({}/{}.svg)\n\n", plain(plot.caption), folder, plot.name);
        }
    }
    return text;
}

std::string evaluation(const SplitRecord& split, const std::vector<Plot>& plots, const std::string& folder) {
    const Measured m = measure(split);
    std::string text = fmt::format("### Evaluation: {}\n\n", plain(title_of(split)));
    for (const std::string& warning : warnings_of(split)) {
        text += fmt::format("> {}\n\n", warning);
    }
    text += fmt::format(
        "Accuracy **{:.4f}** ({} of {}), 95 % interval {:.4f} to {:.4f}; macro F1 {:.4f}, balanced accuracy {:.4f}, "
        "top-2 {:.4f}, macro AUC {}, calibration error {:.4f}.\n\n",
        m.scores.accuracy, m.matrix.hits(), m.matrix.total(), m.interval.low, m.interval.high, m.scores.macro.f1,
        m.scores.balanced_accuracy, m.top2, number_text(m.macro_auc), m.calibration_error);
    text += head_of({"class", "precision", "recall", "95 % interval", "F1", "AUC", "images"});
    for (std::size_t c = 0; c < m.matrix.classes.size(); ++c) {
        const ClassScore& s = m.scores.per_class[c];
        const Interval recall = wilson(m.matrix.at(c, c), s.support);
        text += row_of({plain(m.matrix.classes[c]), fmt::format("{:.3f}", s.precision), fmt::format("{:.3f}", s.recall),
                        fmt::format("{:.3f} to {:.3f}", recall.low, recall.high), fmt::format("{:.3f}", s.f1),
                        number_text(m.auc[c]), fmt::format("{}", s.support)});
    }
    std::vector<std::string> heading{"true \\\\ predicted"};
    for (const std::string& name : m.matrix.classes) {
        heading.push_back(plain(name));
    }
    text += "\n" + head_of(heading);
    for (std::size_t t = 0; t < m.matrix.classes.size(); ++t) {
        std::vector<std::string> cells{plain(m.matrix.classes[t])};
        for (std::size_t p = 0; p < m.matrix.classes.size(); ++p) {
            cells.push_back(fmt::format("{}", m.matrix.at(t, p)));
        }
        text += row_of(cells);
    }
    const std::string confused = most_confused(m.matrix, kPairsShown);
    return text + (confused.empty() ? "\n" : fmt::format("\nMost confused: {}\n\n", plain(confused))) +
           links(plots, folder);
}

std::string training(const RunReport& part, const std::string& folder) {
    if (part.run.history.empty()) {
        return "";
    }
    std::string text = "### Training\n\n";
    if (const auto best = part.run.best()) {
        const EpochRow& row = part.run.history[*best];
        text += fmt::format("Best epoch {} of {}: validation accuracy {}, validation loss {}. ", row.epoch,
                            part.run.history.size(), number_text(row.val_accuracy), number_text(row.val_loss));
    }
    if (const auto speed = throughput_of(part.run)) {
        text += fmt::format("{:.0f} images/s (median), {} an epoch, {} in all.", speed->images_per_s_median,
                            duration_text(speed->epoch_s_median), duration_text(speed->total_s));
    }
    return text + "\n\n" + links(part.curves, folder);
}

}  // namespace

std::string report_markdown(const Report& report, const std::string& plots) {
    std::string text = report.runs.size() > 1 ? fmt::format("# {} runs side by side\n\n", report.runs.size()) : "";
    if (!report.without_pictures.empty()) {
        text += fmt::format("> {}\n\n", plain(report.without_pictures));
    }
    text += links(report.comparison, plots);
    for (const RunReport& part : report.runs) {
        text += fmt::format("{} {}\n\n", report.runs.size() > 1 ? "##" : "#", plain(part.run.name));
        for (const std::string& sentence : part.run.missing) {
            text += fmt::format("> {}\n\n", plain(sentence));
        }
        for (std::size_t i = 0; i < part.run.splits.size(); ++i) {
            text += evaluation(part.run.splits[i], part.evaluations[i], plots);
        }
        text += training(part, plots);
        std::string settings;
        for (const SettingRecord& s : part.run.settings) {
            settings += s.origin == "default" ? "" : row_of({plain(s.key), plain(s.value), plain(s.origin)});
        }
        text +=
            settings.empty() ? "" : "### Configuration\n\n" + head_of({"setting", "value", "from"}) + settings + "\n";
        std::string environment;
        for (const auto& [key, value] : environment_of(part.run)) {
            environment += row_of({plain(key), plain(value)});
        }
        text += environment.empty() ? "" : "### Environment\n\n" + head_of({"what", "value"}) + environment + "\n";
    }
    return text;
}

}  // namespace fer
