#include "engine/graph/graph.hpp"

#include "engine/graph/op_table.hpp"

namespace fer {

ValueId Graph::add(std::string name, Role role, TensorInfo info) {
    values_.push_back({.name = std::move(name), .info = info, .role = role});
    return static_cast<ValueId>(values_.size()) - 1;
}

std::vector<ValueId> Graph::apply(OpKind kind, std::string name, Attributes attrs, std::vector<ValueId> inputs,
                                  std::vector<ValueId> state) {
    const OpSpec& spec = spec_of(kind);
    Node node{kind, std::move(name), std::move(attrs), std::move(inputs), {}, std::move(state)};
    std::vector<TensorInfo> infos;
    try {
        infos = spec.infer(describe(node));
    } catch (const UsageError& error) {
        throw UsageError(fmt::format("{} '{}': {}", spec.name, node.name, error.what()));
    }

    std::string_view names = spec.outputs;
    for (const TensorInfo& info : infos) {
        const std::string_view suffix = names.substr(0, names.find(' '));
        names.remove_prefix(std::min(names.size(), suffix.size() + 1));
        const bool first = node.outputs.empty();
        const ValueId id = add(first ? node.name : fmt::format("{}.{}", node.name, suffix), Role::kTemporary, info);
        value(id).writer = static_cast<int>(nodes_.size());
        node.outputs.push_back(id);
    }
    nodes_.push_back(node);
    return node.outputs;
}

ValueId Graph::apply1(OpKind kind, std::string name, Attributes attrs, std::vector<ValueId> inputs,
                      std::vector<ValueId> state) {
    const auto outputs = apply(kind, std::move(name), std::move(attrs), std::move(inputs), std::move(state));
    FER_ASSERT(!outputs.empty(), "{} has no output", name_of(kind));
    return outputs.front();
}

ValueId Graph::find(std::string_view name) const {
    for (std::size_t i = 0; i < values_.size(); ++i) {
        if (values_[i].name == name) {
            return static_cast<ValueId>(i);
        }
    }
    return kNoValue;
}

OpDesc Graph::describe(const Node& node) const {
    OpDesc op{.kind = node.kind, .name = node.name, .attrs = node.attrs, .in = {}, .out = {}, .state = {}};
    const auto infos = [this](const std::vector<ValueId>& ids) {
        std::vector<TensorInfo> list;
        for (const ValueId id : ids) {
            list.push_back(value(id).info);
        }
        return list;
    };
    op.in = infos(node.inputs);
    op.out = infos(node.outputs);
    op.state = infos(node.state);
    return op;
}

}  // namespace fer
