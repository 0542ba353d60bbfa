#include "tools/fer/loaded_model.hpp"

#include "engine/core/file.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/train/run_folder.hpp"

namespace fer::tool {

LoadedModel::LoadedModel(const std::filesystem::path& run_or_file)
    : path(find_weights(run_or_file)), file(path), card(read_card(file, path.string())), model(&models::find(card.model)) {}

std::unique_ptr<Session> LoadedModel::open(const Dataset& data, int batch) const {
    Config config;
    config.data.rescale = card.rescale;
    config.train.width = card.width_factor;
    config.train.batch = batch;
    const StepOptions options =
        step_options(config, card.height, card.width, card.channels, static_cast<int>(card.classes.size()));
    auto session = std::make_unique<Session>(model->build, options, data, cpu_device(), Session::Use::kEvaluateOnly);
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
