// Rewrites of a graph: most before it is differentiated, so that gradient rules see the fused nodes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/graph.hpp"

namespace fer {

/// Of a forward graph, whose gradient is then that of the fused nodes; of a whole step; or of what a step need not
/// repeat.
enum class FusionStage : std::uint8_t { kForward, kStep, kPrepare };

/// Makes one kind of rewrite wherever it applies. Returns how many it made.
struct FusionRule {
    std::string_view name;
    std::string_view what;
    FusionStage stage;
    int (*apply)(Graph&);                          // null at kPrepare
    int (*prepare)(Graph& step, Graph& prepared);  // kPrepare alone
};

std::span<const FusionRule> fusion_rules();

struct FusionCount {
    std::string_view rule;
    int count = 0;
};

/// The rules of `choice` but one.
std::string without_rule(const std::string& choice, std::string_view rule);

/// `choice`: "on" for every rule, "off" for none, or rule names separated by commas.
/// UsageError names an unknown rule and the nearest one.
std::vector<FusionCount> fuse(Graph& graph, const std::string& choice, FusionStage stage = FusionStage::kForward);

/// The rules of kPrepare: moves nodes whose results no step changes from `step` to `prepared`, a graph of its own.
/// Their results become state of both graphs, marked derived and named "prepared/...": whoever sets or changes a
/// parameter or any other state of `step` runs `prepared` before the next step. Values of one name are one tensor, so a
/// training and an evaluation step of one model share what they both derive. Nothing derived depends on the size of a
/// batch.
std::vector<FusionCount> prepare(Graph& step, Graph& prepared, const std::string& choice);

}  // namespace fer
