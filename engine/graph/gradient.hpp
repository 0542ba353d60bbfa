// Reverse-mode differentiation: appends the nodes that compute d(loss)/d(parameter).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/graph/graph.hpp"

namespace fer {

/// What a gradient rule sees. d(x) is the gradient of the loss with respect to x.
class Gradients {
public:
    explicit Gradients(Graph& graph) : graph_(graph) {}

    Graph& graph() { return graph_; }
    /// d(output k of node), or kNoValue if the loss does not depend on it.
    ValueId of_output(const Node& node, std::size_t k = 0) const;
    /// Is d(input k of node) needed by anyone?
    bool wanted(const Node& node, std::size_t k) const;
    /// Adds a contribution to d(input k of node).
    void give(const Node& node, std::size_t k, ValueId contribution);

private:
    friend std::vector<ValueId> differentiate(Graph&, ValueId, std::span<const ValueId>, ValueId);

    /// The sum of all contributions to d(value); several are joined by one explicit add.
    ValueId collect(ValueId value);
    void start(ValueId loss, std::span<const ValueId> wrt);

    Graph& graph_;
    std::vector<std::vector<ValueId>> contributions_;  // per value
    std::vector<char> wanted_;                         // per value
};

/// Appends the backward nodes and returns d(loss)/d(p) for each p of `wrt`, marked Role::kGradient when p is a
/// parameter. Only what `wrt` needs is built: with a frozen trunk the backward pass stops at the first trained layer.
/// `scale`: a scalar that multiplies all of them; kNoValue: 1.
/// UsageError if the loss is not a scalar, does not depend on some p, or passes through an op without a gradient.
std::vector<ValueId> differentiate(Graph& graph, ValueId loss, std::span<const ValueId> wrt, ValueId scale = kNoValue);

}  // namespace fer
