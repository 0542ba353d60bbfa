// A static graph: nodes in program order on values with one writer each.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/op.hpp"

namespace fer {

using ValueId = int;
inline constexpr ValueId kNoValue = -1;

/// Where a value lives and who may change it.
enum class Role : std::uint8_t {
    kInput,      // given from outside, read only
    kParameter,  // trained
    kGradient,   // of a parameter, same shape
    kState,      // survives the step and is not trained: moving statistics, moments, counters
    kTemporary,  // lives within one step
};

struct Value {
    std::string name;
    TensorInfo info;
    Role role = Role::kTemporary;
    int writer = -1;        // node that writes it; -1 for inputs, parameters and state
    ValueId of = kNoValue;  // kGradient: its parameter
    bool derived = false;   // kState: a function of parameters and other state, made by Step::prepare and never saved
};

struct Node {
    OpKind kind = OpKind::kCount;
    std::string name;
    Attributes attrs;
    std::vector<ValueId> inputs;
    std::vector<ValueId> outputs;
    std::vector<ValueId> state;  // read and overwritten in place; program order is their order
};

class Graph {
public:
    /// A value nobody in the graph writes.
    ValueId add(std::string name, Role role, TensorInfo info);

    /// Appends a node; its outputs are inferred by the op's row. Errors name the node.
    /// Returns its outputs; `attrs` of the wrong type, and inputs of wrong number, rank or type are UsageErrors.
    std::vector<ValueId> apply(OpKind kind, std::string name, Attributes attrs, std::vector<ValueId> inputs,
                               std::vector<ValueId> state = {});
    /// The same for an op with one output.
    ValueId apply1(OpKind kind, std::string name, Attributes attrs, std::vector<ValueId> inputs,
                   std::vector<ValueId> state = {});

    const Value& value(ValueId id) const { return values_[static_cast<std::size_t>(id)]; }
    Value& value(ValueId id) { return values_[static_cast<std::size_t>(id)]; }
    const std::vector<Value>& values() const { return values_; }
    const std::vector<Node>& nodes() const { return nodes_; }
    std::vector<Node>& nodes() { return nodes_; }

    /// The value of that name, or kNoValue.
    ValueId find(std::string_view name) const;
    OpDesc describe(const Node& node) const;

    /// Marks a value as wanted by the caller: it and what it needs stay in the plan.
    void keep(ValueId id) { kept_.push_back(id); }
    std::span<const ValueId> kept() const { return kept_; }

private:
    std::vector<Value> values_;
    std::vector<Node> nodes_;
    std::vector<ValueId> kept_;
};

}  // namespace fer
