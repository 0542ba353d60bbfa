#include "engine/graph/architecture.hpp"

#include <map>
#include <memory>

namespace fer {
namespace {

void activate(Net& net, Activation activation) {
    if (activation == Activation::kRelu) {
        net.relu();
    } else if (activation == Activation::kRelu6) {
        net.relu6();
    }
}

ConvOptions conv_options(const LayerSpec& layer) {
    return {.stride = layer.stride, .padding = layer.padding, .bias = layer.bias, .l2 = layer.l2};
}

/// `others`: the inputs behind the first.
void append(Net& net, const LayerSpec& layer, const std::vector<ValueId>& others) {
    net.named(layer.name);
    switch (layer.kind) {
        case LayerKind::kConv2d:
            net.conv_exact(layer.units, layer.window, conv_options(layer));
            return activate(net, layer.activation);
        case LayerKind::kSeparableConv2d:
            net.separable_conv(layer.units, layer.window, conv_options(layer));
            return activate(net, layer.activation);
        case LayerKind::kDepthwiseConv2d:
            net.depthwise_conv(layer.window, conv_options(layer));
            return activate(net, layer.activation);
        case LayerKind::kDense:
            net.logits(layer.units, {.bias = layer.bias, .l2 = layer.l2});
            return activate(net, layer.activation);
        case LayerKind::kBatchNorm:
            net.batch_norm(layer.norm, layer.learned);
            return;
        case LayerKind::kActivation:
            return activate(net, layer.activation);
        case LayerKind::kMaxPool:
            net.max_pool(layer.window, layer.stride, layer.padding);
            return;
        case LayerKind::kAvgPool:
            net.avg_pool(layer.window, layer.stride, layer.padding);
            return;
        case LayerKind::kGlobalAvgPool:
            net.global_avg_pool(layer.keep_axes);
            return;
        case LayerKind::kGlobalMaxPool:
            net.global_max_pool(layer.keep_axes);
            return;
        case LayerKind::kZeroPad:
            net.zero_pad(layer.pad);
            return;
        case LayerKind::kAdd:
            net.add(others);
            return;
        case LayerKind::kFlatten:
            net.flatten();
            return;
        case LayerKind::kReshape:
            net.reshape(layer.target);
            return;
        case LayerKind::kRescaling:
            net.rescale(layer.rescale);
            return;
        case LayerKind::kDropout:
        case LayerKind::kIdentity:
            net.dropout(layer.rate);
            return;
    }
}

}  // namespace

void write_layer(Net& net, const LayerSpec& layer, std::map<std::string, ValueId>& outputs) {
    std::vector<ValueId> inputs;
    for (const std::string& name : layer.inputs) {
        const auto found = outputs.find(name);
        FER_CHECK(found != outputs.end(), "layer '{}' reads '{}', which comes later or nowhere", layer.name, name);
        inputs.push_back(found->second);
    }
    FER_CHECK(!inputs.empty(), "layer '{}' reads nothing", layer.name);
    net.from(inputs.front());
    if (!layer.trainable) {
        net.freeze_next();
    }
    append(net, layer, {inputs.begin() + 1, inputs.end()});
    outputs[layer.name] = net.here();
}

ModelBuilder builder_of(const Architecture& architecture) {
    return [shared = std::make_shared<const Architecture>(architecture)](Net& net) {
        std::map<std::string, ValueId> outputs{{shared->input, net.here()}};
        for (const LayerSpec& layer : shared->layers) {
            write_layer(net, layer, outputs);
        }
    };
}

std::vector<std::string> variables_of(const LayerSpec& layer) {
    std::vector<std::string> names;
    const auto with_bias = [&](std::vector<std::string> kernels) {
        names = std::move(kernels);
        if (layer.bias) {
            names.emplace_back("bias");
        }
    };
    switch (layer.kind) {
        case LayerKind::kConv2d:
        case LayerKind::kDense:
            with_bias({"kernel"});
            break;
        case LayerKind::kSeparableConv2d:
            with_bias({"depthwise_kernel", "pointwise_kernel"});
            break;
        case LayerKind::kDepthwiseConv2d:
            with_bias({"depthwise_kernel"});
            break;
        case LayerKind::kBatchNorm:
            if (layer.learned.scale) {
                names.emplace_back("gamma");
            }
            if (layer.learned.center) {
                names.emplace_back("beta");
            }
            names.insert(names.end(), {"moving_mean", "moving_variance"});
            break;
        default:
            break;
    }
    return names;
}

}  // namespace fer
