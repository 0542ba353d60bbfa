#include "engine/graph/fuse.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "engine/core/text.hpp"

namespace fer {
namespace {

/// The only node reading `value`, or -1 when it has several readers, none, or is wanted by the caller.
int only_reader(const Graph& graph, ValueId value) {
    if (std::ranges::count(graph.kept(), value) > 0) {
        return -1;
    }
    int reader = -1;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        for (const ValueId input : graph.nodes()[i].inputs) {
            if (input == value) {
                if (reader >= 0) {
                    return -1;
                }
                reader = static_cast<int>(i);
            }
        }
    }
    return reader;
}

void number_writers(Graph& graph) {
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        for (const ValueId out : graph.nodes()[i].outputs) {
            graph.value(out).writer = static_cast<int>(i);
        }
    }
}

/// Removes node `index`; its output now comes from `heir`.
void absorb(Graph& graph, std::size_t heir, std::size_t index) {
    auto& nodes = graph.nodes();
    nodes[heir].outputs[0] = nodes[index].outputs[0];
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(index));
    number_writers(graph);
}

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

int fuse_bias(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        Node& node = graph.nodes()[i];
        if (!is_linear(node) || node.inputs.size() != 2 || *activation_of(node) != Activation::kNone) {
            continue;
        }
        const int reader = only_reader(graph, node.outputs[0]);
        if (reader >= 0 && graph.nodes()[static_cast<std::size_t>(reader)].kind == OpKind::kBias) {
            node.inputs.push_back(graph.nodes()[static_cast<std::size_t>(reader)].inputs[1]);
            absorb(graph, i, static_cast<std::size_t>(reader));
            ++count;
        }
    }
    return count;
}

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

int fuse_activation(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        count += is_linear(graph.nodes()[i]) && absorb_activation(graph, i) ? 1 : 0;
    }
    return count;
}

bool has_residual(const Node& node) { return node.inputs.size() == (node.kind == OpKind::kBatchNorm ? 4u : 6u); }

/// Takes in the sum of two that alone reads batch norm `i`: the norm moves to where the sum stood, because only there
/// the other term is known. Returns where that is, or -1.
int absorb_sum(Graph& graph, std::size_t i) {
    Node norm = graph.nodes()[i];
    const int reader = only_reader(graph, norm.outputs[0]);
    if (reader < 0 || has_residual(norm)) {
        return -1;
    }
    const Node& sum = graph.nodes()[static_cast<std::size_t>(reader)];
    if (sum.kind != OpKind::kAdd || sum.inputs.size() != 2) {
        return -1;
    }
    norm.inputs.push_back(sum.inputs[0] == norm.outputs[0] ? sum.inputs[1] : sum.inputs[0]);
    norm.outputs[0] = sum.outputs[0];
    graph.nodes()[static_cast<std::size_t>(reader)] = norm;
    graph.nodes().erase(graph.nodes().begin() + static_cast<std::ptrdiff_t>(i));
    number_writers(graph);
    return reader - 1;
}

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

/// Without padding, or with none to speak of.
bool is_plain_2x2(const Graph& graph, const Node& pool) {
    const auto& attrs = std::get<PoolAttrs>(pool.attrs);
    const Shape& x = graph.value(pool.inputs[0]).info.shape;
    return attrs.window == 2 && attrs.stride == 2 &&
           (attrs.padding == Padding::kValid || (x[1] % 2 == 0 && x[2] % 2 == 0));
}

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

// In this order: a bias must be inside before the activation behind it can follow.
constexpr std::array kRules{
    FusionRule{"bias", "a bias into the convolution or dense layer before it", FusionStage::kForward, fuse_bias},
    FusionRule{"activation", "a ReLU or ReLU6 into the convolution or dense layer before it", FusionStage::kForward,
               fuse_activation},
    FusionRule{"norm", "a residual sum, a ReLU or ReLU6, or both into the batch norm before them",
               FusionStage::kForward, fuse_norm},
    FusionRule{"norm_pool", "a 2x2 max pool into the batch norm before it", FusionStage::kForward, fuse_norm_pool},
    FusionRule{"norm_mask", "the gradient of a ReLU before a batch norm into the gradient of that",
               FusionStage::kBackward, fuse_norm_mask},
};

}  // namespace

std::span<const FusionRule> fusion_rules() { return kRules; }

std::vector<FusionCount> fuse(Graph& graph, const std::string& choice, FusionStage stage) {
    std::vector<std::string> wanted;
    if (choice != "on" && choice != "off") {
        std::istringstream words(choice);
        for (std::string word; std::getline(words, word, ',');) {
            if (std::ranges::none_of(kRules, [&](const FusionRule& rule) { return rule.name == word; })) {
                std::vector<std::string> names{"on", "off"};
                for (const FusionRule& rule : kRules) {
                    names.emplace_back(rule.name);
                }
                const std::string near = nearest(word, names);
                throw UsageError(fmt::format("unknown fusion rule '{}'", word))
                    .try_this(near.empty() ? fmt::format("one of: {}", fmt::join(names, ", "))
                                           : fmt::format("did you mean '{}'?", near));
            }
            wanted.push_back(word);
        }
    }
    std::vector<FusionCount> counts;
    for (const FusionRule& rule : kRules) {
        if (rule.stage == stage && (choice == "on" || std::ranges::count(wanted, rule.name) > 0)) {
            counts.push_back({rule.name, rule.apply(graph)});
        }
    }
    return counts;
}

}  // namespace fer
