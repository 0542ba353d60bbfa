#include "engine/graph/features.hpp"

#include <algorithm>
#include <map>

#include "engine/graph/fuse_rules.hpp"

namespace fer {
namespace {

std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }

bool is_gather(const Node& node) { return node.kind == OpKind::kGather || node.kind == OpKind::kImageBatch; }
bool is_layer(const Node& node) {
    return node.kind == OpKind::kConv2d || node.kind == OpKind::kDepthwiseConv || node.kind == OpKind::kDense;
}

/// For each value whether it is a function of the image and of what no node changes; `places`: the nodes that are.
std::vector<char> image_functions(const Graph& step, std::vector<std::size_t>& places) {
    std::vector<char> fixed = rewrite::fixed_values(step);
    std::vector<char> depends(step.values().size(), 0);
    for (std::size_t i = 0; i < step.nodes().size(); ++i) {
        const Node& node = step.nodes()[i];
        if (is_gather(node)) {
            depends[at(node.outputs[0])] = 1;
            continue;
        }
        const bool known =
            std::ranges::all_of(node.inputs, [&](ValueId id) { return fixed[at(id)] + depends[at(id)] > 0; });
        const bool image = std::ranges::any_of(node.inputs, [&](ValueId id) { return depends[at(id)] != 0; });
        if (known && image && node.state.empty()) {
            places.push_back(i);
            for (const ValueId out : node.outputs) {
                depends[at(out)] = 1;
            }
        }
    }
    return depends;
}

/// Copies nodes of one graph into another.
class Copier {
public:
    Copier(const Graph& from, Graph& to) : from_(from), to_(to) {}

    void copy(const Node& node) {
        std::vector<ValueId> inputs;
        for (const ValueId id : node.inputs) {
            inputs.push_back(twin(id));
        }
        const std::vector<ValueId> outputs = to_.apply(node.kind, node.name, node.attrs, inputs);
        for (std::size_t k = 0; k < outputs.size(); ++k) {
            to_.value(outputs[k]).info = from_.value(node.outputs[k]).info;
            known_[node.outputs[k]] = outputs[k];
        }
    }
    ValueId twin(ValueId id) {
        const auto [found, added] = known_.try_emplace(id, kNoValue);
        if (added) {
            const Value& value = from_.value(id);
            found->second = to_.add(value.name, value.role, value.info);
            to_.value(found->second).derived = value.derived;
        }
        return found->second;
    }

private:
    const Graph& from_;
    Graph& to_;
    std::map<ValueId, ValueId> known_;
};

}  // namespace

std::vector<Feature> split_features(Graph& step, Graph& trunk) {
    std::vector<std::size_t> places;
    const std::vector<char> depends = image_functions(step, places);
    if (std::ranges::none_of(places, [&](std::size_t i) { return is_layer(step.nodes()[i]); })) {
        return {};
    }
    Copier copier(step, trunk);
    for (const Node& node : step.nodes()) {
        if (is_gather(node)) {
            copier.copy(node);
        }
    }
    for (const std::size_t i : places) {
        copier.copy(step.nodes()[i]);
    }
    for (auto i = places.rbegin(); i != places.rend(); ++i) {
        step.nodes().erase(step.nodes().begin() + static_cast<std::ptrdiff_t>(*i));
    }
    std::map<ValueId, ValueId> taken;  // in the step: value -> the input in its place
    std::vector<Feature> features;
    for (Node& node : step.nodes()) {
        for (ValueId& id : node.inputs) {
            if (depends[at(id)] == 0) {
                continue;
            }
            const auto [found, added] = taken.try_emplace(id, kNoValue);
            if (added) {
                const TensorInfo info = step.value(id).info;
                const std::string name = "features/" + step.value(id).name;
                found->second = step.add(name, Role::kInput, info);
                features.push_back({name, copier.twin(id), info});
                trunk.keep(features.back().value);
            }
            id = found->second;
        }
    }
    rewrite::number_writers(step);
    return features;
}

}  // namespace fer
