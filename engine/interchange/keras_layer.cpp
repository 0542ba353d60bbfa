#include "engine/interchange/keras_layer.hpp"

#include <algorithm>
#include <map>

namespace fer {
namespace {

constexpr int kMaxUnits = 1 << 20;
constexpr int kMaxWindow = 1024;

using Notes = std::vector<std::string>;

/// Sets the activation, or says that it is a softmax.
bool take_activation(LayerSpec& spec, const LayerConfig& config) {
    const std::string name = config.activation();
    spec.activation = name == "relu" ? Activation::kRelu : name == "relu6" ? Activation::kRelu6 : Activation::kNone;
    return name == "softmax";
}

ReadLayer convolution(LayerKind kind, const LayerConfig& config, Notes& notes) {
    config.expect_plain_convolution();
    ReadLayer layer;
    LayerSpec& spec = layer.spec;
    spec.kind = kind;
    spec.window = config.square("kernel_size", kMaxWindow);
    spec.stride = config.has("strides") ? config.square("strides", kMaxWindow) : 1;
    spec.padding = config.padding();
    spec.bias = config.flag("use_bias", true);
    if (kind != LayerKind::kDepthwiseConv2d) {
        spec.units = config.whole("filters", 1, kMaxUnits);
    }
    if (kind == LayerKind::kConv2d) {
        spec.l2 = config.l2("kernel_regularizer", notes);
    } else if (config.l2("depthwise_regularizer", notes) != 0 || config.l2("pointwise_regularizer", notes) != 0) {
        notes.emplace_back("regularizers of depthwise and separable convolutions are left out of training");
    }
    layer.softmax = take_activation(spec, config);
    return layer;
}

ReadLayer dense(const LayerConfig& config, const Shape& shape, Notes& notes) {
    if (shape.rank() != 2) {
        config.refuse(fmt::format("a dense layer on {}; only vectors are supported", shape.str()));
    }
    ReadLayer layer;
    layer.spec.kind = LayerKind::kDense;
    layer.spec.units = config.whole("units", 1, kMaxUnits);
    layer.spec.bias = config.flag("use_bias", true);
    layer.spec.l2 = config.l2("kernel_regularizer", notes);
    layer.softmax = take_activation(layer.spec, config);
    return layer;
}

ReadLayer batch_norm(const LayerConfig& config, const Shape& shape) {
    if (config.has("axis")) {
        const Json& axis =
            config.at("axis").is_array() && config.at("axis").size() == 1 ? config.at("axis")[0] : config.at("axis");
        if (axis != -1 && axis != shape.rank() - 1) {
            config.refuse(
                fmt::format("it normalizes axis {} of {}; only the last is supported", axis.dump(), shape.str()));
        }
    }
    ReadLayer layer;
    layer.spec.kind = LayerKind::kBatchNorm;
    layer.spec.norm.momentum = config.number("momentum", 0.99);
    layer.spec.norm.epsilon = config.number("epsilon", 1e-3);
    layer.spec.learned = {.scale = config.flag("scale", true), .center = config.flag("center", true)};
    if (!(layer.spec.norm.epsilon >= 0)) {
        config.refuse(fmt::format("epsilon is {}", layer.spec.norm.epsilon));
    }
    return layer;
}

ReadLayer relu(const LayerConfig& config) {
    ReadLayer layer;
    layer.spec.kind = LayerKind::kActivation;
    const double most = config.number("max_value", 0);
    if (config.number("negative_slope", 0) != 0 || config.number("threshold", 0) != 0 ||
        (config.has("max_value") && most != 6)) {
        config.refuse("a ReLU with a slope, a threshold, or another maximum than 6");
    }
    layer.spec.activation = config.has("max_value") ? Activation::kRelu6 : Activation::kRelu;
    return layer;
}

ReadLayer activation(const LayerConfig& config) {
    ReadLayer layer;
    layer.softmax = take_activation(layer.spec, config);
    layer.spec.kind = layer.spec.activation == Activation::kNone ? LayerKind::kIdentity : LayerKind::kActivation;
    return layer;
}

ReadLayer softmax(const LayerConfig& config, const Shape& shape) {
    if (config.has("axis") && config.at("axis") != -1 && config.at("axis") != shape.rank() - 1) {
        config.refuse("a softmax over another axis than the last");
    }
    ReadLayer layer;
    layer.softmax = true;
    return layer;
}

ReadLayer pool(LayerKind kind, const LayerConfig& config) {
    config.expect_channels_last();
    ReadLayer layer;
    layer.spec.kind = kind;
    layer.spec.window = config.square("pool_size", kMaxWindow);
    layer.spec.stride = config.has("strides") ? config.square("strides", kMaxWindow) : layer.spec.window;
    layer.spec.padding = config.padding();
    return layer;
}

ReadLayer global_pool(LayerKind kind, const LayerConfig& config) {
    config.expect_channels_last();
    ReadLayer layer;
    layer.spec.kind = kind;
    layer.spec.keep_axes = config.flag("keepdims", false);
    return layer;
}

/// 1, [1, 2] or [[1, 1], [2, 2]].
ReadLayer zero_pad(const LayerConfig& config) {
    config.expect_channels_last();
    ReadLayer layer;
    layer.spec.kind = LayerKind::kZeroPad;
    const Json& padding = config.at("padding");
    const auto side = [&](std::size_t axis, std::size_t end) {
        const Json* value = &padding;
        if (padding.is_array() && padding.size() == 2) {
            value = &padding[axis];
            if (value->is_array() && value->size() == 2) {
                value = &(*value)[end];
            }
        }
        return config.whole(*value, "padding", 0, kMaxWindow);
    };
    layer.spec.pad = {.top = side(0, 0), .bottom = side(0, 1), .left = side(1, 0), .right = side(1, 1)};
    return layer;
}

ReadLayer dropout(const LayerConfig& config) {
    ReadLayer layer;
    layer.spec.kind = LayerKind::kDropout;
    layer.spec.rate = static_cast<float>(config.number("rate", 0));
    if (config.has("noise_shape") || !(layer.spec.rate >= 0 && layer.spec.rate < 1)) {
        config.refuse("a dropout with a noise shape, or a rate outside [0, 1)");
    }
    return layer;
}

ReadLayer reshape(const LayerConfig& config, const Shape& shape) {
    ReadLayer layer;
    layer.spec.kind = LayerKind::kReshape;
    const Json& target = config.at("target_shape");
    if (!target.is_array() || (target.size() != 1 && target.size() != 3)) {
        config.refuse(fmt::format("to {}; vectors and images are supported", target.dump().substr(0, 80)));
    }
    std::int64_t known = 1;
    for (const Json& extent : target) {
        known *= extent == -1 ? 1 : config.whole(extent, "target_shape", 1, 1 << 20);
    }
    for (const Json& extent : target) {
        layer.spec.target.push_back(extent == -1 ? shape.count() / known : extent.get<std::int64_t>());
    }
    return layer;
}

ReadLayer rescaling(const LayerConfig& config) {
    ReadLayer layer;
    layer.spec.kind = LayerKind::kRescaling;
    if (!config.at("scale").is_number()) {
        config.refuse("a scale per channel");
    }
    layer.spec.rescale.scale = static_cast<float>(config.number("scale", 1));
    const Json offset = config.has("offset") ? config.at("offset") : Json(0);
    const std::size_t count = offset.is_array() ? offset.size() : 1;
    for (std::size_t c = 0; c < 3; ++c) {
        const Json& value = offset.is_array() && count > 0 ? offset[std::min(c, count - 1)] : offset;
        if (!value.is_number() || (count != 1 && count != 3)) {
            config.refuse("its offset is neither one number nor three");
        }
        layer.spec.rescale.offset[c] = value.get<float>();
    }
    return layer;
}

using Reader = ReadLayer (*)(const LayerConfig&, const Shape&, Notes&);

const std::map<std::string, Reader>& readers() {
    using K = LayerKind;
    using C = const LayerConfig&;
    using S = const Shape&;
    // clang-format off
    static const std::map<std::string, Reader> kReaders{
        {"Activation",             [](C c, S, Notes&) { return activation(c); }},
        {"Add",                    [](C, S, Notes&) { ReadLayer r; r.spec.kind = K::kAdd; return r; }},
        {"AveragePooling2D",       [](C c, S, Notes&) { return pool(K::kAvgPool, c); }},
        {"BatchNormalization",     [](C c, S s, Notes&) { return batch_norm(c, s); }},
        {"BatchNormalizationV1",   [](C c, S s, Notes&) { return batch_norm(c, s); }},
        {"Conv2D",                 [](C c, S, Notes& n) { return convolution(K::kConv2d, c, n); }},
        {"Convolution2D",          [](C c, S, Notes& n) { return convolution(K::kConv2d, c, n); }},
        {"Dense",                  [](C c, S s, Notes& n) { return dense(c, s, n); }},
        {"DepthwiseConv2D",        [](C c, S, Notes& n) { return convolution(K::kDepthwiseConv2d, c, n); }},
        {"Dropout",                [](C c, S, Notes&) { return dropout(c); }},
        {"Flatten",                [](C c, S, Notes&) { c.expect_channels_last(); ReadLayer r; r.spec.kind = K::kFlatten; return r; }},
        {"GlobalAveragePooling2D", [](C c, S, Notes&) { return global_pool(K::kGlobalAvgPool, c); }},
        {"GlobalMaxPooling2D",     [](C c, S, Notes&) { return global_pool(K::kGlobalMaxPool, c); }},
        {"MaxPooling2D",           [](C c, S, Notes&) { return pool(K::kMaxPool, c); }},
        {"ReLU",                   [](C c, S, Notes&) { return relu(c); }},
        {"Rescaling",              [](C c, S, Notes&) { return rescaling(c); }},
        {"Reshape",                [](C c, S s, Notes&) { return reshape(c, s); }},
        {"SeparableConv2D",        [](C c, S, Notes& n) { return convolution(K::kSeparableConv2d, c, n); }},
        {"SeparableConvolution2D", [](C c, S, Notes& n) { return convolution(K::kSeparableConv2d, c, n); }},
        {"Softmax",                [](C c, S s, Notes&) { return softmax(c, s); }},
        {"ZeroPadding2D",          [](C c, S, Notes&) { return zero_pad(c); }},
    };
    // clang-format on
    return kReaders;
}

const char* activation_name(Activation activation) {
    return activation == Activation::kRelu ? "relu" : activation == Activation::kRelu6 ? "relu6" : "linear";
}

Json regularizer(float l2) { return l2 == 0 ? Json() : Json{{"class_name", "L2"}, {"config", {{"l2", l2}}}}; }

Json convolution_json(const LayerSpec& layer) {
    Json config{{"kernel_size", {layer.window, layer.window}},
                {"strides", {layer.stride, layer.stride}},
                {"padding", layer.padding == Padding::kSame ? "same" : "valid"},
                {"data_format", "channels_last"},
                {"dilation_rate", {1, 1}},
                {"use_bias", layer.bias},
                {"activation", activation_name(layer.activation)}};
    if (layer.kind != LayerKind::kConv2d) {
        config["depth_multiplier"] = 1;
    } else {
        config["kernel_regularizer"] = regularizer(layer.l2);
    }
    if (layer.kind != LayerKind::kDepthwiseConv2d) {
        config["filters"] = layer.units;
    }
    return config;
}

Json pool_json(const LayerSpec& layer) {
    return {{"pool_size", {layer.window, layer.window}},
            {"strides", {layer.stride, layer.stride}},
            {"padding", layer.padding == Padding::kSame ? "same" : "valid"},
            {"data_format", "channels_last"}};
}

/// One offset for all channels stays one number: three would make three channels of one.
Json rescaling_json(const LayerSpec& layer) {
    const auto& offset = layer.rescale.offset;
    const bool one = offset[0] == offset[1] && offset[1] == offset[2];
    return {{"scale", layer.rescale.scale}, {"offset", one ? Json(offset[0]) : Json(offset)}};
}

Json reshape_json(const LayerSpec& layer) {
    Json target = Json::array();
    for (int axis = 0; axis < layer.target.rank(); ++axis) {
        target.push_back(layer.target[axis]);
    }
    return {{"target_shape", target}};
}

std::pair<const char*, Json> class_and_config(const LayerSpec& layer) {
    const Json global{{"data_format", "channels_last"}, {"keepdims", layer.keep_axes}};
    switch (layer.kind) {
        case LayerKind::kConv2d:
            return {"Conv2D", convolution_json(layer)};
        case LayerKind::kSeparableConv2d:
            return {"SeparableConv2D", convolution_json(layer)};
        case LayerKind::kDepthwiseConv2d:
            return {"DepthwiseConv2D", convolution_json(layer)};
        case LayerKind::kDense:
            return {"Dense",
                    {{"units", layer.units},
                     {"use_bias", layer.bias},
                     {"activation", activation_name(layer.activation)},
                     {"kernel_regularizer", regularizer(layer.l2)}}};
        case LayerKind::kBatchNorm:
            return {"BatchNormalization",
                    {{"axis", -1},
                     {"momentum", layer.norm.momentum},
                     {"epsilon", layer.norm.epsilon},
                     {"center", layer.learned.center},
                     {"scale", layer.learned.scale}}};
        case LayerKind::kActivation:
            if (layer.activation == Activation::kRelu6) {
                return {"ReLU", {{"max_value", 6.0}, {"negative_slope", 0.0}, {"threshold", 0.0}}};
            }
            return {"Activation", {{"activation", "relu"}}};
        case LayerKind::kMaxPool:
            return {"MaxPooling2D", pool_json(layer)};
        case LayerKind::kAvgPool:
            return {"AveragePooling2D", pool_json(layer)};
        case LayerKind::kGlobalAvgPool:
            return {"GlobalAveragePooling2D", global};
        case LayerKind::kGlobalMaxPool:
            return {"GlobalMaxPooling2D", global};
        case LayerKind::kZeroPad:
            return {"ZeroPadding2D",
                    {{"padding", {{layer.pad.top, layer.pad.bottom}, {layer.pad.left, layer.pad.right}}},
                     {"data_format", "channels_last"}}};
        case LayerKind::kAdd:
            return {"Add", Json::object()};
        case LayerKind::kDropout:
            return {"Dropout", {{"rate", layer.rate}}};
        case LayerKind::kFlatten:
            return {"Flatten", {{"data_format", "channels_last"}}};
        case LayerKind::kReshape:
            return {"Reshape", reshape_json(layer)};
        case LayerKind::kRescaling:
            return {"Rescaling", rescaling_json(layer)};
        case LayerKind::kIdentity:
            return {"Activation", {{"activation", "linear"}}};
    }
    return {"", Json::object()};
}

}  // namespace

ReadLayer read_keras_layer(const std::string& class_name, const LayerConfig& config, const Shape& shape,
                           std::vector<std::string>& notes) {
    const auto found = readers().find(class_name);
    if (found == readers().end()) {
        const bool code = class_name.find("Lambda") != std::string::npos;
        config.refuse(code ? fmt::format("it is a {}, that is Python code; nothing in a file is executed", class_name)
                           : fmt::format("the class {} is not supported", class_name));
    }
    const bool on_images = shape.rank() == 4 || class_name == "Dense" || class_name == "Flatten" ||
                           class_name == "Reshape" || class_name == "Dropout" || class_name == "Add" ||
                           class_name == "BatchNormalization" || class_name == "Activation" || class_name == "ReLU" ||
                           class_name == "Softmax";
    if (!on_images) {
        config.refuse(fmt::format("a {} takes images, not {}", class_name, shape.str()));
    }
    ReadLayer layer = found->second(config, shape, notes);
    layer.spec.trainable = config.flag("trainable", true);
    return layer;
}

Json keras_layer_json(const LayerSpec& layer, const std::string& name) {
    auto [class_name, config] = class_and_config(layer);
    config["name"] = name;
    config["trainable"] = layer.trainable;
    config["dtype"] = "float32";
    return {{"class_name", class_name}, {"config", config}, {"name", name}};
}

}  // namespace fer
