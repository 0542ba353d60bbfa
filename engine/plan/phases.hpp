// The part of a step that each node of a plan belongs to.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/plan/plan.hpp"

namespace fer {

enum class Phase : std::uint8_t { kData, kForward, kLoss, kBackward, kOptimizer, kCount };

/// "data", "forward", "loss", "backward", "optimizer".
std::string_view name_of(Phase phase);

/// Per step of the plan. Ops of the forward pass that stand behind the first gradient (sums of gradients, casts) belong
/// to the backward pass; the loss fused with its gradient is loss.
std::vector<Phase> phases_of(const Plan& plan);

}  // namespace fer
