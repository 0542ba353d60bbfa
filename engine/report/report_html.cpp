#include <algorithm>
#include <cmath>

#include "engine/core/text.hpp"
#include "engine/report/html.hpp"
#include "engine/report/report.hpp"

namespace fer {
namespace {

using html::Cell;
using html::escaped;
using html::Row;

constexpr double kWideInterval = 0.1;  // said in red: a class of few images

std::string note(const std::string& text) { return fmt::format("<p class=\"note\">{}</p>\n", escaped(text)); }

std::string percent(double share) { return fmt::format("{:.2f} %", 100 * share); }

std::string interval_text(const Interval& i) { return fmt::format("{:.3f}&hairsp;–&hairsp;{:.3f}", i.low, i.high); }

std::string figure(const Plot& plot) {
    return plot.svg.empty() ? ""
                            : fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", inline_svg(plot),
                                          escaped(plot.caption));
}

std::string figures(const std::vector<Plot>& plots) {
    std::string text;
    for (const Plot& plot : plots) {
        text += figure(plot);
    }
    return text.empty() ? "" : "<div class=\"figures\">\n" + text + "</div>\n";
}

std::string share_and_interval(std::int64_t hits, std::int64_t total) {
    if (total == 0) {
        return "-";
    }
    const Interval i = wilson(hits, total);
    return fmt::format("{:.3f}<small{}>{}</small>", static_cast<double>(hits) / static_cast<double>(total),
                       i.high - i.low > kWideInterval ? " class=\"wide\"" : "", interval_text(i));
}

std::string per_class_table(const Measured& m) {
    std::vector<Row> rows;
    bool wide = false;
    for (std::size_t c = 0; c < m.matrix.classes.size(); ++c) {
        const ClassScore& s = m.scores.per_class[c];
        std::int64_t predicted = 0;
        for (std::size_t t = 0; t < m.matrix.classes.size(); ++t) {
            predicted += m.matrix.at(t, c);
        }
        const Interval recall = wilson(m.matrix.at(c, c), s.support);
        wide = wide || recall.high - recall.low > kWideInterval;
        rows.push_back({{{escaped(m.matrix.classes[c])},
                         {share_and_interval(m.matrix.at(c, c), predicted)},
                         {share_and_interval(m.matrix.at(c, c), s.support)},
                         {fmt::format("{:.3f}", s.f1)},
                         {std::isfinite(m.auc[c]) ? fmt::format("{:.3f}", m.auc[c]) : "-"},
                         {thousands(s.support)}}});
    }
    const auto mean = [&](const std::string& name, const ClassScore& s, const std::string& auc) {
        rows.push_back({{{name},
                         {fmt::format("{:.3f}", s.precision)},
                         {fmt::format("{:.3f}", s.recall)},
                         {fmt::format("{:.3f}", s.f1)},
                         {auc},
                         {thousands(s.support)}},
                        "sum"});
    };
    mean("macro", m.scores.macro, std::isfinite(m.macro_auc) ? fmt::format("{:.3f}", m.macro_auc) : "-");
    mean("weighted", m.scores.weighted, "");
    return html::table({"class", "precision", "recall", "F1", "AUC", "images"}, rows) +
           (wide ? "<p class=\"quiet\">Below each share its 95 % interval; in red where it is wider than 0.1, because "
                   "there "
                   "are few images.</p>\n"
                 : "<p class=\"quiet\">Below each share its 95 % interval.</p>\n");
}

/// Where there is no picture of it.
std::string confusion_as_table(const ConfusionMatrix& matrix) {
    std::vector<std::string> headings{"true ↓  predicted →"};
    headings.insert(headings.end(), matrix.classes.begin(), matrix.classes.end());
    std::vector<Row> rows;
    for (std::size_t t = 0; t < matrix.classes.size(); ++t) {
        Row row{{{escaped(matrix.classes[t])}}};
        for (std::size_t p = 0; p < matrix.classes.size(); ++p) {
            row.cells.push_back({fmt::format("{}", matrix.at(t, p)), t == p ? "best" : ""});
        }
        rows.push_back(std::move(row));
    }
    return html::table(headings, rows);
}

std::string picture(const SplitRecord& split, std::int64_t row) {
    const auto at = split.pictures.find(row);
    return at == split.pictures.end()
               ? "<div class=\"none\"></div>"
               : fmt::format("<img alt=\"{}\" src=\"data:image/png;base64,{}\">",
                             escaped(split.predictions.files[static_cast<std::size_t>(row)]), base64(at->second));
}

std::string worst_faces(const SplitRecord& split) {
    const Predictions& p = split.predictions;
    std::string text;
    for (const std::int64_t row : worst_mistakes(p, kWorstShown)) {
        const auto predicted = static_cast<std::size_t>(p.predicted(row));
        text += fmt::format("<div class=\"face\">{}{}<br><span class=\"said\">{} {:.2f}</span></div>\n",
                            picture(split, row),
                            escaped(p.classes[static_cast<std::size_t>(p.truth[static_cast<std::size_t>(row)])]),
                            escaped(p.classes[predicted]), p.row(row)[predicted]);
    }
    return text.empty()
               ? "<p>There are none: every image is right.</p>\n"
               : "<p class=\"quiet\">Wrong and the surest of it: the true class, and below it in red what was said "
                 "and how surely.</p>\n<div class=\"faces\">\n" +
                     text + "</div>\n";
}

std::string confused(const SplitRecord& split, const ConfusionMatrix& matrix) {
    std::string text;
    for (const ConfusedPair& pair : confused_pairs(matrix, kPairsShown)) {
        text += fmt::format("<div class=\"pair\"><div>{} → {}<br><b>{}</b></div><div class=\"row\">",
                            escaped(matrix.classes[static_cast<std::size_t>(pair.truth)]),
                            escaped(matrix.classes[static_cast<std::size_t>(pair.predicted)]), pair.times);
        for (const std::int64_t row : worst_mistakes(split.predictions, kImagesOfAPair, pair.truth, pair.predicted)) {
            text += fmt::format("<div class=\"face\">{}</div>", picture(split, row));
        }
        text += "</div></div>\n";
    }
    return text.empty() ? "" : "<h3>Most confused</h3>\n<div class=\"card\">\n" + text + "</div>\n";
}

/// The accuracy as large as it deserves, with its interval on a scale from nothing to all.
std::string hero(const Measured& m) {
    return fmt::format(
        "<div class=\"hero\"><div><p class=\"over\">accuracy</p><b>{}</b></div><div><div class=\"scale\">"
        "<i style=\"left:{:.2f}%;width:{:.2f}%\"></i><u style=\"left:{:.2f}%\"></u></div><span class=\"quiet\">{} of "
        "{} "
        "images · 95 % interval {}</span></div></div>\n",
        percent(m.scores.accuracy), 100 * m.interval.low, 100 * (m.interval.high - m.interval.low),
        100 * m.scores.accuracy, thousands(m.matrix.hits()), thousands(m.matrix.total()), interval_text(m.interval));
}

std::string evaluation(const RunReport& part, std::size_t index) {
    const SplitRecord& split = part.run.splits[index];
    const Measured m = measure(split);
    std::string text = fmt::format("<h2>Evaluation: {}</h2>\n", escaped(title_of(split))) + hero(m);
    for (const std::string& warning : warnings_of(split)) {
        text += note(warning);
    }
    text += "<div class=\"tiles\">\n" + html::tile("macro F1", fmt::format("{:.4f}", m.scores.macro.f1)) +
            html::tile("balanced accuracy", fmt::format("{:.4f}", m.scores.balanced_accuracy)) +
            html::tile("top-2 accuracy", fmt::format("{:.4f}", m.top2)) +
            (split.loss ? html::tile("loss", number_text(*split.loss)) : "") +
            html::tile("macro AUC", number_text(m.macro_auc)) +
            html::tile("calibration error", fmt::format("{:.4f}", m.calibration_error)) +
            (split.looks > 0 ? html::tile("looks at these images", fmt::format("{}", split.looks)) : "") + "</div>\n";
    text += "<h3>Classes</h3>\n" + per_class_table(m) + "<h3>Confusions and certainty</h3>\n";
    const std::string drawn = figures(part.evaluations[index]);
    text += drawn.empty() ? confusion_as_table(m.matrix) : drawn;
    if (split.pictures.empty()) {
        return text + confused(split, m.matrix) + "<h3>Worst mistakes</h3>\n" +
               note("There are no pictures of them: fer evaluate stores some beside its figures.");
    }
    return text + confused(split, m.matrix) + "<h3>Worst mistakes</h3>\n" + worst_faces(split);
}

/// The last epochs and the best, where there are no curves.
std::string epochs_table(const RunRecord& run) {
    std::vector<Row> rows;
    const auto best = run.best();
    for (std::size_t i = 0; i < run.history.size(); ++i) {
        const EpochRow& r = run.history[i];
        const std::string_view kind = best == i ? "best" : "";
        rows.push_back({{{fmt::format("{}", r.epoch), kind},
                         {number_text(r.loss)},
                         {number_text(r.accuracy)},
                         {number_text(r.val_loss), kind},
                         {number_text(r.val_accuracy), kind},
                         {number_text(static_cast<double>(r.learning_rate))},
                         {number_text(r.images_per_s)}}});
    }
    return html::table({"epoch", "loss", "accuracy", "val loss", "val accuracy", "rate", "images/s"}, rows);
}

std::string training(const RunReport& part) {
    const RunRecord& run = part.run;
    if (run.history.empty()) {
        return "";
    }
    std::string text =
        "<h2>Training</h2>\n<div class=\"tiles\">\n" + html::tile("epochs", fmt::format("{}", run.history.size()));
    if (const auto best = run.best()) {
        const EpochRow& row = run.history[*best];
        text += html::tile("best epoch", fmt::format("{}", row.epoch)) +
                html::tile("validation accuracy", number_text(row.val_accuracy)) +
                html::tile("validation loss", number_text(row.val_loss));
    }
    if (const auto speed = throughput_of(run)) {
        text += html::tile("images/s, median", fmt::format("{:.0f}", speed->images_per_s_median)) +
                html::tile("images/s, range",
                           fmt::format("{:.0f} – {:.0f}", speed->images_per_s_min, speed->images_per_s_max)) +
                html::tile("an epoch, median", duration_text(speed->epoch_s_median)) +
                html::tile("in all", duration_text(speed->total_s));
    }
    const std::string drawn = figures(part.curves);
    text += "</div>\n" + (drawn.empty() ? "" : drawn);
    return text + (drawn.empty()
                       ? epochs_table(run)
                       : "<details><summary>Every epoch as a table</summary>\n" + epochs_table(run) + "</details>\n");
}

std::string configuration(const RunRecord& run) {
    std::vector<Row> rows;
    for (const SettingRecord& s : run.settings) {
        if (s.origin != "default") {
            rows.push_back({{{escaped(s.key)}, {"<code>" + escaped(s.value) + "</code>"}, {escaped(s.origin)}}});
        }
    }
    std::string text = rows.empty() && run.config.empty() ? "" : "<h2>Configuration</h2>\n";
    if (!rows.empty()) {
        text += html::table({"setting", "value", "from"}, rows, "words");
    }
    return run.config.empty() ? text
                              : text + fmt::format(
                                           "<details{}><summary>All settings (config.toml)</summary>\n<pre>{}</pre>\n"
                                           "</details>\n",
                                           rows.empty() ? " open" : "", escaped(run.config));
}

std::string environment(const RunRecord& run) {
    std::vector<Row> rows;
    for (const auto& [key, value] : environment_of(run)) {
        rows.push_back({{{escaped(key)}, {"<code>" + escaped(value) + "</code>"}}});
    }
    return rows.empty() ? "" : "<h2>Environment</h2>\n" + html::table({}, rows, "words");
}

std::string text_of(const RunRecord& run, const char* key) {
    const auto value = run.manifest.value(key, nlohmann::ordered_json());
    return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

std::string subtitle(const RunRecord& run) {
    std::string text;
    for (const char* key : {"model", "recipe", "hardware", "device", "precision", "exit_reason", "written"}) {
        if (const std::string value = text_of(run, key); !value.empty()) {
            text += (text.empty() ? "" : " · ") + escaped(value);
        }
    }
    return fmt::format("<p class=\"quiet\">{}</p>\n", text);
}

/// One row a run; the best figures in green.
std::string comparison(const Report& report) {
    std::vector<RunRecord> runs;
    for (const RunReport& part : report.runs) {
        runs.push_back(part.run);
    }
    const std::string common = common_split(runs);
    std::vector<Row> rows;
    std::vector<double> accuracies;
    for (const RunRecord& run : runs) {
        Row row{{{escaped(run.name)}}};
        double accuracy = -1;
        if (const auto split = std::ranges::find(run.splits, common, &SplitRecord::split); split != run.splits.end()) {
            const Measured m = measure(*split);
            accuracy = m.scores.accuracy;
            row.cells.push_back({fmt::format("{}<small>{}</small>", percent(accuracy), interval_text(m.interval))});
            row.cells.push_back({fmt::format("{:.4f}", m.scores.macro.f1)});
        } else {
            row.cells.insert(row.cells.end(), {{"-"}, {"-"}});
        }
        accuracies.push_back(accuracy);
        const auto best = run.best();
        row.cells.push_back({best ? number_text(run.history[*best].val_loss) : "-"});
        row.cells.push_back({best ? fmt::format("{} of {}", run.history[*best].epoch, run.history.size()) : "-"});
        const auto speed = throughput_of(run);
        row.cells.push_back({speed ? fmt::format("{:.0f}", speed->images_per_s_median) : "-"});
        row.cells.push_back({speed ? duration_text(speed->total_s) : "-"});
        row.cells.push_back({escaped(text_of(run, "device") + " " + text_of(run, "precision"))});
        rows.push_back(std::move(row));
    }
    const double most = std::ranges::max(accuracies);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        rows[i].cells[1].kind = most >= 0 && accuracies[i] == most ? "best" : "";
    }
    const std::string of = common.empty() ? "accuracy" : common + " accuracy";
    return html::table({"run", of, "macro F1", "val loss", "best epoch", "images/s", "time", "on"}, rows) +
           figures(report.comparison);
}

std::string run_part(const RunReport& part) {
    std::string text = subtitle(part.run);
    for (const std::string& sentence : part.run.missing) {
        text += note(sentence);
    }
    for (std::size_t i = 0; i < part.run.splits.size(); ++i) {
        text += evaluation(part, i);
    }
    return text + training(part) + configuration(part.run) + environment(part.run);
}

}  // namespace

std::string report_html(const Report& report) {
    const bool several = report.runs.size() > 1;
    const std::string title =
        several ? fmt::format("{} runs side by side", report.runs.size()) : report.runs[0].run.name;
    std::string body = fmt::format("<p class=\"over\">fer report</p>\n<h1>{}</h1>\n", escaped(title));
    if (!report.without_pictures.empty()) {
        body += note(report.without_pictures);
    }
    if (several) {
        body += comparison(report);
    }
    for (const RunReport& part : report.runs) {
        body += (several ? "<hr>\n<h1 style=\"margin-top:28px\">" + escaped(part.run.name) + "</h1>\n" : "") +
                run_part(part);
    }
    body += fmt::format(
        "<footer>Every figure is counted from predictions.csv and results.csv of the run. fer {}</footer>\n",
        FER_VERSION);
    return html::page("fer report: " + title, body);
}

}  // namespace fer
