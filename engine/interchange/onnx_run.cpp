#include <algorithm>

#include "engine/interchange/onnx_export.hpp"
#include "engine/interchange/run_network.hpp"
#include "engine/interchange/transposed.hpp"

namespace fer {
namespace {

/// A value of the ONNX graph as one of ours, whose images always have their channels last.
struct Operand {
    ValueId id = kNoValue;
    bool channels_first = false;  // in ONNX's view of it
};

class Builder {
public:
    Builder(const OnnxModel& model, Graph& graph, ValueId input) : graph_(graph) {
        for (const OnnxTensor& tensor : model.initializers) {
            constants_[tensor.name] = &tensor;
        }
        operands_[model.input.name] = {input, false};
        for (const OnnxNode& node : model.nodes) {
            operands_[node.outputs.at(0)] = apply(node);
        }
    }

    ValueId output(const std::string& name) const { return operands_.at(name).id; }
    std::map<std::string, std::vector<float>> weights;  // by the name of our value

private:
    [[noreturn]] static void fail(const OnnxNode& node, const std::string& why) {
        throw DataError(fmt::format("the ONNX node '{}' ({}) cannot be read back", node.name, node.op)).because(why);
    }

    const OnnxTensor& constant(const OnnxNode& node, std::size_t i) const {
        const auto found = i < node.inputs.size() ? constants_.find(node.inputs[i]) : constants_.end();
        if (found == constants_.end()) {
            fail(node, fmt::format("its input {} is no constant", i));
        }
        return *found->second;
    }
    Operand operand(const OnnxNode& node, std::size_t i) const {
        const auto found = i < node.inputs.size() ? operands_.find(node.inputs[i]) : operands_.end();
        if (found == operands_.end()) {
            fail(node, fmt::format("its input {} comes from nowhere", i));
        }
        return found->second;
    }
    Operand image(const OnnxNode& node) const {
        const Operand x = operand(node, 0);
        if (shape_of(x.id).rank() == 4 && !x.channels_first) {
            fail(node, "its input has its channels last");
        }
        return x;
    }
    const Shape& shape_of(ValueId id) const { return graph_.value(id).info.shape; }

    static std::vector<std::int64_t> list(const OnnxNode& node, const char* name) {
        const auto found = std::ranges::find(node.attributes, name, &OnnxAttribute::name);
        return found == node.attributes.end() ? std::vector<std::int64_t>{} : found->list;
    }
    static const OnnxAttribute* find(const OnnxNode& node, const char* name) {
        const auto found = std::ranges::find(node.attributes, name, &OnnxAttribute::name);
        return found == node.attributes.end() ? nullptr : &*found;
    }

    ValueId weight(const std::string& name, const Shape& shape, std::vector<float> values) {
        if (static_cast<std::int64_t>(values.size()) != shape.count()) {
            throw DataError(fmt::format("the ONNX tensor '{}' has {} values", name, values.size()));
        }
        const std::string own = "weight/" + name;
        if (!weights.contains(own)) {
            weights[own] = std::move(values);
            return graph_.add(own, Role::kState, {shape, DType::kF32});
        }
        return graph_.find(own);
    }
    /// The values of a kernel, its axes in another order.
    static std::vector<float> turned(const OnnxNode& node, const OnnxTensor& w, const std::vector<int>& axes) {
        const Shape shape =
            w.dims.size() == 4 ? Shape{w.dims[0], w.dims[1], w.dims[2], w.dims[3]} : Shape{w.dims[0], w.dims[1]};
        if (std::ssize(w.floats) != shape.count()) {
            fail(node, "its kernel is not of float32");
        }
        return transposed(w.floats, shape, axes);
    }
    ValueId vector(const OnnxNode& node, std::size_t i) {
        const OnnxTensor& tensor = constant(node, i);
        return weight(tensor.name, {static_cast<std::int64_t>(tensor.floats.size())}, tensor.floats);
    }

    Operand conv(const OnnxNode& node) {
        const OnnxTensor& w = constant(node, 1);
        const auto pads = list(node, "pads");
        const auto strides = list(node, "strides");
        const OnnxAttribute* group = find(node, "group");
        if (w.dims.size() != 4 || pads.size() != 4 || strides.size() != 2 || group == nullptr) {
            fail(node, "it lacks its kernel, pads, strides or group");
        }
        ValueId x = image(node).id;
        if (std::ranges::count(pads, 0) != 4) {
            const PadAttrs pad{static_cast<int>(pads[0]), static_cast<int>(pads[2]), static_cast<int>(pads[1]),
                               static_cast<int>(pads[3])};
            x = graph_.apply1(OpKind::kZeroPad, node.name + "/pad", pad, {x});
        }
        const bool depthwise = group->whole == w.dims[0] && w.dims[1] == 1 && group->whole == shape_of(x)[3];
        // (c, 1, kh, kw) comes out as (kh, kw, 1, c): the same bytes as our (kh, kw, c, 1).
        const Shape shape =
            depthwise ? Shape{w.dims[2], w.dims[3], w.dims[0], 1} : Shape{w.dims[2], w.dims[3], w.dims[1], w.dims[0]};
        const ConvAttrs attrs{static_cast<int>(strides[0]), Padding::kValid, Activation::kNone, {}, {}, false, false};
        ValueId y = graph_.apply1(depthwise ? OpKind::kDepthwiseConv : OpKind::kConv2d, node.name, attrs,
                                  {x, weight(w.name, shape, turned(node, w, {2, 3, 1, 0}))});
        if (node.inputs.size() == 3) {
            y = graph_.apply1(OpKind::kBias, node.name + "/bias", NoAttrs{}, {y, vector(node, 2)});
        }
        return {y, true};
    }

    Operand gemm(const OnnxNode& node) {
        const OnnxTensor& w = constant(node, 1);
        if (w.dims.size() != 2) {
            fail(node, "its matrix has not two axes");
        }
        const OnnxAttribute* by_outputs = find(node, "transB");
        const bool turns = by_outputs != nullptr && by_outputs->whole != 0;
        const ValueId matrix = turns ? weight(w.name, {w.dims[1], w.dims[0]}, turned(node, w, {1, 0}))
                                     : weight(w.name, {w.dims[0], w.dims[1]}, turned(node, w, {0, 1}));
        ValueId y = graph_.apply1(OpKind::kDense, node.name, DenseAttrs{}, {operand(node, 0).id, matrix});
        if (node.inputs.size() == 3) {
            y = graph_.apply1(OpKind::kBias, node.name + "/bias", NoAttrs{}, {y, vector(node, 2)});
        }
        return {y, false};
    }

    /// The pads must be those of one of our two paddings: what lies outside is no zero to a maximum.
    Operand pool(const OnnxNode& node, OpKind kind) {
        const Operand x = image(node);
        const auto pads = list(node, "pads");
        const auto window = list(node, "kernel_shape");
        const auto strides = list(node, "strides");
        if (window.size() != 2 || strides.size() != 2 || pads.size() != 4) {
            fail(node, "it lacks its window, strides or pads");
        }
        for (const Padding padding : {Padding::kValid, Padding::kSame}) {
            const bool fits =
                padding == Padding::kSame || (shape_of(x.id)[1] >= window[0] && shape_of(x.id)[2] >= window[1]);
            if (!fits) {
                continue;
            }
            const Window rows = window_of(shape_of(x.id)[1], window[0], strides[0], padding);
            const Window columns = window_of(shape_of(x.id)[2], window[1], strides[1], padding);
            if (pads == std::vector<std::int64_t>{rows.before, columns.before, rows.after, columns.after}) {
                const PoolAttrs attrs{static_cast<int>(window[0]), static_cast<int>(strides[0]), padding, {}};
                return {graph_.apply1(kind, node.name, attrs, {x.id}), true};
            }
        }
        fail(node, "its pads are neither none nor those of 'same'");
    }

    Operand transpose(const OnnxNode& node) const {
        const Operand x = operand(node, 0);
        const auto perm = list(node, "perm");
        if (perm == std::vector<std::int64_t>{0, 3, 1, 2} && !x.channels_first) {
            return {x.id, true};
        }
        if (perm == std::vector<std::int64_t>{0, 2, 3, 1} && x.channels_first) {
            return {x.id, false};
        }
        fail(node, "an order of axes that no image has");
    }

    Operand flatten(const OnnxNode& node) {
        const Operand x = operand(node, 0);
        const Shape& shape = shape_of(x.id);
        if (x.channels_first && shape.rank() == 4 && shape[1] * shape[2] != 1) {
            fail(node, "it flattens an image with its channels first");
        }
        return {graph_.apply1(OpKind::kFlatten, node.name, NoAttrs{}, {x.id}), false};
    }

    Operand global_average(const OnnxNode& node) {
        const ValueId mean = graph_.apply1(OpKind::kGlobalAvgPool, node.name, NoAttrs{}, {image(node).id});
        const Shape& c = shape_of(mean);
        return {graph_.apply1(OpKind::kUnflatten, node.name + "/image", ShapeAttrs{{c[0], 1, 1, c[1]}}, {mean}), true};
    }

    Operand reshape(const OnnxNode& node) {
        const auto& target = constant(node, 1).ints;
        const Operand x = operand(node, 0);
        if (target.size() != 4) {
            fail(node, "it does not make an image");
        }
        return {graph_.apply1(OpKind::kUnflatten, node.name,
                              ShapeAttrs{{shape_of(x.id)[0], target[1], target[2], target[3]}}, {x.id}),
                false};
    }

    Operand pad(const OnnxNode& node) {
        const auto& by = constant(node, 1).ints;
        if (by.size() != 8) {
            fail(node, "it has not eight pads");
        }
        const PadAttrs attrs{static_cast<int>(by[2]), static_cast<int>(by[6]), static_cast<int>(by[3]),
                             static_cast<int>(by[7])};
        return {graph_.apply1(OpKind::kZeroPad, node.name, attrs, {image(node).id}), true};
    }

    Operand sum(const OnnxNode& node) {
        if (constants_.contains(node.inputs.at(1))) {
            return rescaled(node, 1, constant(node, 1).floats);
        }
        std::vector<ValueId> inputs;
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            inputs.push_back(operand(node, i).id);
        }
        return {graph_.apply1(OpKind::kAdd, node.name, NoAttrs{}, inputs), operand(node, 0).channels_first};
    }

    Operand rescaled(const OnnxNode& node, float scale, const std::vector<float>& offset) {
        RescaleAttrs attrs{scale, {}};
        for (std::size_t c = 0; c < std::min<std::size_t>(3, offset.size()); ++c) {
            attrs.offset[c] = offset[c];
        }
        return {graph_.apply1(OpKind::kRescale, node.name, attrs, {image(node).id}), true};
    }

    Operand batch_norm(const OnnxNode& node) {
        const Operand x = image(node);
        const OnnxAttribute* epsilon = find(node, "epsilon");
        if (epsilon == nullptr) {
            fail(node, "it has no epsilon");
        }
        BatchNormAttrs attrs;
        attrs.epsilon = static_cast<double>(epsilon->real);
        return {graph_.apply1(OpKind::kBatchNormInference, node.name, attrs,
                              {x.id, vector(node, 1), vector(node, 2), vector(node, 3), vector(node, 4)}),
                x.channels_first};
    }

    Operand clip(const OnnxNode& node) {
        if (constant(node, 1).floats != std::vector{0.0f} || constant(node, 2).floats != std::vector{6.0f}) {
            fail(node, "it clips to other limits than 0 and 6");
        }
        return {graph_.apply1(OpKind::kRelu6, node.name, NoAttrs{}, {operand(node, 0).id}),
                operand(node, 0).channels_first};
    }

    Operand apply(const OnnxNode& node) {
        using Rule = Operand (*)(Builder&, const OnnxNode&);
        // clang-format off
        static const std::map<std::string, Rule> kRules{
            {"Add",                [](Builder& b, const OnnxNode& n) { return b.sum(n); }},
            {"AveragePool",        [](Builder& b, const OnnxNode& n) { return b.pool(n, OpKind::kAvgPool); }},
            {"BatchNormalization", [](Builder& b, const OnnxNode& n) { return b.batch_norm(n); }},
            {"Clip",               [](Builder& b, const OnnxNode& n) { return b.clip(n); }},
            {"Conv",               [](Builder& b, const OnnxNode& n) { return b.conv(n); }},
            {"Flatten",            [](Builder& b, const OnnxNode& n) { return b.flatten(n); }},
            {"Gemm",               [](Builder& b, const OnnxNode& n) { return b.gemm(n); }},
            {"GlobalAveragePool",  [](Builder& b, const OnnxNode& n) { return b.global_average(n); }},
            {"Identity",           [](Builder& b, const OnnxNode& n) { return b.operand(n, 0); }},
            {"MaxPool",            [](Builder& b, const OnnxNode& n) { return b.pool(n, OpKind::kMaxPool); }},
            {"Mul",                [](Builder& b, const OnnxNode& n) { return b.rescaled(n, b.constant(n, 1).floats.at(0), {}); }},
            {"Pad",                [](Builder& b, const OnnxNode& n) { return b.pad(n); }},
            {"Relu",               [](Builder& b, const OnnxNode& n) { return Operand{b.graph_.apply1(OpKind::kRelu, n.name, NoAttrs{}, {b.operand(n, 0).id}), b.operand(n, 0).channels_first}; }},
            {"Reshape",            [](Builder& b, const OnnxNode& n) { return b.reshape(n); }},
            {"Softmax",            [](Builder& b, const OnnxNode& n) { return Operand{b.graph_.apply1(OpKind::kSoftmax, n.name, NoAttrs{}, {b.operand(n, 0).id}), false}; }},
            {"Sum",                [](Builder& b, const OnnxNode& n) { return b.sum(n); }},
            {"Transpose",          [](Builder& b, const OnnxNode& n) { return b.transpose(n); }},
        };
        // clang-format on
        const auto rule = kRules.find(node.op);
        if (rule == kRules.end()) {
            fail(node, "it is no op of these networks");
        }
        return rule->second(*this, node);
    }

    Graph& graph_;
    std::map<std::string, const OnnxTensor*> constants_;
    std::map<std::string, Operand> operands_;
};

}  // namespace

std::vector<float> run_onnx(const OnnxModel& model, const Shape& images, std::span<const float> pixels,
                            const Device& device) {
    Graph graph;
    const ValueId input = graph.add("input", Role::kInput, {images, DType::kF32});
    const ValueId first = graph.apply1(OpKind::kRescale, "copy of the input", RescaleAttrs{1.0f, {}}, {input});
    const Builder built(model, graph, first);
    const ValueId output = built.output(model.output.name);
    graph.keep(output);
    VariableValues weights;
    for (const auto& [name, values] : built.weights) {
        weights[name] = values.data();
    }
    return run_once(graph, output, weights, pixels, device);
}

}  // namespace fer
