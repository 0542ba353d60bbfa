#include "engine/graph/net.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/random.hpp"

namespace fer {

Net::Net(Graph& graph, ValueId input, ValueId clock, const NetOptions& options)
    : graph_(graph), here_(input), clock_(clock), options_(options) {
    FER_CHECK(options.width > 0, "width must be positive, got {}", options.width);
    layers_.push_back({.name = "input", .class_name = "InputLayer", .output = input, .variables = {}, .inputs = {}});
    layer_of_[input] = "input";
    frozen_layers_ = std::max(options.freeze, 0);
}

Net& Net::named(std::string name) {
    next_name_ = std::move(name);
    return *this;
}

Net& Net::freeze_first(int count) {
    frozen_layers_ = options_.freeze < 0 ? count : options_.freeze;
    return *this;
}

Net& Net::freeze_next() {
    freeze_next_ = options_.freeze < 0;
    return *this;
}

std::string Net::open(const char* class_name, const char* base) {
    std::string name = std::exchange(next_name_, {});
    frozen_ = std::exchange(freeze_next_, false);
    if (name.empty()) {
        const int number = names_[base]++;
        name = number == 0 ? std::string(base) : fmt::format("{}_{}", base, number);
    }
    layers_.push_back(
        {.name = name, .class_name = class_name, .output = kNoValue, .variables = {}, .inputs = {layer_of_[here_]}});
    return name;
}

void Net::close(ValueId output) {
    here_ = output;
    layers_.back().output = output;
    layer_of_[output] = layers_.back().name;
}

ValueId Net::variable(const char* name, const Shape& shape, Init init, std::int64_t fan_in, std::int64_t fan_out,
                      bool trainable) {
    trainable = trainable && this->trainable();
    const DType real = graph_.value(here_).info.dtype;
    const ValueId id =
        graph_.add(fmt::format("{}/{}", layers_.back().name, name), trainable ? Role::kParameter : Role::kState,
                   {shape, real == DType::kF64 ? DType::kF64 : DType::kF32});
    variables_.push_back({id, init, fan_in, fan_out, trainable});
    layers_.back().variables.push_back(id);
    return id;
}

std::int64_t Net::scaled(int width) const {
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(width) * options_.width));
}

Net& Net::from(ValueId value) {
    FER_CHECK(layer_of_.contains(value), "'{}' is not the output of a layer", graph_.value(value).name);
    here_ = value;
    return *this;
}

Net& Net::conv(int filters, int kernel, const ConvOptions& options) {
    return conv_exact(scaled(filters), kernel, options);
}

Net& Net::conv_exact(std::int64_t out, int kernel, const ConvOptions& options) {
    const std::string name = open("Conv2D", "conv2d");
    const std::int64_t in = shape()[3];
    const std::int64_t places = std::int64_t{kernel} * kernel;
    const ValueId w = variable("kernel", {kernel, kernel, in, out}, Init::kGlorotUniform, in * places, out * places);
    if (options.l2 > 0) {
        l2_[options.l2].push_back(w);
    }
    const ConvAttrs attrs{.stride = options.stride, .padding = options.padding};
    ValueId y = graph_.apply1(OpKind::kConv2d, name, attrs, {here_, w});
    if (options.bias) {
        y = graph_.apply1(OpKind::kBias, name + "/bias_add", NoAttrs{},
                          {y, variable("bias", {out}, Init::kZeros, 1, 1)});
    }
    close(y);
    return *this;
}

Net& Net::separable_conv(int filters, int kernel, const ConvOptions& options) {
    const std::string name = open("SeparableConv2D", "separable_conv2d");
    const std::int64_t in = shape()[3];
    const std::int64_t out = scaled(filters);
    const std::int64_t places = std::int64_t{kernel} * kernel;
    const ValueId depthwise =
        variable("depthwise_kernel", {kernel, kernel, in, 1}, Init::kGlorotUniform, in * places, places);
    const ValueId pointwise = variable("pointwise_kernel", {1, 1, in, out}, Init::kGlorotUniform, in, out);
    const ConvAttrs attrs{.stride = options.stride, .padding = options.padding};
    ValueId y = graph_.apply1(OpKind::kDepthwiseConv, name + "/depthwise", attrs, {here_, depthwise});
    y = graph_.apply1(OpKind::kConv2d, name + "/pointwise", ConvAttrs{.padding = Padding::kValid}, {y, pointwise});
    if (options.bias) {
        y = graph_.apply1(OpKind::kBias, name + "/bias_add", NoAttrs{},
                          {y, variable("bias", {out}, Init::kZeros, 1, 1)});
    }
    close(y);
    return *this;
}

Net& Net::depthwise_conv(int kernel, const ConvOptions& options) {
    const std::string name = open("DepthwiseConv2D", "depthwise_conv2d");
    const std::int64_t in = shape()[3];
    const std::int64_t places = std::int64_t{kernel} * kernel;
    const ValueId w = variable("depthwise_kernel", {kernel, kernel, in, 1}, Init::kGlorotUniform, in * places, places);
    const ConvAttrs attrs{.stride = options.stride, .padding = options.padding};
    ValueId y = graph_.apply1(OpKind::kDepthwiseConv, name, attrs, {here_, w});
    if (options.bias) {
        y = graph_.apply1(OpKind::kBias, name + "/bias_add", NoAttrs{},
                          {y, variable("bias", {in}, Init::kZeros, 1, 1)});
    }
    close(y);
    return *this;
}

Net& Net::dense(int units, const DenseOptions& options) {
    dense_layer(scaled(units), options);
    return *this;
}

Net& Net::logits(int classes, const DenseOptions& options) {
    dense_layer(classes, options);
    return *this;
}

void Net::dense_layer(std::int64_t units, const DenseOptions& options) {
    const std::string name = open("Dense", "dense");
    FER_CHECK(shape().rank() == 2, "dense '{}' needs (n, features), got {}; put flatten() before it", name,
              shape().str());
    const std::int64_t in = shape()[1];
    const ValueId w = variable("kernel", {in, units}, options.init, in, units);
    if (options.l2 > 0) {
        l2_[options.l2].push_back(w);
    }
    ValueId y = graph_.apply1(OpKind::kDense, name, DenseAttrs{}, {here_, w});
    if (options.bias) {
        y = graph_.apply1(OpKind::kBias, name + "/bias_add", NoAttrs{},
                          {y, variable("bias", {units}, Init::kZeros, 1, 1)});
    }
    close(y);
}

Net& Net::activation(OpKind kind, const char* class_name, const char* base) {
    const std::string& last = layers_.back().class_name;
    const bool joins =
        next_name_.empty() && layers_.back().output == here_ && (last.ends_with("Conv2D") || last == "Dense");
    const std::string name = joins ? layers_.back().name + "/relu" : open(class_name, base);
    close(graph_.apply1(kind, name, NoAttrs{}, {here_}));
    return *this;
}

Net& Net::relu() { return activation(OpKind::kRelu, "Activation", "activation"); }
Net& Net::relu6() { return activation(OpKind::kRelu6, "ReLU", "re_lu"); }

Net& Net::batch_norm(const BatchNormAttrs& attrs, const NormOptions& options) {
    const std::string name = open("BatchNormalization", "batch_normalization");
    const Shape c{shape().back()};
    const ValueId gamma = variable("gamma", c, Init::kOnes, 1, 1, options.scale);
    const ValueId beta = variable("beta", c, Init::kZeros, 1, 1, options.center);
    const ValueId mean = variable("moving_mean", c, Init::kZeros, 1, 1, false);
    const ValueId variance = variable("moving_variance", c, Init::kOnes, 1, 1, false);
    close(options_.mode == Mode::kTrain && trainable()
              ? graph_.apply1(OpKind::kBatchNorm, name, attrs, {here_, gamma, beta}, {mean, variance})
              : graph_.apply1(OpKind::kBatchNormInference, name, attrs, {here_, gamma, beta, mean, variance}));
    return *this;
}

Net& Net::max_pool(int window, int stride, Padding padding) {
    const std::string name = open("MaxPooling2D", "max_pooling2d");
    close(graph_.apply1(OpKind::kMaxPool, name, PoolAttrs{window, stride, padding, {}}, {here_}));
    return *this;
}

Net& Net::avg_pool(int window, int stride, Padding padding) {
    const std::string name = open("AveragePooling2D", "average_pooling2d");
    close(graph_.apply1(OpKind::kAvgPool, name, PoolAttrs{window, stride, padding, {}}, {here_}));
    return *this;
}

ValueId Net::reshaped(ValueId value, const std::string& name, const Shape& image) {
    const Shape& now = graph_.value(value).info.shape;
    if (now.rank() > 2) {
        value = graph_.apply1(OpKind::kFlatten, image.rank() == 1 ? name : name + "/flatten", NoAttrs{}, {value});
    }
    if (image.rank() == 1) {
        return value;
    }
    Shape shape{now[0]};
    for (int axis = 0; axis < image.rank(); ++axis) {
        shape.push_back(image[axis]);
    }
    return graph_.apply1(OpKind::kUnflatten, name, ShapeAttrs{shape}, {value});
}

Net& Net::global_avg_pool(bool keep_axes) {
    const std::string name = open("GlobalAveragePooling2D", "global_average_pooling2d");
    const std::int64_t c = shape().back();
    const ValueId y = graph_.apply1(OpKind::kGlobalAvgPool, keep_axes ? name + "/mean" : name, NoAttrs{}, {here_});
    close(keep_axes ? reshaped(y, name, {1, 1, c}) : y);
    return *this;
}

Net& Net::global_max_pool(bool keep_axes) {
    const std::string name = open("GlobalMaxPooling2D", "global_max_pooling2d");
    FER_CHECK(shape().rank() == 4 && shape()[1] == shape()[2], "'{}' takes square images, got {}", name, shape().str());
    const PoolAttrs attrs{static_cast<int>(shape()[1]), 1, Padding::kValid, {}};
    const ValueId y = graph_.apply1(OpKind::kMaxPool, keep_axes ? name : name + "/max", attrs, {here_});
    close(keep_axes ? y : reshaped(y, name, {shape()[3]}));
    return *this;
}

Net& Net::zero_pad(const PadAttrs& attrs) {
    const std::string name = open("ZeroPadding2D", "zero_padding2d");
    close(graph_.apply1(OpKind::kZeroPad, name, attrs, {here_}));
    return *this;
}

Net& Net::dropout(float rate) {
    const std::string name = open("Dropout", "dropout");
    const bool drops = options_.mode == Mode::kTrain && options_.dropout && rate > 0;
    close(drops ? graph_.apply1(OpKind::kDropout, name, DropoutAttrs{rate, stream_of(name)}, {here_, clock_}) : here_);
    return *this;
}

Net& Net::flatten() {
    const std::string name = open("Flatten", "flatten");
    close(graph_.apply1(OpKind::kFlatten, name, NoAttrs{}, {here_}));
    return *this;
}

Net& Net::reshape(const Shape& image) {
    const std::string name = open("Reshape", "reshape");
    const std::int64_t count = shape().count() / shape()[0];
    FER_CHECK(image.count() == count, "'{}' makes {} of {} elements", name, image.str(), count);
    const ValueId y = reshaped(here_, name, image);
    close(y);
    return *this;
}

Net& Net::rescale(const RescaleAttrs& attrs) {
    const std::string name = open("Rescaling", "rescaling");
    close(graph_.apply1(OpKind::kRescale, name, attrs, {here_}));
    return *this;
}

Net& Net::add(std::span<const ValueId> others) {
    const std::string name = open("Add", "add");
    std::vector<ValueId> inputs{here_};
    for (const ValueId other : others) {
        layers_.back().inputs.push_back(layer_of_[other]);
        inputs.push_back(other);
    }
    close(graph_.apply1(OpKind::kAdd, name, NoAttrs{}, inputs));
    return *this;
}

}  // namespace fer
