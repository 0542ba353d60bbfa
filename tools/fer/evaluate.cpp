#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/data/split.hpp"
#include "engine/report/classification.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/loaded_model.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct EvaluateFlags {
    std::string run, data, part = "test", out;
    DeviceFlags device;
    int batch = 256;
    bool json = false;
};

const std::vector<std::int32_t>& part_of(const Split& split, const std::string& part) {
    if (part == "train") {
        return split.train;
    }
    return part == "validation" ? split.validation : split.test;
}

/// file,true,pred,p_<class>...; one row per image, in data set order.
std::string predictions_csv(const Dataset& data, std::span<const std::int32_t> indices,
                            std::span<const float> probabilities, const std::vector<std::string>& classes) {
    std::string text = "file,true,pred";
    for (const std::string& name : classes) {
        text += fmt::format(",{}", csv_field("p_" + name));
    }
    text += "\n";
    for (std::size_t i = 0; i < indices.size(); ++i) {
        const auto row = probabilities.subspan(i * classes.size(), classes.size());
        const auto image = static_cast<std::size_t>(indices[i]);
        text += fmt::format("{},{},{}", csv_field(data.files[image]),
                            csv_field(classes[static_cast<std::size_t>(data.labels[image])]),
                            csv_field(classes[static_cast<std::size_t>(argmax(row))]));
        for (const float p : row) {
            text += fmt::format(",{}", p);
        }
        text += "\n";
    }
    return text;
}

double top2(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::size_t classes) {
    std::int64_t hits = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const auto row = probabilities.subspan(i * classes, classes);
        const auto truth = static_cast<std::size_t>(labels[i]);
        int better = 0;
        for (std::size_t c = 0; c < classes; ++c) {
            better += row[c] > row[truth] || (row[c] == row[truth] && c < truth) ? 1 : 0;
        }
        hits += better < 2 ? 1 : 0;
    }
    return labels.empty() ? 0 : static_cast<double>(hits) / static_cast<double>(labels.size());
}

nlohmann::ordered_json metrics_json(const ConfusionMatrix& matrix, const Evaluation& evaluation, double top2_accuracy) {
    const Scores scores = scores_of(matrix);
    const Interval interval = wilson(matrix.hits(), matrix.total());
    nlohmann::ordered_json json{
        {"images", matrix.total()},        {"hits", matrix.hits()},
        {"accuracy", scores.accuracy},     {"accuracy_interval_95", {interval.low, interval.high}},
        {"loss", evaluation.metrics.loss}, {"top2_accuracy", top2_accuracy},
        {"macro_f1", scores.macro.f1},     {"balanced_accuracy", scores.balanced_accuracy}};
    for (std::size_t c = 0; c < matrix.classes.size(); ++c) {
        const ClassScore& s = scores.per_class[c];
        json["classes"][matrix.classes[c]] = {
            {"precision", s.precision}, {"recall", s.recall}, {"f1-score", s.f1}, {"support", s.support}};
    }
    return json;
}

int evaluate(const Program& program, const EvaluateFlags& flags) {
    open_runtime(find_device(flags.device.device));  // a device that is not there shows before the files are read
    const LoadedModel model(flags.run);
    Config config = config_of(flags.run);
    if (!flags.data.empty()) {
        config.data.path = flags.data;
    } else if (!fs::is_directory(flags.run)) {
        config.data.path = model.card.data;
    }
    DataOptions options;
    options.strict = config.data.strict;
    Dataset data = open_dataset(config.data.path, options);
    match_classes(model.card.classes, data, config.data.path);
    const Split split =
        config.data.split == "official" ? split_official(data) : split_folder(data, config.data.val_split);
    const std::vector<std::int32_t>& part = part_of(split, flags.part);
    FER_CHECK(!part.empty(), "the {} part of {} has no images", flags.part, config.data.path);
    if (!program.quiet && flags.part == "test" && config.data.split == "folder" && config.data.val_split == 0) {
        warn("this run chose its best epoch on these test images: the figure is optimistic");
    }

    const auto session = model.open(data, flags.batch, flags.device);
    const Evaluation evaluation = session->evaluate(part);
    std::vector<std::int32_t> labels;
    for (const std::int32_t i : part) {
        labels.push_back(data.labels[static_cast<std::size_t>(i)]);
    }
    const ConfusionMatrix matrix = confusion_of(evaluation.probabilities, labels, model.card.classes);
    const double second = top2(evaluation.probabilities, labels, model.card.classes.size());
    const auto json = metrics_json(matrix, evaluation, second);

    const fs::path out = !flags.out.empty()            ? fs::path(flags.out)
                         : fs::is_directory(flags.run) ? fs::path(flags.run) / "eval" / flags.part
                                                       : fs::path("eval") / flags.part;
    make_folder(out);
    write_file(out / "predictions.csv", predictions_csv(data, part, evaluation.probabilities, model.card.classes));
    write_file(out / "classification_report.txt", classification_report(matrix));
    write_file(out / "confusion_matrix.csv", confusion_csv(matrix));
    write_file(out / "metrics.json", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    if (flags.json) {
        fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
        return 0;
    }
    const Interval interval = wilson(matrix.hits(), matrix.total());
    const Scores scores = scores_of(matrix);
    fmt::print("{}\n{}\n", classification_report(matrix), confusion_table(matrix));
    fmt::print("accuracy {:.4f} ({} of {}), 95 % interval {:.4f} to {:.4f}\n", scores.accuracy, matrix.hits(),
               matrix.total(), interval.low, interval.high);
    fmt::print("loss {:.4f}, top-2 {:.4f}, macro F1 {:.4f}, balanced accuracy {:.4f}\n", evaluation.metrics.loss,
               second, scores.macro.f1, scores.balanced_accuracy);
    const std::string confused = most_confused(matrix, 3);
    if (!confused.empty()) {
        fmt::print("most confused: {}\n", confused);
    }
    fmt::print("saved {}  (predictions.csv has one row per image)\n", out.string());
    return 0;
}

}  // namespace

void add_evaluate(Program& program) {
    auto flags = std::make_shared<EvaluateFlags>();
    CLI::App* command = program.app.add_subcommand("evaluate", "accuracy, classification report, confusion matrix");
    command->add_option("run", flags->run, "run folder or weights file")->required();
    command->add_option("--data", flags->data, "folder, .zip, .csv or synthetic[:N] (default: the run's)");
    command->add_option("--split", flags->part, "train | validation | test")
        ->check(one_of({"train", "validation", "test"}));
    command->add_option("--batch", flags->batch, "images at a time")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    command->add_option("--out", flags->out, "folder for the files (default: RUN/eval/SPLIT)");
    add_device_flags(command, flags->device);
    command->add_flag("--json", flags->json, "metrics as JSON on stdout");
    command->callback([&program, flags] { program.run = [&program, flags] { return evaluate(program, *flags); }; });
}

}  // namespace fer::tool
