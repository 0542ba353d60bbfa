// Rewrites of a forward graph.
#include "engine/graph/fuse_rules.hpp"

namespace fer::rewrite {
namespace {

bool is_linear(const Node& node) { return node.kind == OpKind::kConv2d || node.kind == OpKind::kDense; }

Activation* activation_of(Node& node) {
    if (auto* conv = std::get_if<ConvAttrs>(&node.attrs)) {
        return &conv->activation;
    }
    if (auto* dense = std::get_if<DenseAttrs>(&node.attrs)) {
        return &dense->activation;
    }
    if (auto* norm = std::get_if<BatchNormAttrs>(&node.attrs)) {
        return &norm->activation;
    }
    return nullptr;
}

}  // namespace

namespace {

/// A linear layer and the norm behind it, by place; bias: -1 without.
struct Foldable {
    int bias = -1;
    int norm = -1;
};

Foldable foldable(const Graph& graph, const Node& layer) {
    if (layer.inputs.size() != 2) {
        return {};
    }
    Foldable found{.norm = only_reader(graph, layer.outputs[0])};
    const auto node_at = [&](int i) { return graph.nodes()[static_cast<std::size_t>(i)]; };
    if (found.norm >= 0 && node_at(found.norm).kind == OpKind::kBias) {
        found.bias = found.norm;
        found.norm = only_reader(graph, node_at(found.bias).outputs[0]);
    }
    if (found.norm < 0) {
        return {};
    }
    const Node norm = node_at(found.norm);
    const bool plain = norm.kind == OpKind::kBatchNormInference && norm.inputs.size() == 5 &&
                       std::get<BatchNormAttrs>(norm.attrs).activation == Activation::kNone;
    const ValueId x = found.bias < 0 ? layer.outputs[0] : node_at(found.bias).outputs[0];
    if (!plain || norm.inputs[0] != x) {
        return {};
    }
    std::vector<ValueId> fixed{norm.inputs.begin() + 1, norm.inputs.end()};
    fixed.push_back(layer.inputs[1]);
    if (found.bias >= 0) {
        fixed.push_back(node_at(found.bias).inputs[1]);
    }
    for (const ValueId id : fixed) {  // what is written later cannot be read before the layer
        if (graph.value(id).writer >= 0) {
            return {};
        }
    }
    return found;
}

/// w * s and (b - mean) * s + beta with s = gamma / sqrt(variance + epsilon), of a layer whose output channels are the
/// last axis of w, or the third of a depthwise kernel. The first is what the gradient of the norm does to dy, the
/// second the norm of b.
void fold(Graph& graph, std::size_t i, const Foldable& at) {
    const Node layer = graph.nodes()[i];
    const Node norm = graph.nodes()[static_cast<std::size_t>(at.norm)];
    const TensorInfo w = graph.value(layer.inputs[1]).info;
    const std::int64_t channels = layer.kind == OpKind::kDepthwiseConv ? w.shape[2] : w.shape.back();
    const std::string name = graph.value(layer.inputs[1]).name + "/folded";
    const ValueId scaled = insert(graph, i++, OpKind::kBatchNormInferenceGrad, name, norm.attrs,
                                  {layer.inputs[1], norm.inputs[1], norm.inputs[4]});
    ValueId b = kNoValue;
    if (at.bias < 0) {
        b = insert(graph, i++, OpKind::kConstant, layer.name + "/zeros", ScalarAttrs{0, {channels}}, {});
        graph.value(b).info.dtype = w.dtype;
    } else {
        const std::size_t place = static_cast<std::size_t>(at.bias) + 1;
        b = graph.nodes()[place].inputs[1];
        graph.nodes()[place + static_cast<std::size_t>(at.norm - at.bias)].inputs[0] = layer.outputs[0];
        graph.nodes().erase(graph.nodes().begin() + static_cast<std::ptrdiff_t>(place));
    }
    const ValueId shifted = insert(graph, i++, OpKind::kBatchNormInference, layer.name + "/bias/folded", norm.attrs,
                                   {b, norm.inputs[1], norm.inputs[2], norm.inputs[3], norm.inputs[4]});
    graph.nodes()[i].inputs[1] = scaled;
    Node& last = *writer_of(graph, norm.outputs[0]);
    last.kind = OpKind::kBias;
    last.attrs = NoAttrs{};
    last.inputs = {layer.outputs[0], shifted};
}

}  // namespace

int fuse_fold(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Foldable found = is_linear(graph.nodes()[i]) ? foldable(graph, graph.nodes()[i]) : Foldable{};
        if (found.norm >= 0) {
            fold(graph, i, found);
            ++count;
        }
    }
    return count;
}

namespace {

/// Takes in a bias that alone reads node `i`.
bool absorb_bias(Graph& graph, std::size_t i) {
    Node& node = graph.nodes()[i];
    const int reader = only_reader(graph, node.outputs[0]);
    if (node.inputs.size() != 2 || *activation_of(node) != Activation::kNone || reader < 0 ||
        graph.nodes()[static_cast<std::size_t>(reader)].kind != OpKind::kBias) {
        return false;
    }
    node.inputs.push_back(graph.nodes()[static_cast<std::size_t>(reader)].inputs[1]);
    absorb(graph, i, static_cast<std::size_t>(reader));
    return true;
}

}  // namespace

int fuse_bias(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        count += is_linear(graph.nodes()[i]) && absorb_bias(graph, i) ? 1 : 0;
    }
    return count;
}

namespace {

/// Takes in a ReLU or ReLU6 that alone reads node `i`.
bool absorb_activation(Graph& graph, std::size_t i) {
    Node& node = graph.nodes()[i];
    const int reader = only_reader(graph, node.outputs[0]);
    if (*activation_of(node) != Activation::kNone || reader < 0) {
        return false;
    }
    const OpKind kind = graph.nodes()[static_cast<std::size_t>(reader)].kind;
    if (kind != OpKind::kRelu && kind != OpKind::kRelu6) {
        return false;
    }
    *activation_of(node) = kind == OpKind::kRelu ? Activation::kRelu : Activation::kRelu6;
    absorb(graph, i, static_cast<std::size_t>(reader));
    return true;
}

}  // namespace

int fuse_activation(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        count += is_linear(graph.nodes()[i]) && absorb_activation(graph, i) ? 1 : 0;
    }
    return count;
}

int fuse_depthwise(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        if (graph.nodes()[i].kind != OpKind::kDepthwiseConv) {
            continue;
        }
        if (const Foldable found = foldable(graph, graph.nodes()[i]); found.norm >= 0) {
            fold(graph, i, found);
            i += found.bias < 0 ? 3 : 2;  // what makes its weights and its bias now stands before it
            ++count;
        }
        count += absorb_bias(graph, i) ? 1 : 0;
        count += absorb_activation(graph, i) ? 1 : 0;
    }
    return count;
}

int fuse_fixed_norm(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Node& node = graph.nodes()[i];
        const int reader = node.kind == OpKind::kBatchNormInference ? only_reader(graph, node.outputs[0]) : -1;
        if (reader >= 0 && graph.nodes()[static_cast<std::size_t>(reader)].kind == OpKind::kRelu) {
            count += absorb_activation(graph, i) ? 1 : 0;
        }
    }
    return count;
}

// Rows and columns that no window reaches may be missing: what is read must be the same.
int fuse_pad(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Node pad = graph.nodes()[i];
        const int reader = pad.kind == OpKind::kZeroPad ? only_reader(graph, pad.outputs[0]) : -1;
        if (reader < 0) {
            continue;
        }
        Node& conv = graph.nodes()[static_cast<std::size_t>(reader)];
        auto* attrs = std::get_if<ConvAttrs>(&conv.attrs);
        const bool forward = conv.kind == OpKind::kConv2d || conv.kind == OpKind::kDepthwiseConv;
        if (!forward || attrs->padding != Padding::kValid || conv.inputs[0] != pad.outputs[0]) {
            continue;
        }
        const Shape& x = graph.value(pad.inputs[0]).info.shape;
        const Shape& w = graph.value(conv.inputs[1]).info.shape;
        const Shape& y = graph.value(conv.outputs[0]).info.shape;
        const auto& zeros = std::get<PadAttrs>(pad.attrs);
        const Window rows = window_of(x[1], w[0], attrs->stride, Padding::kSame);
        const Window cols = window_of(x[2], w[1], attrs->stride, Padding::kSame);
        if (rows.before == zeros.top && cols.before == zeros.left && rows.out == y[1] && cols.out == y[2]) {
            attrs->padding = Padding::kSame;
            conv.inputs[0] = pad.inputs[0];
            graph.nodes().erase(graph.nodes().begin() + static_cast<std::ptrdiff_t>(i--));
            number_writers(graph);
            ++count;
        }
    }
    return count;
}

namespace {

bool has_residual(const Node& node) {
    return node.inputs.size() == (node.kind == OpKind::kBatchNormInference ? 6u : 4u);
}

/// Takes in the sum of two that alone reads batch norm or convolution `i`: the node moves to where the sum stood,
/// because only there the other term is known. Returns where that is, or -1.
int absorb_sum(Graph& graph, std::size_t i) {
    Node node = graph.nodes()[i];
    const int reader = only_reader(graph, node.outputs[0]);
    if (reader < 0 || has_residual(node)) {
        return -1;
    }
    const Node& sum = graph.nodes()[static_cast<std::size_t>(reader)];
    if (sum.kind != OpKind::kAdd || sum.inputs.size() != 2) {
        return -1;
    }
    node.inputs.push_back(sum.inputs[0] == node.outputs[0] ? sum.inputs[1] : sum.inputs[0]);
    node.outputs[0] = sum.outputs[0];
    graph.nodes()[static_cast<std::size_t>(reader)] = node;
    graph.nodes().erase(graph.nodes().begin() + static_cast<std::ptrdiff_t>(i));
    number_writers(graph);
    return reader - 1;
}

}  // namespace

int fuse_norm(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const OpKind kind = graph.nodes()[i].kind;
        if (kind != OpKind::kBatchNorm && kind != OpKind::kBatchNormInference) {
            continue;
        }
        if (absorb_activation(graph, i)) {
            ++count;
        } else if (const int at = absorb_sum(graph, i); at >= 0) {
            absorb_activation(graph, static_cast<std::size_t>(at));
            ++count;
            --i;  // another node stands there now
        }
    }
    return count;
}

int fuse_residual(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        Node& node = graph.nodes()[i];
        if (node.kind != OpKind::kConv2d || node.inputs.size() != 3 || *activation_of(node) != Activation::kNone) {
            continue;
        }
        if (const int at = absorb_sum(graph, i); at >= 0) {
            absorb_activation(graph, static_cast<std::size_t>(at));
            ++count;
            --i;  // another node stands there now
        }
    }
    return count;
}

namespace {

/// Without padding, or with none to speak of.
bool is_plain_2x2(const Graph& graph, const Node& pool) {
    const auto& attrs = std::get<PoolAttrs>(pool.attrs);
    const Shape& x = graph.value(pool.inputs[0]).info.shape;
    return attrs.window == 2 && attrs.stride == 2 &&
           (attrs.padding == Padding::kValid || (x[1] % 2 == 0 && x[2] % 2 == 0));
}

}  // namespace

int fuse_norm_pool(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        Node& norm = graph.nodes()[i];
        if (norm.kind != OpKind::kBatchNorm || has_residual(norm)) {
            continue;
        }
        const int reader = only_reader(graph, norm.outputs[0]);
        if (reader < 0) {
            continue;
        }
        const Node pool = graph.nodes()[static_cast<std::size_t>(reader)];
        if (pool.kind != OpKind::kMaxPool || !is_plain_2x2(graph, pool)) {
            continue;
        }
        norm.kind = OpKind::kBatchNormPool;
        norm.outputs = {pool.outputs[0], pool.outputs[1], norm.outputs[1], norm.outputs[2]};
        graph.nodes().erase(graph.nodes().begin() + reader);
        number_writers(graph);
        ++count;
    }
    return count;
}

}  // namespace fer::rewrite
