#include "engine/plan/phases.hpp"

#include <array>

#include "engine/graph/op_table.hpp"

namespace fer {
namespace {

bool between(OpKind kind, OpKind first, OpKind last) { return kind >= first && kind <= last; }

bool is_loss(OpKind kind) {
    return kind == OpKind::kSoftmaxXent || kind == OpKind::kL2Penalty || kind == OpKind::kMetrics ||
           kind == OpKind::kConstant || kind == OpKind::kLossScale;  // the last two: what the gradient begins with
}

}  // namespace

std::string_view name_of(Phase phase) {
    constexpr std::array<std::string_view, static_cast<std::size_t>(Phase::kCount)> kNames{"data", "forward", "loss",
                                                                                           "backward", "optimizer"};
    return kNames[static_cast<std::size_t>(phase)];
}

std::vector<Phase> phases_of(const Plan& plan) {
    std::vector<Phase> phases;
    bool backward = false;
    for (const PlanStep& step : plan.steps) {
        const OpKind kind = step.op.kind;
        backward = backward || between(kind, OpKind::kConv2dDgrad, OpKind::kL2Grad);
        const bool sums_losses = kind == OpKind::kAdd && step.op.name == "total_loss";
        phases.push_back(between(kind, OpKind::kGather, OpKind::kImageBatch) ? Phase::kData
                         : is_loss(kind) || sums_losses                      ? Phase::kLoss
                         : between(kind, OpKind::kAdam, OpKind::kAdvance)    ? Phase::kOptimizer
                         : backward                                          ? Phase::kBackward
                                                                             : Phase::kForward);
    }
    return phases;
}

}  // namespace fer
