// What a step need not repeat: copies that the optimizer keeps up to date, and results of what nothing changes.
#include <algorithm>
#include <set>

#include "engine/graph/fuse_rules.hpp"
#include "engine/graph/op_table.hpp"

namespace fer::rewrite {
namespace {

std::string prepared_name(const std::string& name) { return "prepared/" + name; }

/// `id` of one graph in the other, by name.
ValueId twin(const Graph& step, Graph& prepared, ValueId id) {
    const Value& value = step.value(id);
    const ValueId there = prepared.find(value.name);
    if (there != kNoValue) {
        return there;
    }
    const ValueId made = prepared.add(value.name, value.role, value.info);
    prepared.value(made).derived = value.derived;
    return made;
}

void mark_derived(Graph& graph, ValueId id) {
    Value& value = graph.value(id);
    value.role = Role::kState;
    value.derived = true;
}

/// Casts of `parameters` to 16 bits, by place in the graph.
std::vector<std::size_t> narrowing_casts(const Graph& graph, const std::set<ValueId>& parameters) {
    std::vector<std::size_t> casts;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Node& node = graph.nodes()[i];
        if (node.kind == OpKind::kCast && parameters.contains(node.inputs[0]) &&
            is_16_bit(std::get<CastAttrs>(node.attrs).to)) {
            casts.push_back(i);
        }
    }
    return casts;
}

void replace_input(Graph& graph, ValueId old, ValueId by) {
    for (Node& node : graph.nodes()) {
        std::ranges::replace(node.inputs, old, by);
    }
}

}  // namespace

namespace {

// Every parameter gets a copy, biases too: then the optimizer writes all of them in one launch.
int shadow(Graph& step, Graph& prepared, std::size_t index) {
    const auto optimizer = step.nodes().begin() + static_cast<std::ptrdiff_t>(index);
    const OpDesc op = step.describe(*optimizer);
    const std::size_t count = op.in.size() - first_gradient(op.in);
    const std::vector<ValueId> parameters(optimizer->state.begin(),
                                          optimizer->state.begin() + static_cast<std::ptrdiff_t>(count));
    const std::vector<std::size_t> casts = narrowing_casts(step, {parameters.begin(), parameters.end()});
    if (casts.empty() || has_shadows(op.state)) {
        return 0;
    }
    const CastAttrs to = std::get<CastAttrs>(step.nodes()[casts[0]].attrs);
    std::vector<ValueId> shadows;
    for (const ValueId p : parameters) {
        const std::string name = prepared_name(fmt::format("{}/{}", step.value(p).name, name_of(to.to)));
        shadows.push_back(step.add(name, Role::kState, {step.value(p).info.shape, to.to}));
        mark_derived(step, shadows.back());
        const ValueId copy = prepared.apply1(OpKind::kCast, name, to, {twin(step, prepared, p)});
        mark_derived(prepared, copy);
        prepared.keep(copy);
    }
    optimizer->state.insert(optimizer->state.end(), shadows.begin(), shadows.end());
    for (auto i = casts.rbegin(); i != casts.rend(); ++i) {
        const Node cast = step.nodes()[*i];
        const auto place = std::ranges::find(parameters, cast.inputs[0]) - parameters.begin();
        replace_input(step, cast.outputs[0], shadows[static_cast<std::size_t>(place)]);
        step.value(cast.outputs[0]).writer = -1;
        step.nodes().erase(step.nodes().begin() + static_cast<std::ptrdiff_t>(*i));
    }
    number_writers(step);
    return static_cast<int>(casts.size());
}

}  // namespace

// The casts of a group stand before its optimizer, so that one moves forward by as many places.
int prepare_shadow(Graph& step, Graph& prepared) {
    int count = 0;
    for (std::size_t i = 0; i < step.nodes().size(); ++i) {
        const int taken = is_optimizer(step.nodes()[i].kind) ? shadow(step, prepared, i) : 0;
        i -= static_cast<std::size_t>(taken);
        count += taken;
    }
    return count;
}

namespace {

/// Places of the nodes that read nothing but what no node of the step changes.
std::vector<std::size_t> unchanging(const Graph& step) {
    std::vector<char> fixed = fixed_values(step);
    const auto is_fixed = [&](ValueId id) { return fixed[static_cast<std::size_t>(id)] != 0; };
    const auto is_kept = [&](ValueId id) { return std::ranges::count(step.kept(), id) > 0; };
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < step.nodes().size(); ++i) {
        const Node& node = step.nodes()[i];
        const bool pure = node.state.empty() && !node.outputs.empty() && !is_view(node.kind);
        if (pure && std::ranges::all_of(node.inputs, is_fixed) && std::ranges::none_of(node.outputs, is_kept)) {
            places.push_back(i);
            for (const ValueId out : node.outputs) {
                fixed[static_cast<std::size_t>(out)] = 1;
            }
        }
    }
    return places;
}

/// The node with its outputs in the other graph; what nodes that stay behind read becomes state of both.
void move_node(Graph& step, Graph& prepared, const Node& node, const std::set<ValueId>& read_outside) {
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs) {
        inputs.push_back(twin(step, prepared, id));
    }
    const std::vector<ValueId> outputs = prepared.apply(node.kind, node.name, node.attrs, inputs);
    for (std::size_t k = 0; k < outputs.size(); ++k) {
        Value& here = step.value(node.outputs[k]);
        Value& there = prepared.value(outputs[k]);
        there.info = here.info;
        here.writer = -1;
        if (read_outside.contains(node.outputs[k])) {
            here.name = prepared_name(here.name);
            mark_derived(step, node.outputs[k]);
            mark_derived(prepared, outputs[k]);
            prepared.keep(outputs[k]);
        }
        there.name = here.name;
    }
}

}  // namespace

int prepare_hoist(Graph& step, Graph& prepared) {
    const std::vector<std::size_t> places = unchanging(step);
    std::vector<Node> moved;
    for (auto i = places.rbegin(); i != places.rend(); ++i) {
        moved.push_back(step.nodes()[*i]);
        step.nodes().erase(step.nodes().begin() + static_cast<std::ptrdiff_t>(*i));
    }
    std::set<ValueId> read_outside;
    for (const Node& node : step.nodes()) {
        read_outside.insert(node.inputs.begin(), node.inputs.end());
    }
    for (auto node = moved.rbegin(); node != moved.rend(); ++node) {
        move_node(step, prepared, *node, read_outside);
    }
    number_writers(step);
    return static_cast<int>(moved.size());
}

}  // namespace fer::rewrite
