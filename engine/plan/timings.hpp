// What implementations of a node took when they were measured.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/graph/op.hpp"

namespace fer {

struct Timing {
    std::string implementation;
    double microseconds = 0;
    bool operator==(const Timing&) const = default;
};

/// By node_key(); of one device, candidates fastest first.
using Timings = std::map<std::string, std::vector<Timing>>;

/// Everything about a node that its time depends on, in words: kind, attributes, shapes and types, not its name.
/// Empty for ops that are not measured: one implementation a device, or next to no work.
std::string node_key(const OpDesc& op);

}  // namespace fer
