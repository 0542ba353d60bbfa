#include "engine/plan/branches.hpp"

#include <algorithm>
#include <array>

#include "engine/graph/op_table.hpp"

namespace fer {
namespace {

std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }

bool is_off_the_path(OpKind kind) {
    switch (kind) {
        case OpKind::kConv2dWgrad:
        case OpKind::kDepthwiseWgrad:
        case OpKind::kDenseWgrad:
        case OpKind::kBiasGrad:
            return true;
        default:
            return false;
    }
}

/// Bytes that a step touches: of the arena, or all of one persistent value.
struct Access {
    std::int64_t begin, end;
    ValueId persistent;  // kNoValue: of the arena
    bool writes;
};

bool conflict(const Access& a, const Access& b) {
    if ((!a.writes && !b.writes) || a.persistent != b.persistent) {
        return false;
    }
    return a.persistent != kNoValue || (a.begin < b.end && b.begin < a.end);
}

std::vector<Access> accesses(const Plan& plan, const PlanStep& step) {
    std::vector<Access> all;
    if (step.implementation == nullptr) {
        return all;
    }
    const auto add = [&](const std::vector<ValueId>& ids, bool writes) {
        for (ValueId id : ids) {
            const Placement& place = plan.placements[at(id)];
            const std::int64_t bytes = plan.graph.value(id).info.bytes();
            if (place.place == Place::kArena) {
                all.push_back({place.offset, place.offset + bytes, kNoValue, writes});
            } else if (place.place == Place::kPersistent) {
                while (plan.placements[at(id)].shares != kNoValue) {
                    id = plan.placements[at(id)].shares;
                }
                all.push_back({0, 0, id, writes});
            }
        }
    };
    const Node& node = plan.graph.nodes()[static_cast<std::size_t>(step.node)];
    add(node.inputs, false);
    add(node.outputs, true);
    add(node.state, true);
    if (step.workspace_bytes > 0) {
        all.push_back({step.workspace_offset, step.workspace_offset + step.workspace_bytes, kNoValue, true});
    }
    return all;
}

bool conflict(const std::vector<Access>& a, const std::vector<Access>& b) {
    return std::ranges::any_of(a, [&](const Access& mine) {
        return std::ranges::any_of(b, [&](const Access& other) { return conflict(mine, other); });
    });
}

}  // namespace

void assign_branches(Plan& plan) {
    bool any = false;  // step on branch 0 before: what the second branch forks from
    std::ptrdiff_t updates =
        std::ranges::count_if(plan.steps, is_optimizer, [](const PlanStep& s) { return s.op.kind; });
    for (PlanStep& step : plan.steps) {
        updates -= is_optimizer(step.op.kind) ? 1 : 0;
        const bool early = is_optimizer(step.op.kind) && updates > 0;  // the last one ends the step
        step.branch = any && (early || is_off_the_path(step.op.kind)) ? 1 : 0;
        any = any || step.implementation != nullptr;
    }
}

int last_use_beside(const Plan& plan, int s) {
    const auto is_beside = [](const PlanStep& step) { return step.branch == 1; };
    if (!is_beside(plan.steps[static_cast<std::size_t>(s)])) {
        return s;
    }
    const auto next = std::find_if(plan.steps.begin() + s + 1, plan.steps.end(), is_beside);
    return next == plan.steps.end() ? s : static_cast<int>(next - plan.steps.begin());
}

void keep_for_branches(Plan& plan) {
    for (int s = 0; s < static_cast<int>(plan.steps.size()); ++s) {
        const int last = last_use_beside(plan, s);
        const Node& node = plan.graph.nodes()[static_cast<std::size_t>(plan.steps[static_cast<std::size_t>(s)].node)];
        for (const auto* ids : {&node.inputs, &node.outputs}) {
            for (const ValueId id : *ids) {
                plan.placements[at(id)].last = std::max(plan.placements[at(id)].last, last);
            }
        }
    }
}

void order_branches(Plan& plan) {
    std::vector<std::vector<Access>> touched;
    for (const PlanStep& step : plan.steps) {
        touched.push_back(accesses(plan, step));
    }
    // The last step of the other branch that a branch has waited for, and with it everything before.
    std::array<int, kBranches> waited_for{-1, -1};
    for (int s = 0; s < static_cast<int>(plan.steps.size()); ++s) {
        PlanStep& step = plan.steps[static_cast<std::size_t>(s)];
        int& waited = waited_for[static_cast<std::size_t>(step.branch)];
        const bool forks = step.branch == 1 && waited < 0;
        for (int t = s - 1; t > waited; --t) {
            const PlanStep& other = plan.steps[static_cast<std::size_t>(t)];
            if (other.branch == step.branch || other.implementation == nullptr) {
                continue;
            }
            if (forks || conflict(touched[static_cast<std::size_t>(s)], touched[static_cast<std::size_t>(t)])) {
                step.after.push_back(t);
                waited = t;
                break;
            }
        }
    }
}

}  // namespace fer
