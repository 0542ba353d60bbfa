#include "tools/fer/preprocess.hpp"

#include "engine/core/error.hpp"

namespace fer::tool {

Preprocess preprocess_of(std::string_view name) {
    if (name == "rescale") {
        return {};
    }
    if (name == "none") {
        return {.rescale = 1};
    }
    if (name == "tf") {
        return {.rescale = 1 / 127.5, .offset = {-1, -1, -1}};
    }
    FER_CHECK(name == "caffe", "unknown preprocessing '{}': rescale, none, caffe or tf", name);
    return {.rescale = 1, .offset = {-103.939f, -116.779f, -123.68f}};
}

std::string_view backbone_preprocess(std::string_view model) {
    if (model == "vgg16_tl" || model == "vgg16_fc_tl" || model == "resnet50_tl") {
        return "caffe";
    }
    return model == "resnet50v2_tl" || model == "mobilenetv2_tl" ? "tf" : "";
}

}  // namespace fer::tool
