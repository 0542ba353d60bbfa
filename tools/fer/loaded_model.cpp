#include "tools/fer/loaded_model.hpp"

#include "engine/core/file.hpp"
#include "engine/train/run_folder.hpp"

namespace fer::tool {
namespace {

/// The description comes from a file: a model this program does not have is the file's fault, not the command's.
const models::Model& model_of(const ModelCard& card, const std::string& path) {
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
            return model;
        }
    }
    throw DataError(fmt::format("{} is of the unknown model '{}'", path, card.model))
        .try_this("fer summary --list shows the models there are");
}

}  // namespace

LoadedModel::LoadedModel(const std::filesystem::path& run_or_file)
    : path(find_weights(run_or_file)),
      file(path),
      card(read_card(file, path.string())),
      model(&model_of(card, path.string())) {}

std::unique_ptr<Session> LoadedModel::open(const Dataset& data, int batch, const DeviceFlags& where) const {
    const Device& device = find_device(where.device);
    Config config;
    config.data.rescale = card.rescale;
    config.train.width = card.width_factor;
    config.train.batch = batch;
    StepOptions options =
        step_options(config, card.height, card.width, card.channels, static_cast<int>(card.classes.size()));
    options.precision = choose_precision(where.precision, device);
    Runtime& runtime = open_runtime(device);
    const std::shared_ptr<Tuner> tuner = make_tuner(where, device, runtime);
    auto session = std::make_unique<Session>(model->build, options, data, device, runtime, Session::Use::kEvaluateOnly,
                                             plan_options(where), !where.no_capture, tuner);
    tell_findings(tuner.get());
    initialize(session->variables(), session->step(), 0);
    load_weights(file, path.string(), session->variables(), session->step());
    return session;
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
