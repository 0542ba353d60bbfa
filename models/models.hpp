// The networks by name.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/graph/net.hpp"

namespace fer::models {

struct Model {
    std::string_view name;
    std::string_view what;  // one line for lists
    int height, width, channels;
    void (*build)(Net&);
    // Parameter counts as Keras prints them; a test holds the builders against them.
    std::int64_t total, trainable;
};

std::span<const Model> all();

/// UsageError with the nearest name if there is no such model.
const Model& find(std::string_view name);

void custom_cnn(Net& net);
void simpler_cnn(Net& net);
void deeper_cnn(Net& net);
void residual_cnn(Net& net);
void separable_cnn(Net& net);
void gap_cnn(Net& net);
void new_model(Net& net);
void fer_fast(Net& net);
void fer_best(Net& net);

void vgg16_tl(Net& net);
void resnet50v2_tl(Net& net);
void mobilenetv2_tl(Net& net);
void resnet50_tl(Net& net);
void vgg16_fc_tl(Net& net);

/// The convolution stack of custom_cnn, up to and with its third pool and dropout; gap_cnn and deeper_cnn begin so too.
void custom_stack(Net& net);

inline constexpr float kL2 = 0.01f;
inline constexpr int kClasses = 7;

}  // namespace fer::models
