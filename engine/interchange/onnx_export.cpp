#include "engine/interchange/onnx_export.hpp"

#include <set>

#include "engine/interchange/transposed.hpp"

namespace fer {
namespace {

using Ints = std::vector<std::int64_t>;

OnnxAttribute ints(std::string name, Ints list) {
    OnnxAttribute attribute;
    attribute.name = std::move(name);
    attribute.type = OnnxAttribute::Type::kInts;
    attribute.list = std::move(list);
    return attribute;
}
OnnxAttribute whole(std::string name, std::int64_t value) {
    OnnxAttribute attribute;
    attribute.name = std::move(name);
    attribute.whole = value;
    return attribute;
}
OnnxAttribute real(std::string name, double value) {
    OnnxAttribute attribute;
    attribute.name = std::move(name);
    attribute.type = OnnxAttribute::Type::kFloat;
    attribute.real = static_cast<float>(value);
    return attribute;
}

/// Walks the nodes of an inference graph.
class Exporter {
public:
    Exporter(const Graph& graph, const VariableValues& values, ValueId input) : graph_(graph), values_(values) {
        const Shape& x = graph.value(input).info.shape;
        model_.input = {"images", {-1, x[1], x[2], x[3]}};
        node("Transpose", "channels_first", {"images"}, {ints("perm", {0, 3, 1, 2})});
        names_[input] = "channels_first";
    }

    OnnxModel run(ValueId output, const std::string& output_name) {
        const auto& nodes = graph_.nodes();
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            const bool biased = i + 1 < nodes.size() && nodes[i + 1].kind == OpKind::kBias &&
                                nodes[i + 1].inputs[0] == nodes[i].outputs[0];
            const bool takes_bias = nodes[i].kind == OpKind::kConv2d || nodes[i].kind == OpKind::kDepthwiseConv ||
                                    nodes[i].kind == OpKind::kDense;
            write(nodes[i], biased && takes_bias ? &nodes[i + 1] : nullptr);
            i += biased && takes_bias ? 1 : 0;
        }
        node("Identity", output_name, {names_.at(output)}, {});
        model_.output = {output_name, {-1, graph_.value(output).info.shape[1]}};
        return std::move(model_);
    }

private:
    void node(const std::string& op, const std::string& name, std::vector<std::string> inputs,
              std::vector<OnnxAttribute> attributes) {
        model_.nodes.push_back({op, name, std::move(inputs), {name}, std::move(attributes)});
    }

    const std::string& name_of(ValueId id) const { return names_.at(id); }
    const Shape& shape_of(ValueId id) const { return graph_.value(id).info.shape; }
    const float* values_of(ValueId id) const { return static_cast<const float*>(values_.at(graph_.value(id).name)); }

    std::string constant(const std::string& name, Ints dims, std::vector<float> floats) {
        model_.initializers.push_back({name, std::move(dims), std::move(floats), {}});
        return name;
    }
    std::string constant_ints(const std::string& name, Ints list) {
        model_.initializers.push_back({name, {static_cast<std::int64_t>(list.size())}, {}, std::move(list)});
        return name;
    }
    /// A vector as it is.
    std::string vector_of(ValueId id) {
        const float* values = values_of(id);
        const std::int64_t count = shape_of(id).count();
        return constant(graph_.value(id).name, {count}, {values, values + count});
    }

    Ints pads(const Shape& x, std::int64_t kh, std::int64_t kw, int stride, Padding padding) const {
        const Window rows = window_of(x[1], kh, stride, padding);
        const Window columns = window_of(x[2], kw, stride, padding);
        return {rows.before, columns.before, rows.after, columns.after};
    }

    std::span<const float> kernel_of(const Node& n) const {
        return {values_of(n.inputs[1]), static_cast<std::size_t>(shape_of(n.inputs[1]).count())};
    }

    void convolution(const Node& n, const Node* bias) {
        const bool depthwise = n.kind == OpKind::kDepthwiseConv;
        const auto& attrs = std::get<ConvAttrs>(n.attrs);
        const Shape& w = shape_of(n.inputs[1]);
        const std::string kernel = constant(
            graph_.value(n.inputs[1]).name, depthwise ? Ints{w[2], 1, w[0], w[1]} : Ints{w[3], w[2], w[0], w[1]},
            transposed(kernel_of(n), w, depthwise ? std::vector{2, 3, 0, 1} : std::vector{3, 2, 0, 1}));
        std::vector<std::string> inputs{name_of(n.inputs[0]), kernel};
        if (bias != nullptr) {
            inputs.push_back(vector_of(bias->inputs[1]));
        }
        node("Conv", unique(n.name), inputs,
             {ints("kernel_shape", {w[0], w[1]}), ints("strides", {attrs.stride, attrs.stride}),
              ints("pads", pads(shape_of(n.inputs[0]), w[0], w[1], attrs.stride, attrs.padding)),
              whole("group", depthwise ? w[2] : 1)});
        done(n, bias);
    }

    /// The matrix by rows of outputs, transB = 1, as PyTorch writes it too: OpenCV 4.6 misreads the other form.
    void dense(const Node& n, const Node* bias) {
        const Shape& w = shape_of(n.inputs[1]);
        std::vector<std::string> inputs{name_of(n.inputs[0]), constant(graph_.value(n.inputs[1]).name, {w[1], w[0]},
                                                                       transposed(kernel_of(n), w, {1, 0}))};
        if (bias != nullptr) {
            inputs.push_back(vector_of(bias->inputs[1]));
        }
        node("Gemm", unique(n.name), inputs, {whole("transB", 1)});
        done(n, bias);
    }

    void pool(const Node& n, const char* op) {
        const auto& attrs = std::get<PoolAttrs>(n.attrs);
        node(op, unique(n.name), {name_of(n.inputs[0])},
             {ints("kernel_shape", {attrs.window, attrs.window}), ints("strides", {attrs.stride, attrs.stride}),
              ints("pads", pads(shape_of(n.inputs[0]), attrs.window, attrs.window, attrs.stride, attrs.padding))});
        done(n);
    }

    void flatten(const Node& n) {
        std::string x = name_of(n.inputs[0]);
        if (shape_of(n.inputs[0]).rank() == 4) {
            const std::string last = unique(n.name + "/channels_last");
            node("Transpose", last, {x}, {ints("perm", {0, 2, 3, 1})});
            x = last;
        }
        node("Flatten", unique(n.name), {x}, {whole("axis", 1)});
        done(n);
    }

    void unflatten(const Node& n) {
        const Shape& y = shape_of(n.outputs[0]);
        const std::string shape = constant_ints(unique(n.name + "/shape"), {-1, y[1], y[2], y[3]});
        const std::string last = unique(n.name + "/channels_last");
        node("Reshape", last, {name_of(n.inputs[0]), shape}, {});
        node("Transpose", unique(n.name), {last}, {ints("perm", {0, 3, 1, 2})});
        done(n);
    }

    void rescale(const Node& n) {
        const auto& attrs = std::get<RescaleAttrs>(n.attrs);
        const std::int64_t c = shape_of(n.inputs[0])[3];
        const std::string scaled = unique(n.name + "/scaled");
        node("Mul", scaled, {name_of(n.inputs[0]), constant(unique(n.name + "/scale"), {1}, {attrs.scale})}, {});
        node("Add", unique(n.name),
             {scaled, constant(unique(n.name + "/offset"), {c, 1, 1},
                               {attrs.offset.begin(), attrs.offset.begin() + static_cast<std::ptrdiff_t>(c)})},
             {});
        done(n);
    }

    void zero_pad(const Node& n) {
        const auto& pad = std::get<PadAttrs>(n.attrs);
        const std::string by =
            constant_ints(unique(n.name + "/pads"), {0, 0, pad.top, pad.left, 0, 0, pad.bottom, pad.right});
        node("Pad", unique(n.name), {name_of(n.inputs[0]), by}, {});
        done(n);
    }

    void batch_norm(const Node& n) {
        std::vector<std::string> inputs{name_of(n.inputs[0])};
        for (std::size_t i = 1; i < 5; ++i) {
            inputs.push_back(vector_of(n.inputs[i]));
        }
        node("BatchNormalization", unique(n.name), inputs,
             {real("epsilon", std::get<BatchNormAttrs>(n.attrs).epsilon)});
        done(n);
    }

    void simple(const Node& n, const char* op, std::vector<OnnxAttribute> attributes = {}) {
        std::vector<std::string> inputs;
        for (const ValueId id : n.inputs) {
            inputs.push_back(name_of(id));
        }
        node(op, unique(n.name), inputs, std::move(attributes));
        done(n);
    }

    void write(const Node& n, const Node* bias) {
        switch (n.kind) {
            case OpKind::kConv2d:
            case OpKind::kDepthwiseConv:
                return convolution(n, bias);
            case OpKind::kDense:
                return dense(n, bias);
            case OpKind::kBatchNormInference:
                return batch_norm(n);
            case OpKind::kRelu:
                return simple(n, "Relu");
            case OpKind::kRelu6: {
                const std::string low = constant(unique(n.name + "/low"), {}, {0});
                const std::string high = constant(unique(n.name + "/high"), {}, {6});
                node("Clip", unique(n.name), {name_of(n.inputs[0]), low, high}, {});
                return done(n);
            }
            case OpKind::kMaxPool:
                return pool(n, "MaxPool");
            case OpKind::kAvgPool:
                return pool(n, "AveragePool");
            case OpKind::kGlobalAvgPool: {
                const std::string mean = unique(n.name + "/mean");
                node("GlobalAveragePool", mean, {name_of(n.inputs[0])}, {});
                node("Flatten", unique(n.name), {mean}, {whole("axis", 1)});
                return done(n);
            }
            case OpKind::kZeroPad:
                return zero_pad(n);
            case OpKind::kAdd:
                return simple(n, n.inputs.size() == 2 ? "Add" : "Sum");
            case OpKind::kFlatten:
                return flatten(n);
            case OpKind::kUnflatten:
                return unflatten(n);
            case OpKind::kRescale:
                return rescale(n);
            case OpKind::kSoftmax:
                return simple(n, "Softmax", {whole("axis", 1)});
            default:
                throw UsageError(fmt::format("'{}' has no counterpart in ONNX", n.name));
        }
    }

    /// Names of nodes and of weights must differ.
    std::string unique(const std::string& name) {
        last_ = name;
        while (!taken_.insert(last_).second) {
            last_ += "_";
        }
        return last_;
    }
    void done(const Node& n, const Node* bias = nullptr) { names_[(bias == nullptr ? n : *bias).outputs[0]] = last_; }

    const Graph& graph_;
    const VariableValues& values_;
    OnnxModel model_;
    std::map<ValueId, std::string> names_;
    std::set<std::string> taken_{"images", "channels_first", "probabilities", "logits"};
    std::string last_;
};

}  // namespace

OnnxModel to_onnx(const ModelBuilder& build, const VariableValues& values, const Shape& image, bool softmax,
                  const std::string& name) {
    Graph graph;
    const ValueId clock = graph.add("clock", Role::kState, {{kClockFields}, DType::kI64});
    const ValueId input = graph.add("input", Role::kInput, {{1, image[0], image[1], image[2]}, DType::kF32});
    Net net(graph, input, clock, {.mode = Mode::kInfer});
    build(net);
    ValueId output = net.here();
    if (softmax) {
        output = graph.apply1(OpKind::kSoftmax, "softmax", NoAttrs{}, {output});
    }
    OnnxModel model = Exporter(graph, values, input).run(output, softmax ? "probabilities" : "logits");
    model.name = name;
    return model;
}

}  // namespace fer
