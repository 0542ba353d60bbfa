// The plan as a person reads it.
#include <algorithm>
#include <map>

#include "engine/core/text.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/plan/plan.hpp"

namespace fer {
namespace {

std::string mib(std::int64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20)); }

std::string step_note(const Plan& plan, const PlanStep& step) {
    const Node& node = plan.graph.nodes()[static_cast<std::size_t>(step.node)];
    std::vector<std::string> notes;
    const auto* with_images = std::get_if<ImageConvAttrs>(&step.op.attrs);
    if (const auto* conv = with_images == nullptr ? std::get_if<ConvAttrs>(&step.op.attrs) : &with_images->conv) {
        if (conv->activation != Activation::kNone) {
            notes.emplace_back(conv->activation == Activation::kRelu ? "relu" : "relu6");
        }
        if (step.op.kind == OpKind::kConv2d && step.op.in.size() >= 3) {
            notes.emplace_back(step.op.in.size() == 4 ? "bias, residual" : "bias");
        }
        if (with_images != nullptr && step.op.in.size() == 6) {
            notes.emplace_back("bias");
        }
        if (conv->statistics) {
            notes.emplace_back("statistics");
        }
    }
    if (const auto* dense = std::get_if<DenseAttrs>(&step.op.attrs)) {
        if (dense->activation != Activation::kNone) {
            notes.emplace_back("relu");
        }
    }
    if (!node.outputs.empty() && plan.placements[static_cast<std::size_t>(node.outputs[0])].shares != kNoValue) {
        notes.emplace_back(is_view(node.kind) ? "view" : "in place");
    }
    if (step.workspace_bytes > 0) {
        notes.push_back(fmt::format("scratch {}", mib(step.workspace_bytes)));
    }
    if (step.implementation != nullptr && step.implementation->note != nullptr) {
        notes.push_back(step.implementation->note(step.op));
    }
    if (step.branch != 0) {
        notes.emplace_back("beside");
    }
    return fmt::format("{}", fmt::join(notes, ", "));
}

std::string location(const Plan& plan, ValueId id) {
    const Placement& p = plan.placements[static_cast<std::size_t>(id)];
    switch (p.place) {
        case Place::kArena:
            return std::to_string(p.offset);
        case Place::kPersistent:
            return "kept";
        case Place::kInput:
            return "input";
        case Place::kNowhere:
            return "-";
    }
    return "-";
}

std::string explain_step(const Plan& plan, const PlanStep& step) {
    const Node& node = plan.graph.nodes()[static_cast<std::size_t>(step.node)];
    std::string text = fmt::format("{} '{}'\n", name_of(step.op.kind), step.op.name);
    const auto list = [&](const char* what, const std::vector<ValueId>& ids) {
        for (const ValueId id : ids) {
            const Value& value = plan.graph.value(id);
            const Placement& p = plan.placements[static_cast<std::size_t>(id)];
            text += fmt::format("  {:<8}{:<44} {:<20} {:<5} {:>12} bytes  at {:<10} steps {}..{}\n", what, value.name,
                                value.info.shape.str(), name_of(value.info.dtype), value.info.bytes(),
                                location(plan, id), p.first, p.last);
        }
    };
    list("reads", node.inputs);
    list("writes", node.outputs);
    list("updates", node.state);
    for (const Timing& timing : step.timings) {
        text += fmt::format("  {} measured: {:.1f} us\n", timing.implementation, timing.microseconds);
    }
    for (const Declined& d : step.declined) {
        text += fmt::format("  {} declined: {}\n", d.implementation, d.reason);
    }
    for (const std::string_view other : step.others) {
        text += fmt::format("  {} would take it\n", other);
    }
    for (const int other : step.after) {
        text += fmt::format("  beside  branch {}, after '{}'\n", step.branch,
                            plan.steps[static_cast<std::size_t>(other)].op.name);
    }
    text += fmt::format("  runs    {}\n  flops   {}\n",
                        step.implementation == nullptr ? "nothing: a view" : step.implementation->name,
                        thousands(flops_of(step.op)));
    return text;
}

/// Every reason once, with the nodes it was given for.
std::string declined_text(const Plan& plan) {
    std::map<std::string, std::vector<std::string>> nodes;
    for (const PlanStep& step : plan.steps) {
        for (const Declined& d : step.declined) {
            nodes[fmt::format("{}.{}: {}", name_of(step.op.kind), d.implementation, d.reason)].push_back(step.op.name);
        }
    }
    std::string text;
    for (const auto& [reason, names] : nodes) {
        const std::string more = names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : "";
        text += fmt::format("declined {} ({}{})\n", reason, names[0], more);
    }
    return text;
}

}  // namespace

std::string describe(const Plan& plan, const std::string& explain) {
    if (!explain.empty()) {
        std::string text;
        std::vector<std::string> names;
        for (const PlanStep& step : plan.steps) {
            names.push_back(step.op.name);
            if (step.op.name == explain || step.op.name.starts_with(explain + "/")) {
                text += explain_step(plan, step);
            }
        }
        if (text.empty()) {
            const std::string near = nearest(explain, names);
            throw UsageError(fmt::format("the plan has no node '{}'", explain))
                .try_this(near.empty() ? "fer plan MODEL lists the nodes" : fmt::format("did you mean '{}'?", near));
        }
        return text;
    }

    std::size_t widest = 4;
    for (const PlanStep& step : plan.steps) {
        widest = std::max(widest, step.op.name.size());
    }
    std::string text = fmt::format("step  {:<{}}  {:<33} {:<20} {:>11} {:>12} {:>9}  note\n", "node", widest,
                                   "implementation", "writes", "offset", "bytes", "MFLOP");
    for (std::size_t s = 0; s < plan.steps.size(); ++s) {
        const PlanStep& step = plan.steps[s];
        const Node& node = plan.graph.nodes()[static_cast<std::size_t>(step.node)];
        const bool writes = !node.outputs.empty();
        const std::size_t main = step.op.kind == OpKind::kImageConv ? 2 : 0;  // the convolution's, not the images
        const auto megaflops = static_cast<double>(flops_of(step.op)) * 1e-6;
        std::string line =
            fmt::format("{:>4}  {:<{}}  {:<33} {:<20} {:>11} {:>12} {:>9}  {}", s, step.op.name, widest,
                        fmt::format("{}.{}", name_of(step.op.kind),
                                    step.implementation == nullptr ? "view" : step.implementation->name),
                        writes ? step.op.out[main].shape.str() : fmt::format("{} tensors", step.op.state.size()),
                        writes ? location(plan, node.outputs[main]) : "kept", writes ? step.op.out[main].bytes() : 0,
                        megaflops == 0 ? "" : fmt::format("{:.1f}", megaflops), step_note(plan, step));
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    text += declined_text(plan);
    text += fmt::format(
        "peak {}: arena {} (busiest step {}), weights, gradients and state {}\n"
        "{:.2f} GFLOP and {} of memory traffic a step, 0 allocations\n",
        mib(plan.arena_bytes + plan.persistent_bytes), mib(plan.arena_bytes), mib(plan.busiest_bytes),
        mib(plan.persistent_bytes), static_cast<double>(plan.flops()) * 1e-9, mib(plan.traffic()));
    return text;
}

}  // namespace fer
