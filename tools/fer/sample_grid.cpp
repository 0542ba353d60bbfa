#include "tools/fer/sample_grid.hpp"

#include "engine/core/random.hpp"
#include "engine/data/split.hpp"
#include "engine/report/grid.hpp"
#include "engine/report/predictions.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

constexpr int kColumns = 5;

std::vector<std::int32_t> chosen(std::vector<std::int32_t> images, const SampleFlags& flags) {
    shuffle(images, RandomStream(static_cast<std::uint64_t>(flags.seed), 0, stream_of("sample")));
    images.resize(std::min(images.size(), static_cast<std::size_t>(flags.count)));
    return images;
}

}  // namespace

int sample_grid(const LoadedModel& model, const std::string& run, const SampleFlags& flags, const DeviceFlags& where,
                int batch) {
    Config config = config_of(run);
    config.data.path = !flags.data.empty() ? flags.data : fs::is_directory(run) ? config.data.path : model.card.data;
    Dataset data = open_dataset(config.data.path);
    match_classes(model.card.classes, data, config.data.path);
    // Without a validation part of its own a run validates on test/, which stays closed here.
    const Split split =
        config.data.split == "official" ? split_official(data) : split_folder(data, config.data.val_split);
    const std::vector<std::int32_t> images =
        chosen(config.data.split == "folder" && config.data.val_split == 0 ? split.train : split.validation, flags);
    FER_CHECK(!images.empty(), "{} has no validation images to sample", config.data.path);

    const auto session = model.open(data, std::min(batch, static_cast<int>(images.size())), where);
    Predictions predictions{model.card.classes, {}, {}, session->evaluate(images).probabilities};
    std::vector<GridCell> cells;
    std::int64_t hits = 0;
    for (const std::int32_t i : images) {
        const auto at = static_cast<std::size_t>(i);
        predictions.files.push_back(data.files[at]);
        predictions.truth.push_back(data.labels[at]);
        const auto row = predictions.size() - 1;
        const auto truth = static_cast<std::size_t>(data.labels[at]),
                   said = static_cast<std::size_t>(predictions.predicted(row));
        hits += truth == said ? 1 : 0;
        cells.push_back({.image = {data.height, data.width, {data.image(i), data.image(i) + data.height * data.width}},
                         .above = data.classes[truth],
                         .below = fmt::format("{} {:.2f}", data.classes[said], predictions.row(row)[said]),
                         .right = truth == said});
        fmt::print("{}  true {}  predicted {} {:.2f}{}\n", data.files[at], data.classes[truth], data.classes[said],
                   predictions.row(row)[said], truth == said ? "" : "  wrong");
    }
    const std::string path = flags.grid.empty() ? "sample.png" : flags.grid;
    write_grid(path, cells, kColumns);
    fmt::print("{} of {} right\nsaved {}\n", hits, images.size(), path);
    return 0;
}

}  // namespace fer::tool
