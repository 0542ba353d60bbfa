#include "tools/fer/network.hpp"

#include <algorithm>
#include <charconv>

#include "engine/core/text.hpp"
#include "engine/train/run_folder.hpp"
#include "engine/train/trainer.hpp"
#include "models/models.hpp"
#include "tools/fer/loaded_model.hpp"
#include "tools/fer/preprocess.hpp"

namespace fer::tool {
namespace {

bool was_given(const Config& config, const char* key) { return config.origin.contains(key); }

/// The card's own layers, or the network it names.
Network described(const ModelCard& card, const std::string& path) {
    return {.build = builder_of_card(card, path),
            .name = card.model,
            .height = card.height,
            .width = card.width,
            .channels = card.channels,
            .classes = static_cast<int>(card.classes.size()),
            .architecture = card.architecture,
            .class_names = card.classes,
            .rescale = card.rescale,
            .offset = card.offset};
}

Network named(const Config& config) {
    const models::Model& model = models::find(config.train.model);
    Preprocess scale{.rescale = config.data.rescale};
    if (config.data.preprocess == "backbone") {
        const std::string_view mode = backbone_preprocess(model.name);
        FER_CHECK(!mode.empty(), "data.preprocess = \"backbone\": {} has no pretrained trunk", model.name);
        scale = preprocess_of(mode);
    }
    return {.build = model.build,
            .name = std::string(model.name),
            .height = model.height,
            .width = model.width,
            .channels = model.channels,
            .classes = models::kClasses,
            .architecture = {},
            .class_names = {},
            .rescale = scale.rescale,
            .offset = scale.offset};
}

}  // namespace

Network find_network(Config& config, const std::string& resume) {
    if (!resume.empty()) {
        const std::filesystem::path state = std::filesystem::path(resume) / "weights" / "last.state.safetensors";
        if (std::filesystem::exists(state)) {
            const ModelCard card = read_card(SafetensorsFile(state), state.string());
            if (!card.architecture.empty()) {
                return described(card, state.string());
            }
        }
        return named(config);
    }
    if (config.train.weights != "none" && !was_given(config, "train.model")) {
        const std::string& path = config.train.weights;
        Network network = described(read_card(SafetensorsFile(std::filesystem::path(path)), path), path);
        FER_CHECK(network.architecture.empty() || config.train.width == 1, "--width: {} describes its own layers",
                  path);
        if (was_given(config, "data.rescale") || was_given(config, "data.preprocess")) {
            network.rescale = config.data.rescale;
            network.offset = {};
        }
        config.train.model = network.name;
        return network;
    }
    return named(config);
}

int layers_to_freeze(const Config& config, const Network& network) {
    const std::string& text = config.train.freeze;
    if (text.empty()) {
        return -1;
    }
    int count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error == std::errc() && end == text.data() + text.size() && count >= 0) {
        return count;
    }
    StepOptions options = step_options(config, network.height, network.width, network.channels, network.classes);
    options.batch = options.input.images = 1;
    options.fuse = "off";
    const Step step = evaluation_step(network.build, options);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < step.layers.size(); ++i) {
        if (step.layers[i].name == text) {
            return static_cast<int>(i) + 1;
        }
        names.push_back(step.layers[i].name);
    }
    const std::string near = nearest(text, names);
    throw UsageError(fmt::format("--freeze: {} has no layer '{}'", network.name, text))
        .try_this(near.empty() ? "fer summary shows its layers" : fmt::format("did you mean '{}'?", near));
}

void resolve_weights(Config& config) {
    if (config.train.weights != "none") {
        config.train.weights = std::filesystem::canonical(find_weights(config.train.weights)).string();
    }
}

std::string load_starting_weights(const Config& config, const Session& session) {
    if (config.train.weights == "none") {
        return {};
    }
    const std::string& path = config.train.weights;
    const int count =
        load_known_weights(SafetensorsFile(std::filesystem::path(path)), path, session.variables(), session.step());
    const auto all = session.step().variables.size();
    return fmt::format("{} of {} variables start from {}{}", count, all, path,
                       static_cast<std::size_t>(count) == all ? "" : ", the others are drawn");
}

bool has_random_trunk(const Config& config, const Session& session) {
    return config.train.weights == "none" && std::ranges::any_of(session.step().variables, [](const Variable& v) {
               return !v.trainable && v.init != Init::kZeros && v.init != Init::kOnes;
           });
}

}  // namespace fer::tool
