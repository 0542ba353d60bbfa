// A plan: what runs, in which order, by which implementation, at which addresses. Pure data, made without hardware.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/graph.hpp"
#include "engine/plan/arena.hpp"
#include "engine/plan/implementation.hpp"
#include "engine/plan/timings.hpp"

namespace fer {

enum class Place : std::uint8_t {
    kNowhere,     // not in the plan
    kInput,       // bound by the caller
    kPersistent,  // parameters, gradients, state: outlive the step, shared by plans of one model
    kArena,       // one step
};

struct Placement {
    Place place = Place::kNowhere;
    std::int64_t offset = 0;  // in the arena
    int first = -1, last = -1;
    ValueId shares = kNoValue;  // the value whose memory this one is (views, in-place results)
};

struct Declined {
    std::string_view implementation;
    std::string reason;
};

struct PlanStep {
    int node = 0;
    OpDesc op;
    const Implementation* implementation = nullptr;  // null for views: nothing to run
    std::vector<Declined> declined;
    std::vector<std::string_view> others;  // PlanOptions::ask_all: would accept it too
    std::vector<Timing> timings;           // of the candidates, fastest first, if they were measured
    int branch = 0;                        // steps of one branch run in order; of two branches at the same time, but
    std::vector<int> after;                // not before these steps of the other branch have ended
    std::int64_t workspace_offset = 0, workspace_bytes = 0;
};

struct Plan {
    Graph graph;
    std::string device;
    std::vector<PlanStep> steps;
    std::vector<Placement> placements;  // per value
    std::int64_t arena_bytes = 0;
    std::int64_t busiest_bytes = 0;
    std::int64_t persistent_bytes = 0;
    std::int64_t gap = 0;  // PlanOptions::gap
    bool overlap = false;  // PlanOptions::overlap, and the device does

    std::int64_t flops() const;
    /// traffic_of() of all steps that run something.
    std::int64_t traffic() const;
};

/// Bytes that a node reads and writes if nothing stays in a cache: every operand once, what is updated in place twice,
/// the 16-bit copies that an optimizer keeps once, and of the data set the batch alone.
std::int64_t traffic_of(const OpDesc& op);

/// Branches of a plan: the first one ends last.
inline constexpr int kBranches = 2;

struct PlanOptions {
    std::map<std::string, std::string> force;     // op name -> implementation name
    std::shared_ptr<const Timings> timings = {};  // measured candidates: the fastest goes before the order of the list
    bool ask_all = false;                         // note refusals of those behind the choice too, and who would take it
    bool overlap = true;                          // if the device overlaps: weight gradients on a branch of their own,
                                                  // and a step is started while the one before still runs
    bool in_place = true;
    bool share = true;     // false: every value gets bytes of its own
    std::int64_t gap = 0;  // canary bytes behind every arena buffer
};

/// "conv2d=reference" and so on, as given on a command line. UsageError for a word without '='.
std::map<std::string, std::string> parse_forced(const std::vector<std::string>& pairs);

/// Drops what nobody needs, picks the implementation of each node, by time if it was measured, else the first that
/// accepts it, and lays out the arena.
/// UsageError: an unknown op or implementation in `force`, a forced implementation that refuses (with its reason),
/// or an op the device does not have.
Plan make_plan(const Graph& graph, const Device& device, const PlanOptions& options = {});

/// The plan as text: one line a step, then totals. `explain`: only the nodes of that name, with every refusal.
std::string describe(const Plan& plan, const std::string& explain = "");

}  // namespace fer
