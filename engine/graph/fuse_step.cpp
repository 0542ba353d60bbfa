// Rewrites of a whole step.
#include <algorithm>
#include <optional>

#include "engine/graph/fuse_rules.hpp"
#include "engine/graph/op_table.hpp"

namespace fer::rewrite {
namespace {

/// x of a batch norm's gradient node, or kNoValue for other nodes.
ValueId norm_input(const Node& node) {
    switch (node.kind) {
        case OpKind::kBatchNormGrad:
            return node.inputs[1];
        case OpKind::kBatchNormPoolGrad:
            return node.inputs[3];
        default:
            return kNoValue;
    }
}

}  // namespace

int fuse_norm_mask(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const ValueId x = norm_input(graph.nodes()[i]);
        const int reader = x == kNoValue ? -1 : only_reader(graph, graph.nodes()[i].outputs[0]);
        if (reader < 0) {
            continue;
        }
        const Node& relu = graph.nodes()[static_cast<std::size_t>(reader)];
        if (relu.kind == OpKind::kReluGrad && relu.inputs[1] == x) {
            std::get<BatchNormAttrs>(graph.nodes()[i].attrs).relu_input = true;
            absorb(graph, i, static_cast<std::size_t>(reader));
            ++count;
        }
    }
    return count;
}

// The norm's node becomes one of given statistics, which the convolution now writes under the same names.
int fuse_norm_sums(Graph& graph) {
    int count = 0;
    for (Node& norm : graph.nodes()) {
        const bool pools = norm.kind == OpKind::kBatchNormPool;
        if ((norm.kind != OpKind::kBatchNorm && !pools) || norm.state.size() != 2) {
            continue;
        }
        Node* conv = writer_of(graph, norm.inputs[0]);
        if (conv == nullptr || conv->kind != OpKind::kConv2d || conv->outputs.size() != 1) {
            continue;
        }
        const std::size_t mean = pools ? 2 : 1;
        auto& attrs = std::get<ConvAttrs>(conv->attrs);
        attrs.statistics = true;
        attrs.momentum = std::get<BatchNormAttrs>(norm.attrs).momentum;
        conv->outputs.insert(conv->outputs.end(), norm.outputs.begin() + static_cast<std::ptrdiff_t>(mean),
                             norm.outputs.end());
        conv->state = norm.state;
        norm.kind = pools ? OpKind::kBatchNormPool : OpKind::kBatchNormInference;
        norm.inputs.insert(norm.inputs.begin() + 3, norm.outputs.begin() + static_cast<std::ptrdiff_t>(mean),
                           norm.outputs.end());
        norm.outputs.resize(mean);
        norm.state.clear();
        ++count;
    }
    number_writers(graph);
    return count;
}

namespace {

/// With logits of 16 bits the casts around the loss go too: it computes in float32 and rounds its gradient itself.
void drop_casts(Graph& graph, std::size_t loss) {
    Node& node = graph.nodes()[loss];
    const Node* widened = writer_of(graph, node.inputs[0]);
    const int reader = only_reader(graph, node.outputs[3]);
    if (widened == nullptr || widened->kind != OpKind::kCast || reader < 0) {
        return;
    }
    const Node& narrowed = graph.nodes()[static_cast<std::size_t>(reader)];
    const TensorInfo& logits = graph.value(widened->inputs[0]).info;
    if (narrowed.kind != OpKind::kCast || !is_16_bit(logits.dtype) || graph.value(narrowed.outputs[0]).info != logits) {
        return;
    }
    node.inputs[0] = widened->inputs[0];
    node.outputs[3] = narrowed.outputs[0];
    graph.nodes().erase(graph.nodes().begin() + reader);
    number_writers(graph);
}

}  // namespace

int fuse_loss(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Node gradient = graph.nodes()[i];
        const Node* loss = gradient.kind == OpKind::kSoftmaxXentGrad ? writer_of(graph, gradient.inputs[0]) : nullptr;
        if (loss == nullptr || loss->kind != OpKind::kSoftmaxXent || loss->outputs.size() != 3) {
            continue;
        }
        auto& nodes = graph.nodes();
        auto at = static_cast<std::ptrdiff_t>(loss - nodes.data());
        if (const int dloss = graph.value(gradient.inputs[3]).writer; dloss > at) {
            const auto free = [&](ValueId id) { return graph.value(id).writer < 0; };
            if (!std::ranges::all_of(nodes[static_cast<std::size_t>(dloss)].inputs, free)) {
                continue;
            }
            std::rotate(nodes.begin() + at, nodes.begin() + dloss, nodes.begin() + dloss + 1);
            ++at;
        }
        Node& merged = nodes[static_cast<std::size_t>(at)];
        merged.inputs.push_back(gradient.inputs[3]);
        merged.outputs.push_back(gradient.outputs[0]);
        nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(i));
        number_writers(graph);
        drop_casts(graph, static_cast<std::size_t>(at));
        ++count;
    }
    return count;
}

namespace {

/// A gradient of a parameter that is the sum of the gradient of its L2 penalty and of another.
struct Penalized {
    std::size_t penalty = 0;  // place of the node
    ValueId other = kNoValue;
};

std::optional<Penalized> penalized(Graph& graph, const Node& sum) {
    if (sum.kind != OpKind::kAdd || sum.inputs.size() != 2 || graph.value(sum.outputs[0]).role != Role::kGradient) {
        return std::nullopt;
    }
    for (const std::size_t k : {0, 1}) {
        const Node* penalty = writer_of(graph, sum.inputs[k]);
        const ValueId other = sum.inputs[1 - k];
        if (penalty != nullptr && penalty->kind == OpKind::kL2Grad && writer_of(graph, other) != nullptr &&
            only_reader(graph, sum.inputs[k]) >= 0 && only_reader(graph, other) >= 0) {
            return Penalized{static_cast<std::size_t>(penalty - graph.nodes().data()), other};
        }
    }
    return std::nullopt;
}

}  // namespace

// Whoever computes the other gradient writes it to its place; the penalty's is added there where the sum stood.
int fuse_l2(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        Node& sum = graph.nodes()[i];
        const std::optional<Penalized> found = penalized(graph, sum);
        if (!found) {
            continue;
        }
        const ValueId gradient = sum.outputs[0];
        std::ranges::replace(writer_of(graph, found->other)->outputs, found->other, gradient);
        sum = graph.nodes()[found->penalty];
        sum.outputs.clear();
        sum.state = {gradient};
        graph.nodes().erase(graph.nodes().begin() + static_cast<std::ptrdiff_t>(found->penalty));
        number_writers(graph);
        ++count;
        --i;
    }
    return count;
}

}  // namespace fer::rewrite
