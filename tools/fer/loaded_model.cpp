#include "tools/fer/loaded_model.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "engine/core/file.hpp"
#include "engine/interchange/keras_config.hpp"
#include "engine/train/run_folder.hpp"

namespace fer::tool {
namespace {

/// The layers that the file itself describes.
ModelBuilder described(const ModelCard& card, const std::string& path) {
    const Architecture architecture = parse_keras_config(card.architecture, path).architecture;
    const bool fits = architecture.height == card.height && architecture.width == card.width &&
                      architecture.channels == card.channels;
    if (!fits || card.width_factor != 1 || classes_of(architecture) != static_cast<int>(card.classes.size())) {
        throw DataError(fmt::format("{} contradicts itself", path))
            .because("its layers are for other images or classes than its description says");
    }
    return builder_of(architecture);
}

}  // namespace

/// The description comes from a file: a model this program does not have is the file's fault, not the command's.
ModelBuilder builder_of_card(const ModelCard& card, const std::string& path) {
    if (!card.architecture.empty()) {
        return described(card, path);
    }
    for (const models::Model& model : models::all()) {
        if (model.name == card.model) {
            const bool fits = card.height == model.height && card.width == model.width &&
                              card.channels == model.channels && card.classes.size() == models::kClasses &&
                              card.width_factor > 0;
            if (!fits) {
                throw DataError(fmt::format("{} does not fit this program's {}", path, model.name))
                    .because(fmt::format("it is for images {}x{}x{} and {} classes", card.height, card.width,
                                         card.channels, card.classes.size()));
            }
            return model.build;
        }
    }
    throw DataError(fmt::format("{} is of the unknown model '{}'", path, card.model))
        .try_this("fer summary --list shows the models there are");
}

StepOptions options_of_card(const ModelCard& card) {
    Config config;
    config.data.rescale = card.rescale;
    config.train.width = card.width_factor;
    StepOptions options =
        step_options(config, card.height, card.width, card.channels, static_cast<int>(card.classes.size()));
    options.input.rescale.offset = card.offset;
    options.input.bilinear = card.bilinear;
    options.input.stored_height = card.height;
    options.input.stored_width = card.width;
    return options;
}

LoadedModel::LoadedModel(const std::filesystem::path& run_or_file)
    : path(find_weights(run_or_file)), file(path), card(read_card(file, path.string())) {
    build = builder_of_card(card, path.string());
    if (!card.complete) {
        throw DataError(fmt::format("{} is a trunk without its head", path.string()))
            .because("the layers behind it have no weights yet")
            .try_this(fmt::format("fer train {} --weights {}", card.model, path.string()));
    }
}

std::unique_ptr<Session> LoadedModel::open(const Dataset& data, int batch, const DeviceFlags& where) const {
    const Device& device = find_device(where.device);
    StepOptions options = options_of_card(card);
    options.batch = batch;
    options.precision = choose_precision(where.precision, device);
    Runtime& runtime = open_runtime(device);
    const std::shared_ptr<Tuner> tuner = make_tuner(where, device, runtime);
    auto session = std::make_unique<Session>(build, options, data, device, runtime, Session::Use::kEvaluateOnly,
                                             plan_options(where), !where.no_capture, tuner);
    tell_findings(tuner.get());
    initialize(session->variables(), Step{}, 0);  // all but the weights: drawing those of a ResNet50 takes a second
    load_weights(file, path.string(), session->variables(), session->step());
    return session;
}

void match_classes(const std::vector<std::string>& classes, Dataset& data, const std::string& source) {
    if (!std::ranges::is_permutation(classes, data.classes)) {
        throw DataError(fmt::format("{}: its classes are not the model's", source))
            .because(fmt::format("model: {}; data: {}", fmt::join(classes, ", "), fmt::join(data.classes, ", ")));
    }
    std::vector<std::int32_t> place;
    for (const std::string& name : data.classes) {
        place.push_back(static_cast<std::int32_t>(std::ranges::find(classes, name) - classes.begin()));
    }
    for (std::int32_t& label : data.labels) {
        label = place[static_cast<std::size_t>(label)];
    }
    data.classes = classes;
}

Config config_of(const std::filesystem::path& run_or_file) {
    Config config;
    const std::filesystem::path saved = run_or_file / "config.toml";
    if (std::filesystem::exists(saved)) {
        apply_toml(config, read_file(saved), saved.string(), Origin::kFile);
    }
    return config;
}

}  // namespace fer::tool
