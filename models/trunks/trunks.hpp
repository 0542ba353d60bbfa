// The pretrained networks of keras.applications without their classifier, layer by layer under Keras's names, so that
// "all but the last 50 layers" counts what Keras counts: pads, adds, activations and the input included.
#pragma once

#include "engine/graph/net.hpp"

namespace fer::models {

/// Layers in Keras's list of each trunk, the input included.
inline constexpr int kVgg16Layers = 19;
inline constexpr int kResnet50Layers = 175;
inline constexpr int kResnet50V2Layers = 190;
inline constexpr int kMobilenetV2Layers = 154;

void vgg16(Net& net);
/// Version 1: convolution, batch norm, ReLU; the stride in the first 1x1 convolution of a stack.
void resnet50(Net& net);
/// Version 2: batch norm and ReLU before the convolutions; the stride in the last block of a stack. Its stem has no
/// ReLU, so the zeros around the pooling count: the pad stays a layer of its own.
void resnet50v2(Net& net);
/// Width factor alpha = 1.
void mobilenet_v2(Net& net);

}  // namespace fer::models
