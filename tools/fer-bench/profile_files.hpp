// The nodes of a profiled step, and the files that are made of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "engine/measure/peaks.hpp"
#include "engine/measure/results.hpp"
#include "engine/plan/phases.hpp"

namespace fer::tool {

struct NodeRow {
    std::size_t step = 0;
    std::string name, implementation, next_best;
    Phase phase = Phase::kForward;
    double ms = 0, share = 0;
    std::int64_t flops = 0, bytes = 0;
    Limit limit;
    std::pair<std::int64_t, std::int64_t> recorded{0, 0};

    double percent_of_limit() const { return ms == 0 ? 0 : 100 * limit.seconds * 1e3 / ms; }
};

/// What was profiled.
struct ProfileTitle {
    std::string model, phase;
    int batch = 0;
    std::string precision, device;
    double step_ms = 0;  // the sum of the nodes
};

/// Everything, with the graph nodes of each node.
Json profile_json(const std::vector<NodeRow>& rows, const ProfileTitle& title, const Peaks& peaks);
/// The keys of trtexec's --exportProfile, and ours behind them.
Json trtexec_json(const std::vector<NodeRow>& rows, int steps);
/// Trace events, which Perfetto and chrome://tracing open: one step, its nodes behind each other.
Json trace_json(std::vector<NodeRow> rows);
/// A picture: the phases of the step in proportion, then the longest nodes, each with its limit inside of its time.
std::string profile_svg(std::vector<NodeRow> rows, const ProfileTitle& title);

}  // namespace fer::tool
