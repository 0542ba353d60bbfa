// The naive way to run a graph, for comparing plans with: node after node in program order, every tensor in memory of
// its own, nothing shared, nothing reused. Outputs start as poison and end in sentinels that must survive.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/graph/graph.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/plan/implementation.hpp"
#include "engine/run/buffer.hpp"
#include "tests/support/numbers.hpp"

namespace fer::test {

inline constexpr std::int64_t kSentinelBytes = 64;
inline constexpr unsigned char kSentinel = 0xA5;
inline constexpr unsigned char kPoison = 0xFF;  // NaN in every floating type

/// A tensor with sentinels behind it.
class Guarded {
public:
    explicit Guarded(std::int64_t bytes) : buffer_(host_runtime(), bytes + kSentinelBytes), bytes_(bytes) {
        std::memset(buffer_.data(), kPoison, static_cast<std::size_t>(bytes));
        std::memset(buffer_.data() + bytes, kSentinel, static_cast<std::size_t>(kSentinelBytes));
    }
    void* data() const { return buffer_.data(); }
    std::int64_t bytes() const { return bytes_; }
    void poison() { std::memset(buffer_.data(), kPoison, static_cast<std::size_t>(bytes_)); }
    bool intact() const {
        for (std::int64_t i = 0; i < kSentinelBytes; ++i) {
            if (static_cast<unsigned char>(buffer_.data()[bytes_ + i]) != kSentinel) {
                return false;
            }
        }
        return true;
    }

private:
    Buffer buffer_;
    std::int64_t bytes_;
};

inline std::int64_t workspace_of(const Implementation& implementation, const OpDesc& op) {
    return implementation.workspace == nullptr ? 0 : implementation.workspace(op);
}

/// The first implementation that accepts, as the planner would choose.
inline const Implementation& first_accepting(const Device& device, const OpDesc& op) {
    for (const Implementation& candidate : device.implementations(op.kind)) {
        if (candidate.refuses == nullptr || !candidate.refuses(op)) {
            return candidate;
        }
    }
    throw InternalError(fmt::format("nothing runs {}", op.name));
}

class Interpreter {
public:
    Interpreter(const Graph& graph, const Device& device) : graph_(graph) {
        for (const Value& value : graph.values()) {
            values_.emplace_back(value.info.bytes());
            if (value.writer < 0) {
                std::memset(values_.back().data(), 0, static_cast<std::size_t>(value.info.bytes()));
            }
        }
        for (const Node& node : graph.nodes()) {
            const OpDesc op = graph.describe(node);
            const bool view = is_view(node.kind);
            const Implementation* chosen = view ? nullptr : &first_accepting(device, op);
            steps_.push_back({view ? Kernel{} : chosen->make(op), addresses(node.inputs), addresses(node.outputs),
                              addresses(node.state), Guarded(view ? 0 : workspace_of(*chosen, op))});
        }
    }

    template <class T>
    std::span<T> data(ValueId id) const {
        const Guarded& value = values_[static_cast<std::size_t>(id)];
        return {static_cast<T*>(value.data()), static_cast<std::size_t>(value.bytes()) / sizeof(T)};
    }

    /// Copies numbers into a value, converted to its type.
    void set(ValueId id, const std::vector<double>& numbers) {
        const auto fill = [&]<class T>(T) {
            FER_ASSERT(data<T>(id).size() == numbers.size(), "'{}' holds {} numbers, not {}", graph_.value(id).name,
                       data<T>(id).size(), numbers.size());
            std::ranges::copy(as<T>(numbers), data<T>(id).begin());
        };
        switch (graph_.value(id).info.dtype) {
            case DType::kF32:
                return fill(float{});
            case DType::kF64:
                return fill(double{});
            case DType::kU8:
                return fill(std::uint8_t{});
            case DType::kI32:
                return fill(std::int32_t{});
            case DType::kI64:
                return fill(std::int64_t{});
            default:
                throw InternalError("no such numbers");
        }
    }

    /// Called behind every node, for deliberate damage.
    std::function<void(std::size_t node)> after;

    void run(std::size_t first, std::size_t end) {
        for (std::size_t n = first; n < end; ++n) {
            const Node& node = graph_.nodes()[n];
            Step& step = steps_[n];
            if (step.kernel) {
                step.kernel({step.in, step.out, step.state, step.workspace.data()});
            } else {
                std::memcpy(step.out[0], step.in[0],
                            static_cast<std::size_t>(graph_.value(node.outputs[0]).info.bytes()));
            }
            for (const ValueId id : node.outputs) {
                FER_ASSERT(values_[static_cast<std::size_t>(id)].intact(), "'{}' wrote past its output", node.name);
            }
            FER_ASSERT(step.workspace.intact(), "'{}' wrote past its workspace", node.name);
            if (after) {
                after(n);
            }
        }
    }
    void run() { run(0, graph_.nodes().size()); }

private:
    struct Step {
        Kernel kernel;
        std::vector<void*> in, out, state;
        Guarded workspace;
    };

    std::vector<void*> addresses(const std::vector<ValueId>& ids) const {
        std::vector<void*> list;
        for (const ValueId id : ids) {
            list.push_back(values_[static_cast<std::size_t>(id)].data());
        }
        return list;
    }

    const Graph& graph_;
    std::vector<Guarded> values_;
    std::vector<Step> steps_;
};

}  // namespace fer::test
