// Rewrites of a graph: most before it is differentiated, so that gradient rules see the fused nodes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/graph.hpp"

namespace fer {

/// Of a forward graph, whose gradient is then that of the fused nodes, or of a whole step.
enum class FusionStage : std::uint8_t { kForward, kBackward };

/// Makes one kind of rewrite wherever it applies. Returns how many it made.
struct FusionRule {
    std::string_view name;
    std::string_view what;
    FusionStage stage;
    int (*apply)(Graph&);
};

std::span<const FusionRule> fusion_rules();

struct FusionCount {
    std::string_view rule;
    int count = 0;
};

/// `choice`: "on" for every rule, "off" for none, or rule names separated by commas.
/// UsageError names an unknown rule and the nearest one.
std::vector<FusionCount> fuse(Graph& graph, const std::string& choice, FusionStage stage = FusionStage::kForward);

}  // namespace fer
