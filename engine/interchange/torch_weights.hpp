// State dicts of torchvision and timm, saved as safetensors: vgg16, resnet50, mobilenet_v2.
#pragma once

#include "engine/interchange/weights.hpp"

namespace fer {

struct TorchModel {
    Architecture architecture;
    ImportedWeights weights;
    std::array<float, 3> offset{};  // behind the factor 1/255: minus ImageNet's means
    std::vector<std::string> notes;
};

/// Knows the network by the names of its tensors and builds it as PyTorch has it: symmetric padding, the stride of a
/// ResNet50 in its 3x3 convolutions, batch norms with epsilon 1e-5. Kernels change from OIHW to HWIO, the first dense
/// kernel's rows from channels first to channels last. The division by ImageNet's deviations moves into the first
/// kernel. DataError for other networks, for missing or surplus tensors, and for shapes that do not fit. `name` is for
/// messages.
TorchModel read_torch_weights(const SafetensorsFile& file, const std::string& name);

}  // namespace fer
