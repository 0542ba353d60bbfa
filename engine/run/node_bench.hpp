// One node by itself, on random operands in memory of its own: what it computes and how long it takes.
#pragma once

#include <functional>
#include <vector>

#include "engine/plan/implementation.hpp"
#include "engine/run/buffer.hpp"

namespace fer {

class NodeBench {
public:
    /// All operands are floating: others would have to mean something.
    static bool can_draw(const OpDesc& op);

    /// Inputs uniform in [-1, 1), state zero. MemoryError if they do not fit.
    NodeBench(OpDesc op, Runtime& runtime);
    NodeBench(const NodeBench&) = delete;
    NodeBench& operator=(const NodeBench&) = delete;

    /// The implementation that the other members speak of; it must accept the node. Runs it once.
    void set(const Implementation& how);
    /// The bytes of every output as the last run left them.
    std::vector<std::vector<char>> results() const;
    /// Of one run: the median of seven groups of ten, back to back; of what takes longer than 2 ms, a single one.
    double seconds() const;

private:
    double repeated() const;

    OpDesc op_;
    Runtime& runtime_;
    std::vector<Buffer> in_, out_, state_;
    Buffer workspace_;
    std::function<void()> enqueue_;
};

/// The implementations of the device that take the node, in the order of its list.
std::vector<const Implementation*> accepting(const Device& device, const OpDesc& op);

}  // namespace fer
