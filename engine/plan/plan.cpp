#include "engine/plan/plan.hpp"

#include <algorithm>

#include "engine/core/text.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/plan/branches.hpp"

namespace fer {
namespace {

std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }

/// Nodes that change state or feed something kept, in program order.
std::vector<int> needed_nodes(const Graph& graph) {
    std::vector<char> wanted(graph.values().size(), 0);
    for (const ValueId id : graph.kept()) {
        wanted[at(id)] = 1;
    }
    std::vector<int> needed;
    for (int n = static_cast<int>(graph.nodes().size()) - 1; n >= 0; --n) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
        const bool used =
            !node.state.empty() || std::ranges::any_of(node.outputs, [&](ValueId id) { return wanted[at(id)] != 0; });
        if (used) {
            needed.push_back(n);
            for (const auto* ids : {&node.inputs, &node.state}) {  // what is updated in place was written before
                for (const ValueId id : *ids) {
                    wanted[at(id)] = 1;
                }
            }
        }
    }
    std::ranges::reverse(needed);
    return needed;
}

/// For each value whether it outlives the step and none of `nodes` writes it.
std::vector<char> fixed_values(const Graph& graph, const std::vector<int>& nodes) {
    std::vector<char> fixed;
    for (const Value& value : graph.values()) {
        fixed.push_back(value.role == Role::kParameter || value.role == Role::kState ? 1 : 0);
    }
    for (const int n : nodes) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
        for (const auto* ids : {&node.outputs, &node.state}) {
            for (const ValueId id : *ids) {
                fixed[at(id)] = 0;
            }
        }
    }
    return fixed;
}

void check_forced(const Device& device, const PlanOptions& options) {
    for (const auto& [op, how] : options.force) {
        std::vector<std::string> names;
        const OpSpec* spec = nullptr;
        for (const OpSpec& row : all_ops()) {
            names.emplace_back(row.name);
            spec = row.name == op ? &row : spec;
        }
        if (spec == nullptr) {
            const std::string near = nearest(op, names);
            throw UsageError(fmt::format("unknown op '{}'", op))
                .try_this(near.empty() ? "fer plan MODEL lists the ops" : fmt::format("did you mean '{}'?", near));
        }
        std::vector<std::string> known;
        for (const Implementation& implementation : device.implementations(spec->kind)) {
            known.emplace_back(implementation.name);
        }
        if (std::ranges::count(known, how) == 0) {
            throw UsageError(fmt::format("no implementation '{}' of {} on {}", how, op, device.name()))
                .try_this(fmt::format("one of: {}", fmt::join(known, ", ")));
        }
    }
}

/// Takes `candidate` if it accepts the step; notes the refusal otherwise.
bool accepts(PlanStep& step, const Implementation& candidate) {
    Refusal refusal = candidate.refuses == nullptr ? std::nullopt : candidate.refuses(step.op);
    if (refusal) {
        step.declined.push_back({candidate.name, std::move(*refusal)});
        return false;
    }
    step.implementation = &candidate;
    step.workspace_bytes = candidate.workspace == nullptr ? 0 : candidate.workspace(step.op);
    return true;
}

/// The fastest of those that were measured and still accept the step.
bool choose_by_time(PlanStep& step, std::span<const Implementation> list, const PlanOptions& options) {
    const auto known =
        options.timings == nullptr ? Timings::const_iterator{} : options.timings->find(node_key(step.op));
    if (options.timings == nullptr || known == options.timings->end()) {
        return false;
    }
    step.timings = known->second;
    for (const Timing& timing : step.timings) {
        const auto candidate = std::ranges::find(list, timing.implementation, &Implementation::name);
        if (candidate != list.end() && accepts(step, *candidate)) {
            return true;
        }
    }
    return false;
}

/// Asks those that the choice made needless.
void ask_others(PlanStep& step, std::span<const Implementation> list) {
    for (const Implementation& other : list) {
        const bool asked = &other == step.implementation ||
                           std::ranges::count(step.declined, other.name, &Declined::implementation) > 0;
        if (asked) {
            continue;
        }
        if (Refusal refusal = other.refuses == nullptr ? std::nullopt : other.refuses(step.op)) {
            step.declined.push_back({other.name, std::move(*refusal)});
        } else {
            step.others.push_back(other.name);
        }
    }
}

void choose(PlanStep& step, const Device& device, const PlanOptions& options) {
    const auto list = device.implementations(step.op.kind);
    const auto forced = options.force.find(std::string(name_of(step.op.kind)));
    if (forced == options.force.end() && choose_by_time(step, list, options)) {
        return;
    }
    step.declined.clear();
    for (const Implementation& candidate : list) {
        if (forced != options.force.end() && candidate.name != forced->second) {
            continue;
        }
        if (accepts(step, candidate)) {
            return;
        }
    }
    std::string reasons;
    for (const Declined& d : step.declined) {
        reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", d.implementation, d.reason);
    }
    throw UsageError(
        fmt::format("no implementation of {} '{}' on {}", name_of(step.op.kind), step.op.name, device.name()))
        .because(reasons.empty() ? "the device does not have this op" : reasons);
}

Place place_of(Role role) {
    switch (role) {
        case Role::kInput:
            return Place::kInput;
        case Role::kParameter:
        case Role::kGradient:
        case Role::kState:
            return Place::kPersistent;
        case Role::kTemporary:
            return Place::kArena;
    }
    return Place::kArena;
}

/// Where each value lives, when it is first written and last read.
void find_lifetimes(Plan& plan) {
    const Graph& graph = plan.graph;
    const auto touch = [&](ValueId id, int s) {
        Placement& p = plan.placements[at(id)];
        p.place = place_of(graph.value(id).role);
        p.first = p.first < 0 ? s : p.first;
        p.last = s;
    };
    for (int s = 0; s < static_cast<int>(plan.steps.size()); ++s) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(plan.steps[static_cast<std::size_t>(s)].node)];
        for (const auto* ids : {&node.inputs, &node.outputs, &node.state}) {
            for (const ValueId id : *ids) {
                touch(id, s);
            }
        }
    }
    for (const ValueId id : graph.kept()) {  // beyond the last step, which must not overwrite what it reads either
        plan.placements[at(id)].last = static_cast<int>(plan.steps.size());
    }
}

ValueId owner_of(const Plan& plan, ValueId id) {
    while (plan.placements[at(id)].shares != kNoValue) {
        id = plan.placements[at(id)].shares;
    }
    return id;
}

/// Views take their input's memory; in-place ops take it when it dies there. Owners live as long as their sharers.
void share_memory(Plan& plan, const PlanOptions& options) {
    const Graph& graph = plan.graph;
    for (int s = 0; s < static_cast<int>(plan.steps.size()); ++s) {
        const PlanStep& step = plan.steps[static_cast<std::size_t>(s)];
        const Node& node = graph.nodes()[static_cast<std::size_t>(step.node)];
        const bool view = is_view(node.kind);
        const auto last = static_cast<int>(node.inputs.size()) - 1;
        const int input = view ? 0 : std::min(step.implementation->overwrites, last);
        const bool may = input > 0 ? input == step.implementation->overwrites : may_overwrite(node.kind);
        if (!view && !(options.in_place && options.share && may)) {
            continue;
        }
        const ValueId out = node.outputs[0];
        const ValueId taken = node.inputs[static_cast<std::size_t>(std::max(input, 0))];
        const ValueId owner = owner_of(plan, taken);
        Placement& o = plan.placements[at(owner)];
        Placement& mine = plan.placements[at(out)];
        const bool dies_here =
            o.place == Place::kArena && o.last == s && graph.value(owner).info.bytes() == graph.value(out).info.bytes();
        // An input listed twice would be overwritten while it is still read.
        const auto uses = std::ranges::count_if(node.inputs, [&](ValueId id) { return owner_of(plan, id) == owner; });
        if (view || (dies_here && uses == 1 && mine.place == Place::kArena)) {
            FER_ASSERT(!view || mine.place == Place::kArena, "view '{}' is not temporary", graph.value(out).name);
            mine.shares = taken;
            o.last = std::max(o.last, mine.last);
        }
    }
}

void lay_out(Plan& plan, const PlanOptions& options) {
    std::vector<Lifetime> lifetimes;
    std::vector<ValueId> owners;
    for (std::size_t i = 0; i < plan.placements.size(); ++i) {
        const Placement& p = plan.placements[i];
        const Value& value = plan.graph.values()[i];
        if (p.place == Place::kPersistent) {
            plan.persistent_bytes += value.info.bytes();
        }
        if (p.place == Place::kArena && p.shares == kNoValue) {
            const int last = options.share ? p.last : static_cast<int>(plan.steps.size());
            lifetimes.push_back({options.share ? p.first : 0, last, value.info.bytes()});
            owners.push_back(static_cast<ValueId>(i));
        }
    }
    const std::size_t values = lifetimes.size();
    std::vector<std::size_t> with_workspace;
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
        if (plan.steps[s].workspace_bytes > 0) {
            const int step = static_cast<int>(s);
            lifetimes.push_back({step, std::max(step, last_use_beside(plan, step)), plan.steps[s].workspace_bytes});
            with_workspace.push_back(s);
        }
    }
    const ArenaPlan arena = plan_arena(lifetimes, options.gap);
    plan.arena_bytes = arena.bytes;
    plan.gap = options.gap;
    plan.busiest_bytes = arena.busiest_bytes;
    for (std::size_t i = 0; i < values; ++i) {
        plan.placements[at(owners[i])].offset = arena.offsets[i];
    }
    for (std::size_t i = 0; i < with_workspace.size(); ++i) {
        plan.steps[with_workspace[i]].workspace_offset = arena.offsets[values + i];
    }
    for (std::size_t i = 0; i < plan.placements.size(); ++i) {
        const ValueId owner = owner_of(plan, static_cast<ValueId>(i));
        plan.placements[i].offset = plan.placements[at(owner)].offset;
        plan.placements[i].place =
            plan.placements[i].place == Place::kNowhere ? Place::kNowhere : plan.placements[at(owner)].place;
    }
}

}  // namespace

std::int64_t Plan::flops() const {
    std::int64_t total = 0;
    for (const PlanStep& step : steps) {
        total += flops_of(step.op);
    }
    return total;
}

std::int64_t traffic_of(const OpDesc& op) {
    std::int64_t bytes = 0;
    std::span<const TensorInfo> read = op.in;
    if (reads_data_set(op.kind)) {  // the batch alone, not what it is taken from
        bytes += op.out[0].shape.count();
        read = read.subspan(4);
    }
    for (const std::span<const TensorInfo> tensors : {read, std::span<const TensorInfo>(op.out)}) {
        for (const TensorInfo& info : tensors) {
            bytes += info.bytes();
        }
    }
    const bool copies = is_optimizer(op.kind) && has_shadows(op.state);
    for (const TensorInfo& info : op.state) {
        bytes += (copies && is_16_bit(info.dtype) ? 1 : 2) * info.bytes();
    }
    return bytes;
}

std::int64_t Plan::traffic() const {
    std::int64_t bytes = 0;
    for (const PlanStep& step : steps) {
        bytes += step.implementation == nullptr ? 0 : traffic_of(step.op);
    }
    return bytes;
}

std::map<std::string, std::string> parse_forced(const std::vector<std::string>& pairs) {
    std::map<std::string, std::string> force;
    for (const std::string& pair : pairs) {
        const std::size_t equals = pair.find('=');
        FER_CHECK(equals != std::string::npos, "an implementation is forced by op=name, got '{}'", pair);
        force[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return force;
}

Plan make_plan(const Graph& graph, const Device& device, const PlanOptions& options) {
    check_forced(device, options);
    Plan plan{.graph = graph, .device = std::string(device.name()), .steps = {}, .placements = {}};
    plan.placements.resize(graph.values().size());
    const std::vector<int> needed = needed_nodes(graph);
    const std::vector<char> fixed = fixed_values(graph, needed);
    for (const int n : needed) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(n)];
        PlanStep step;
        step.node = n;
        step.op = graph.describe(node);
        for (std::size_t i = 0; i < std::min<std::size_t>(node.inputs.size(), 32); ++i) {
            step.op.fixed |= fixed[at(node.inputs[i])] != 0 ? std::uint32_t{1} << i : 0;
        }
        if (!is_view(node.kind)) {
            choose(step, device, options);
            if (options.ask_all) {
                ask_others(step, device.implementations(step.op.kind));
            }
        }
        plan.steps.push_back(std::move(step));
    }
    plan.overlap = options.overlap && device.overlaps();
    if (plan.overlap) {
        assign_branches(plan);
    }
    find_lifetimes(plan);
    if (plan.overlap) {
        keep_for_branches(plan);
    }
    share_memory(plan, options);
    lay_out(plan, options);
    if (plan.overlap) {
        order_branches(plan);
    }
    return plan;
}

}  // namespace fer
