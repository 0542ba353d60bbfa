// Rewrites of the forward graph, made before it is differentiated: gradient rules then see the fused nodes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/graph.hpp"

namespace fer {

/// Makes one kind of rewrite wherever it applies. Returns how many it made.
struct FusionRule {
    std::string_view name;
    std::string_view what;
    int (*apply)(Graph&);
};

std::span<const FusionRule> fusion_rules();

struct FusionCount {
    std::string_view rule;
    int count = 0;
};

/// `choice`: "on" for every rule, "off" for none, or rule names separated by commas.
/// UsageError names an unknown rule and the nearest one.
std::vector<FusionCount> fuse(Graph& graph, const std::string& choice);

}  // namespace fer
