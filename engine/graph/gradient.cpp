#include "engine/graph/gradient.hpp"

#include <algorithm>

#include "engine/graph/op_table.hpp"

namespace fer {

ValueId Gradients::of_output(const Node& node, std::size_t k) const {
    const auto& parts = contributions_[static_cast<std::size_t>(node.outputs[k])];
    return parts.empty() ? kNoValue : parts.front();
}

bool Gradients::wanted(const Node& node, std::size_t k) const {
    return wanted_[static_cast<std::size_t>(node.inputs[k])] != 0;
}

void Gradients::give(const Node& node, std::size_t k, ValueId contribution) {
    if (wanted(node, k)) {
        contributions_[static_cast<std::size_t>(node.inputs[k])].push_back(contribution);
    }
}

ValueId Gradients::collect(ValueId value) {
    auto& parts = contributions_[static_cast<std::size_t>(value)];
    if (parts.size() > 1) {
        const std::string name = graph_.value(value).name + "/dsum";
        parts = {graph_.apply1(OpKind::kAdd, name, NoAttrs{}, parts)};
    }
    return parts.empty() ? kNoValue : parts.front();
}

void Gradients::start(ValueId loss, std::span<const ValueId> wrt) {
    const std::size_t count = graph_.values().size();
    contributions_.assign(count, {});
    wanted_.assign(count, 0);
    for (const ValueId id : wrt) {
        wanted_[static_cast<std::size_t>(id)] = 1;
    }
    for (const Node& node : graph_.nodes()) {
        const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                     [&](ValueId id) { return wanted_[static_cast<std::size_t>(id)] != 0; });
        for (const ValueId out : node.outputs) {
            wanted_[static_cast<std::size_t>(out)] |= static_cast<char>(any);
        }
    }
    FER_CHECK(wanted_[static_cast<std::size_t>(loss)], "the loss '{}' depends on no parameter",
              graph_.value(loss).name);
}

std::vector<ValueId> differentiate(Graph& graph, ValueId loss, std::span<const ValueId> wrt, ValueId scale) {
    FER_CHECK(graph.value(loss).info.shape == Shape{}, "the loss must be a scalar, got {}",
              graph.value(loss).info.shape.str());
    Gradients gradients(graph);
    gradients.start(loss, wrt);
    const std::size_t forward_nodes = graph.nodes().size();
    if (scale == kNoValue) {
        scale = graph.apply1(OpKind::kConstant, "dloss", ScalarAttrs{1.0f}, {});
        graph.value(scale).info.dtype = graph.value(loss).info.dtype;
    }
    gradients.contributions_[static_cast<std::size_t>(loss)] = {scale};

    for (std::size_t i = forward_nodes; i-- > 0;) {
        const Node node = graph.nodes()[i];  // a copy: rules append nodes
        const bool passes = std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
            return gradients.wanted_[static_cast<std::size_t>(id)] != 0;
        });
        if (node.outputs.empty() || !passes || gradients.collect(node.outputs[0]) == kNoValue) {
            continue;
        }
        const GradRule rule = spec_of(node.kind).grad;
        FER_CHECK(rule != nullptr, "{} '{}' has no gradient, but a trained parameter lies before it",
                  name_of(node.kind), node.name);
        rule(gradients, node);
    }

    std::vector<ValueId> result;
    for (const ValueId parameter : wrt) {
        const ValueId gradient = gradients.collect(parameter);
        FER_CHECK(gradient != kNoValue, "the loss does not depend on '{}'", graph.value(parameter).name);
        Value& value = graph.value(gradient);
        if (graph.value(parameter).role == Role::kParameter) {
            FER_ASSERT(value.role == Role::kTemporary, "'{}' is the gradient of two parameters", value.name);
            value.role = Role::kGradient;
            value.of = parameter;
        }
        result.push_back(gradient);
    }
    return result;
}

}  // namespace fer
