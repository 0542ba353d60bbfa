// From a graph back to its layers.
#include <map>
#include <set>

#include "engine/graph/architecture.hpp"
#include "engine/graph/step.hpp"

namespace fer {
namespace {

/// Which kind a layer of a Net is, by Keras's name of its class.
LayerKind kind_of(const Layer& layer) {
    static const std::map<std::string, LayerKind> kKinds{{"Conv2D", LayerKind::kConv2d},
                                                         {"SeparableConv2D", LayerKind::kSeparableConv2d},
                                                         {"DepthwiseConv2D", LayerKind::kDepthwiseConv2d},
                                                         {"Dense", LayerKind::kDense},
                                                         {"BatchNormalization", LayerKind::kBatchNorm},
                                                         {"Activation", LayerKind::kActivation},
                                                         {"ReLU", LayerKind::kActivation},
                                                         {"MaxPooling2D", LayerKind::kMaxPool},
                                                         {"AveragePooling2D", LayerKind::kAvgPool},
                                                         {"GlobalAveragePooling2D", LayerKind::kGlobalAvgPool},
                                                         {"GlobalMaxPooling2D", LayerKind::kGlobalMaxPool},
                                                         {"ZeroPadding2D", LayerKind::kZeroPad},
                                                         {"Add", LayerKind::kAdd},
                                                         {"Dropout", LayerKind::kDropout},
                                                         {"Flatten", LayerKind::kFlatten},
                                                         {"Reshape", LayerKind::kReshape},
                                                         {"Rescaling", LayerKind::kRescaling}};
    const auto found = kKinds.find(layer.class_name);
    FER_CHECK(found != kKinds.end(), "layer '{}' is of the class {}, which has no description", layer.name,
              layer.class_name);
    return found->second;
}

Shape without_batch(const Shape& shape) {
    Shape rest;
    for (int axis = 1; axis < shape.rank(); ++axis) {
        rest.push_back(shape[axis]);
    }
    return rest;
}

class Reader {
public:
    explicit Reader(const Step& step) : graph_(step.graph) {
        for (const Node& node : graph_.nodes()) {
            if (node.kind == OpKind::kL2Penalty) {
                for (const ValueId kernel : node.inputs) {
                    l2_[kernel] = std::get<ScalarAttrs>(node.attrs).value;
                }
            }
        }
    }

    LayerSpec read(const Layer& layer) const {
        LayerSpec spec;
        spec.kind = kind_of(layer);
        spec.name = layer.name;
        spec.inputs = layer.inputs;
        for (const Node& node : graph_.nodes()) {
            if (node.name == layer.name || node.name.starts_with(layer.name + "/")) {
                take(spec, node);
            }
        }
        read_variables(spec, layer);
        if (spec.kind == LayerKind::kReshape) {
            spec.target = without_batch(graph_.value(layer.output).info.shape);
        }
        if (spec.kind == LayerKind::kGlobalAvgPool || spec.kind == LayerKind::kGlobalMaxPool) {
            spec.keep_axes = graph_.value(layer.output).info.shape.rank() == 4;
        }
        return spec;
    }

private:
    static void take(LayerSpec& spec, const Node& node) {
        const bool pointwise = node.name.ends_with("/pointwise");
        if (const auto* conv = std::get_if<ConvAttrs>(&node.attrs); conv != nullptr && !pointwise) {
            spec.stride = conv->stride;
            spec.padding = conv->padding;
        } else if (const auto* pool = std::get_if<PoolAttrs>(&node.attrs)) {
            spec.window = pool->window;
            spec.stride = pool->stride;
            spec.padding = pool->padding;
        } else if (const auto* norm = std::get_if<BatchNormAttrs>(&node.attrs)) {
            spec.norm = {.momentum = norm->momentum, .epsilon = norm->epsilon};
        } else if (const auto* pad = std::get_if<PadAttrs>(&node.attrs)) {
            spec.pad = *pad;
        } else if (const auto* drop = std::get_if<DropoutAttrs>(&node.attrs)) {
            spec.rate = drop->rate;
        } else if (const auto* scale = std::get_if<RescaleAttrs>(&node.attrs)) {
            spec.rescale = *scale;
        } else if (node.kind == OpKind::kRelu) {
            spec.activation = Activation::kRelu;
        } else if (node.kind == OpKind::kRelu6) {
            spec.activation = Activation::kRelu6;
        }
    }

    void read_variables(LayerSpec& spec, const Layer& layer) const {
        spec.bias = false;
        bool trained = layer.variables.empty();
        for (const ValueId id : layer.variables) {
            const Value& value = graph_.value(id);
            const std::string_view kind = std::string_view(value.name).substr(layer.name.size() + 1);
            const Shape& shape = value.info.shape;
            trained = trained || value.role == Role::kParameter;
            if (kind == "bias") {
                spec.bias = true;
            } else if (kind == "depthwise_kernel") {
                spec.window = static_cast<int>(shape[0]);
            } else if (kind == "kernel" || kind == "pointwise_kernel") {
                spec.units = static_cast<int>(shape.back());
                spec.window = shape.rank() == 4 && kind == "kernel" ? static_cast<int>(shape[0]) : spec.window;
                const auto factor = l2_.find(id);
                spec.l2 = factor == l2_.end() ? 0 : factor->second;
            }
        }
        spec.trainable = trained;
    }

    const Graph& graph_;
    std::map<ValueId, float> l2_;
};

}  // namespace

int classes_of(const Architecture& architecture) {
    const ModelBuilder build = builder_of(architecture);
    Graph graph;
    const Shape image{1, architecture.height, architecture.width, architecture.channels};
    const ValueId input = graph.add("input", Role::kInput, {image, DType::kF32});
    const ValueId clock = graph.add("clock", Role::kState, {{kClockFields}, DType::kI64});
    Net net(graph, input, clock, {.mode = Mode::kInfer});
    build(net);
    FER_CHECK(net.shape().rank() == 2, "the network ends in {}, not in a vector of classes", net.shape().str());
    return static_cast<int>(net.shape()[1]);
}

Step evaluation_step_of(const Architecture& architecture) {
    StepOptions options;
    options.batch = 1;
    options.input.images = 1;
    options.input.height = architecture.height;
    options.input.width = architecture.width;
    options.input.channels = architecture.channels;
    options.fuse = "off";
    options.classes = classes_of(architecture);
    return evaluation_step(builder_of(architecture), options);
}

Architecture architecture_of(const Step& step, const std::string& name) {
    const Shape& input = step.graph.value(step.input).info.shape;
    Architecture result{.name = name,
                        .height = static_cast<int>(input[1]),
                        .width = static_cast<int>(input[2]),
                        .channels = static_cast<int>(input[3]),
                        .layers = {}};
    const Reader reader(step);
    for (const Layer& layer : step.layers) {
        if (layer.class_name == "InputLayer") {
            result.input = layer.name;
        } else {
            result.layers.push_back(reader.read(layer));
        }
    }
    return result;
}

}  // namespace fer
