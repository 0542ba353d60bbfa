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

/// Removes node `index`; its output now comes from `heir`.
void absorb(Graph& graph, std::size_t heir, std::size_t index) {
    auto& nodes = graph.nodes();
    nodes[heir].outputs = nodes[index].outputs;
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(index));
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        for (const ValueId out : nodes[i].outputs) {
            graph.value(out).writer = static_cast<int>(i);
        }
    }
}

bool is_linear(const Node& node) { return node.kind == OpKind::kConv2d || node.kind == OpKind::kDense; }

Activation* activation_of(Node& node) {
    if (auto* conv = std::get_if<ConvAttrs>(&node.attrs)) {
        return &conv->activation;
    }
    if (auto* dense = std::get_if<DenseAttrs>(&node.attrs)) {
        return &dense->activation;
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

int fuse_activation(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        Node& node = graph.nodes()[i];
        if (!is_linear(node) || *activation_of(node) != Activation::kNone) {
            continue;
        }
        const int reader = only_reader(graph, node.outputs[0]);
        if (reader < 0) {
            continue;
        }
        const OpKind kind = graph.nodes()[static_cast<std::size_t>(reader)].kind;
        if (kind == OpKind::kRelu || kind == OpKind::kRelu6) {
            *activation_of(node) = kind == OpKind::kRelu ? Activation::kRelu : Activation::kRelu6;
            absorb(graph, i, static_cast<std::size_t>(reader));
            ++count;
        }
    }
    return count;
}

// In this order: a bias must be inside before the activation behind it can follow.
constexpr std::array kRules{
    FusionRule{"bias", "a bias into the convolution or dense layer before it", fuse_bias},
    FusionRule{"activation", "a ReLU or ReLU6 into the convolution or dense layer before it", fuse_activation},
};

}  // namespace

std::span<const FusionRule> fusion_rules() { return kRules; }

std::vector<FusionCount> fuse(Graph& graph, const std::string& choice) {
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
        if (choice == "on" || std::ranges::count(wanted, rule.name) > 0) {
            counts.push_back({rule.name, rule.apply(graph)});
        }
    }
    return counts;
}

}  // namespace fer
