#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/data/hash.hpp"
#include "engine/data/image.hpp"
#include "engine/data/split.hpp"
#include "engine/data/views.hpp"
#include "engine/report/classification.hpp"
#include "engine/report/ledger.hpp"
#include "engine/report/mistakes.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/loaded_model.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct EvaluateFlags {
    std::string run, data, part = "test", out, tta = "none";
    DeviceFlags device;
    int batch = 256;
    bool json = false;
};

/// The images to look at, and what is to be said of them.
struct Part {
    std::vector<std::int32_t> images;
    std::string usage;              // "PrivateTest", "PublicTest and PrivateTest"; empty: not known
    bool chose_best_epoch = false;  // by the run itself
};

const std::vector<std::int32_t>& list_of(const Split& split, const std::string& part) {
    if (part == "train") {
        return split.train;
    }
    return part == "validation" ? split.validation : split.test;
}

std::string usage_of(const Dataset& data, const std::vector<std::int32_t>& images) {
    std::set<Usage> usages;
    for (const std::int32_t i : images) {
        usages.insert(data.usage[static_cast<std::size_t>(i)]);
    }
    const std::map<Usage, std::string> names{
        {Usage::kTraining, "Training"}, {Usage::kPublicTest, "PublicTest"}, {Usage::kPrivateTest, "PrivateTest"}};
    std::vector<std::string> words;
    for (const Usage usage : usages) {
        if (usage == Usage::kUnknown) {
            return {};
        }
        words.push_back(names.at(usage));
    }
    return fmt::format("{}", fmt::join(words, " and "));
}

Part part_of(const Dataset& data, const DataConfig& config, const std::string& name, const ModelCard& card) {
    const Split split = config.split == "official" ? split_official(data) : split_folder(data, config.val_split);
    Part part{list_of(split, name), {}, false};
    FER_CHECK(!part.images.empty(), "the {} part of {} has no images", name, config.path);
    part.usage = usage_of(data, part.images);
    const bool own_data = card.fingerprint == fmt::format("{:016x}", data.fingerprint);
    part.chose_best_epoch = own_data && part.images == split.validation;
    return part;
}

Json metrics_json(const Predictions& predictions, const Part& part, double loss) {
    const ConfusionMatrix matrix = predictions.confusion();
    const Scores scores = scores_of(matrix);
    const Interval interval = wilson(matrix.hits(), matrix.total());
    Json json{{"images", matrix.total()},
              {"hits", matrix.hits()},
              {"accuracy", scores.accuracy},
              {"accuracy_interval_95", {interval.low, interval.high}},
              {"loss", loss},
              {"top2_accuracy", top_accuracy(predictions, 2)},
              {"macro_f1", scores.macro.f1},
              {"balanced_accuracy", scores.balanced_accuracy},
              {"chose_best_epoch", part.chose_best_epoch}};
    if (!part.usage.empty()) {
        json["usage"] = part.usage;
    }
    for (std::size_t c = 0; c < matrix.classes.size(); ++c) {
        const ClassScore& s = scores.per_class[c];
        json["classes"][matrix.classes[c]] = {
            {"precision", s.precision}, {"recall", s.recall}, {"f1-score", s.f1}, {"support", s.support}};
    }
    return json;
}

std::string text_of(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

Pictures pictures_of(const Predictions& predictions, const Dataset& data, const Part& part) {
    Pictures pictures;
    for (const std::int64_t row : rows_to_picture(predictions)) {
        const std::int32_t image = part.images[static_cast<std::size_t>(row)];
        const auto pixels = static_cast<std::size_t>(data.height * data.width);
        pictures[row] = encode_png(data.width, data.height, 1, {data.image(image), pixels});
    }
    return pictures;
}

void write_results(const fs::path& out, const Predictions& predictions, const Pictures& pictures, const Json& metrics) {
    const ConfusionMatrix matrix = predictions.confusion();
    make_folder(out);
    write_file(out / "predictions.csv", predictions_csv(predictions));
    write_file(out / "pictures.json", pictures_json(pictures, predictions));
    write_file(out / "classification_report.txt", classification_report(matrix));
    write_file(out / "classification_report.json", classification_json(matrix));
    write_file(out / "confusion_matrix.csv", confusion_csv(matrix));
    write_file(out / "metrics.json", text_of(metrics) + "\n");
}

/// The run these weights belong to; empty if they are a file of their own.
fs::path run_of(const fs::path& run_or_file) {
    if (fs::is_directory(run_or_file)) {
        return run_or_file;
    }
    const fs::path folder = fs::absolute(run_or_file).parent_path();
    return folder.filename() == "weights" && fs::exists(folder.parent_path() / "run.json")
               ? (run_or_file.parent_path() / "..").lexically_normal()
               : fs::path();
}

/// Where this look is recorded: in the run, wherever the results go; beside the results if there is no run, or if
/// nothing may be written in it.
fs::path record(const fs::path& run, const fs::path& out, const LedgerEntry& entry) {
    if (!run.empty()) {
        try {
            append_to_ledger(run, entry);
            return run;
        } catch (const OutputError& error) {
            warn(fmt::format("{} ({}): this look is recorded in {}", error.what(), error.why(),
                             ledger_of(out).string()));
        }
    }
    append_to_ledger(out, entry);
    return out;
}

void print_results(const Predictions& predictions, const Json& metrics) {
    const ConfusionMatrix matrix = predictions.confusion();
    const Interval interval = wilson(matrix.hits(), matrix.total());
    const Scores scores = scores_of(matrix);
    fmt::print("{}\n{}\n", classification_report(matrix), confusion_table(matrix));
    fmt::print("accuracy {:.4f} ({} of {}), 95 % interval {:.4f} to {:.4f}\n", scores.accuracy, matrix.hits(),
               matrix.total(), interval.low, interval.high);
    fmt::print("loss {:.4f}, top-2 {:.4f}, macro F1 {:.4f}, balanced accuracy {:.4f}\n", metrics["loss"].get<double>(),
               metrics["top2_accuracy"].get<double>(), scores.macro.f1, scores.balanced_accuracy);
    const std::string confused = most_confused(matrix, 3);
    if (!confused.empty()) {
        fmt::print("most confused: {}\n", confused);
    }
}

/// Fills in the probabilities, means over the views of each image. Returns the loss: the network's own with its L2
/// terms, or with several views the cross-entropy of those means.
double run_network(const LoadedModel& model, const EvaluateFlags& flags, const Dataset& data,
                   const std::vector<std::int32_t>& images, Predictions& predictions) {
    const std::vector<View> views = views_of(flags.tta);
    if (views.size() == 1) {
        Evaluation evaluation = model.open(data, flags.batch, flags.device)->evaluate(images);
        predictions.probabilities = std::move(evaluation.probabilities);
        return evaluation.metrics.loss;
    }
    const Dataset seen = with_views(data, images, views);
    std::vector<std::int32_t> all(static_cast<std::size_t>(seen.size()));
    std::iota(all.begin(), all.end(), 0);
    const std::vector<float> p = model.open(seen, flags.batch, flags.device)->evaluate(all).probabilities;
    const std::size_t classes = predictions.classes.size();
    double loss = 0;
    for (std::size_t i = 0; i < images.size(); ++i) {
        for (std::size_t c = 0; c < classes; ++c) {
            double sum = 0;
            for (std::size_t v = 0; v < views.size(); ++v) {
                sum += static_cast<double>(p[(i * views.size() + v) * classes + c]);
            }
            predictions.probabilities.push_back(static_cast<float>(sum / static_cast<double>(views.size())));
        }
        const auto truth = static_cast<std::size_t>(predictions.truth[i]);
        loss -= std::log(std::max(1e-7, static_cast<double>(predictions.row(static_cast<std::int64_t>(i))[truth])));
    }
    return loss / static_cast<double>(images.size());
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
    const Part part = part_of(data, config.data, flags.part, model.card);
    if (!program.quiet && flags.part == "test" && part.chose_best_epoch) {
        warn("this run chose its best epoch on these test images: the figure is optimistic");
    }

    Predictions predictions{model.card.classes, {}, {}, {}};
    for (const std::int32_t i : part.images) {
        predictions.files.push_back(data.files[static_cast<std::size_t>(i)]);
        predictions.truth.push_back(data.labels[static_cast<std::size_t>(i)]);
    }
    const double loss = run_network(model, flags, data, part.images, predictions);
    Json metrics = metrics_json(predictions, part, loss);
    if (flags.tta != "none") {
        metrics["tta"] = flags.tta;
    }

    const fs::path out = !flags.out.empty()            ? fs::path(flags.out)
                         : fs::is_directory(flags.run) ? fs::path(flags.run) / "eval" / flags.part
                                                       : fs::path("eval") / flags.part;
    write_results(out, predictions, pictures_of(predictions, data, part), metrics);
    const ConfusionMatrix matrix = predictions.confusion();
    const fs::path ledger = record(run_of(flags.run), out,
                                   {.command = program.command_line,
                                    .weights = model.path.string(),
                                    .weights_hash = fmt::format("{:016x}", hash_text(read_file(model.path))),
                                    .data = config.data.path,
                                    .fingerprint = fmt::format("{:016x}", data.fingerprint),
                                    .split = flags.part,
                                    .usage = part.usage,
                                    .chose_best_epoch = part.chose_best_epoch,
                                    .images = matrix.total(),
                                    .hits = matrix.hits()});
    if (flags.json) {
        fmt::print("{}\n", text_of(metrics));
        return 0;
    }
    print_results(predictions, metrics);
    if (flags.part == "test") {
        fmt::print("look {} at these test images  ({})\n", looks_at(ledger, flags.part), ledger_of(ledger).string());
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
    command->add_option("--tta", flags->tta, "none | flip | flip_shift: mean over 1, 2 or 10 views of each image")
        ->check(one_of({"none", "flip", "flip_shift"}))
        ->capture_default_str();
    command->add_option("--out", flags->out, "folder for the files (default: RUN/eval/SPLIT)");
    add_device_flags(command, flags->device);
    command->add_flag("--json", flags->json, "metrics as JSON on stdout");
    command->callback([&program, flags] { program.run = [&program, flags] { return evaluate(program, *flags); }; });
}

}  // namespace fer::tool
