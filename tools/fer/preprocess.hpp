// How bytes become the input of a pretrained network, and the two orders of the seven emotions.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace fer::tool {

/// y = x * rescale + offset[channel]
struct Preprocess {
    double rescale = 1.0 / 255.0;
    std::array<float, 3> offset{};
};

/// rescale: x/255; none: x; tf: x/127.5 - 1; caffe: x minus ImageNet's means of blue, green, red. A grey image has
/// three equal channels, so caffe's order of them is that of its means alone. UsageError for another name.
Preprocess preprocess_of(std::string_view name);

/// What the trunk behind a network was trained with: caffe or tf; empty for networks without one.
std::string_view backbone_preprocess(std::string_view model);

inline const std::vector<std::string> kFolderOrder{"angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"};
inline const std::vector<std::string> kCsvOrder{"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"};

}  // namespace fer::tool
