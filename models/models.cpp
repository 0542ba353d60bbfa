#include "models/models.hpp"

#include <array>
#include <vector>

#include "engine/core/text.hpp"

namespace fer::models {
namespace {

// clang-format off
constexpr std::array kModels{
    Model{"custom_cnn",    "six convolutions in three blocks, dense 1024",                  48, 48, 1, custom_cnn,    17'046'535, 17'044'871},
    Model{"simpler_cnn",   "three convolutions in two blocks, dense 512",                   48, 48, 1, simpler_cnn,    9'534'727,  9'534'343},
    Model{"deeper_cnn",    "custom_cnn with a fourth block, dense 2048",                    48, 48, 1, deeper_cnn,    12'863'495, 12'860'807},
    Model{"residual_cnn",  "eight residual blocks from 32 to 256 filters, dense 1024",      48, 48, 1, residual_cnn,  12'978'055, 12'973'319},
    Model{"separable_cnn", "custom_cnn of depthwise-separable convolutions",                48, 48, 1, separable_cnn, 13'565'424, 13'563'760},
    Model{"gap_cnn",       "custom_cnn's stack, global average pooling, dense 1024",        48, 48, 1, gap_cnn,        4'463'623,  4'461'959},
    Model{"new_model",     "four blocks, batch norm before ReLU, dense 256 and 512",        48, 48, 1, new_model,      4'478'727,  4'474'759},
    Model{"fer_fast",      "ResNet-9: two shortcuts, 64 to 512 filters",                    48, 48, 1, fer_fast,       6'574'919,  6'570'439},
    Model{"fer_best",      "ResNet-18 at full resolution, 64 to 512 filters",               48, 48, 1, fer_best,      11'180'871, 11'171'271},
    Model{"vgg16_tl",       "VGG16, block5_conv2 on trained, dense 1024 and 512",            224, 224, 3, vgg16_tl,       40'934'215, 30'939'143},
    Model{"resnet50v2_tl",  "ResNet50V2, last 50 layers trained, dense 64",                  224, 224, 3, resnet50v2_tl,  29'996'295, 22'779'527},
    Model{"mobilenetv2_tl", "MobileNetV2 frozen, dense 1024",                                224, 224, 3, mobilenetv2_tl,  3'576'903,  1'318'919},
    Model{"resnet50_tl",    "ResNet50 frozen, dense 128",                                    224, 224, 3, resnet50_tl,    23'850'887,    263'175},
    Model{"vgg16_fc_tl",    "VGG16 with its classifier frozen, last layer replaced",         224, 224, 3, vgg16_fc_tl,   134'289'223,     28'679},
};
// clang-format on

}  // namespace

std::span<const Model> all() { return kModels; }

const Model& find(std::string_view name) {
    std::vector<std::string_view> names;
    for (const Model& model : kModels) {
        if (model.name == name) {
            return model;
        }
        names.push_back(model.name);
    }
    const std::string near = nearest(name, names);
    throw UsageError(fmt::format("unknown model '{}'", name))
        .try_this(near.empty() ? fmt::format("one of: {}", fmt::join(names, ", "))
                               : fmt::format("did you mean '{}'?", near));
}

}  // namespace fer::models
