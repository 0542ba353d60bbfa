#include <cmath>

#include "engine/report/calibration.hpp"
#include "engine/report/report.hpp"
#include "engine/report/roc.hpp"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json scores_json(const ClassScore& s) {
    return {{"precision", s.precision}, {"recall", s.recall}, {"f1-score", s.f1}, {"support", s.support}};
}

Json mistakes_json(const Predictions& p) {
    Json list = Json::array();
    for (const std::int64_t row : worst_mistakes(p, kWorstShown)) {
        const auto predicted = static_cast<std::size_t>(p.predicted(row));
        const auto at = static_cast<std::size_t>(row);
        list.push_back({{"file", p.files[at]},
                        {"true", p.classes[static_cast<std::size_t>(p.truth[at])]},
                        {"pred", p.classes[predicted]},
                        {"probability", p.row(row)[predicted]}});
    }
    return list;
}

Json evaluation_json(const SplitRecord& split) {
    const Measured m = measure(split);
    Json json{{"images", m.matrix.total()},
              {"hits", m.matrix.hits()},
              {"accuracy", m.scores.accuracy},
              {"accuracy_interval_95", {m.interval.low, m.interval.high}},
              {"loss", split.loss ? Json(*split.loss) : Json()},
              {"top2_accuracy", m.top2},
              {"macro_f1", m.scores.macro.f1},
              {"balanced_accuracy", m.scores.balanced_accuracy},
              {"macro_auc", number(m.macro_auc)},
              {"calibration_error", m.calibration_error},
              {"chose_best_epoch", split.chose_best_epoch},
              {"usage", split.usage},
              {"tta", split.tta},
              {"looks", split.looks}};
    for (std::size_t c = 0; c < m.matrix.classes.size(); ++c) {
        const Interval recall = wilson(m.matrix.at(c, c), m.scores.per_class[c].support);
        Json row = scores_json(m.scores.per_class[c]);
        row["recall_interval_95"] = {recall.low, recall.high};
        row["auc"] = number(m.auc[c]);
        json["classes"][m.matrix.classes[c]] = std::move(row);
    }
    json["macro avg"] = scores_json(m.scores.macro);
    json["weighted avg"] = scores_json(m.scores.weighted);
    Json matrix = Json::array();
    for (std::size_t t = 0; t < m.matrix.classes.size(); ++t) {
        const auto row = m.matrix.counts.begin() + static_cast<std::ptrdiff_t>(t * m.matrix.classes.size());
        matrix.push_back(std::vector<std::int64_t>(row, row + static_cast<std::ptrdiff_t>(m.matrix.classes.size())));
    }
    json["confusion_matrix"] = std::move(matrix);
    for (const CalibrationBin& bin : calibration_of(split.predictions).bins) {
        json["calibration"].push_back({{"low", bin.low},
                                       {"high", bin.high},
                                       {"count", bin.count},
                                       {"confidence", bin.confidence},
                                       {"accuracy", bin.accuracy}});
    }
    json["worst_mistakes"] = mistakes_json(split.predictions);
    return json;
}

Json run_json(const RunRecord& run) {
    Json json{{"name", run.name}, {"folder", run.folder.string()}};
    if (const auto best = run.best()) {
        json["best_epoch"] = run.history[*best].epoch;
    }
    json["learning_rate_drops"] = Json::array();
    for (const std::size_t drop : run.rate_drops()) {
        json["learning_rate_drops"].push_back(run.history[drop].epoch);
    }
    json["evaluations"] = Json::object();
    for (const SplitRecord& split : run.splits) {
        json["evaluations"][split.split] = evaluation_json(split);
    }
    if (const auto speed = throughput_of(run)) {
        json["throughput"] = {{"images_per_s_min", speed->images_per_s_min},
                              {"images_per_s_median", speed->images_per_s_median},
                              {"images_per_s_max", speed->images_per_s_max},
                              {"epoch_s_median", speed->epoch_s_median},
                              {"total_s", speed->total_s}};
    }
    json["history"] = Json::array();
    for (const EpochRow& r : run.history) {
        json["history"].push_back({{"epoch", r.epoch},
                                   {"time_s", number(r.seconds)},
                                   {"loss", number(r.loss)},
                                   {"accuracy", number(r.accuracy)},
                                   {"val_loss", number(r.val_loss)},
                                   {"val_accuracy", number(r.val_accuracy)},
                                   {"learning_rate", number(static_cast<double>(r.learning_rate))},
                                   {"images_per_s", number(r.images_per_s)}});
    }
    for (const SettingRecord& s : run.settings) {
        json["settings"][s.key] = {{"value", s.value}, {"origin", s.origin}};
    }
    json["run"] = run.manifest;
    json["missing"] = run.missing;
    return json;
}

}  // namespace

std::string report_json(const Report& report) {
    Json json{{"format", 1}, {"fer", FER_VERSION}, {"runs", Json::array()}};
    for (const RunReport& part : report.runs) {
        json["runs"].push_back(run_json(part.run));
    }
    // Names come from files and folders, which need not be UTF-8.
    return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace fer
