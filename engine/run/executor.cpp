#include "engine/run/executor.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace fer {
namespace {

constexpr char kCanary = '\x5A';

std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }

}  // namespace

Executor::Executor(Plan plan, const Variables& variables, Arena& arena,
                   const std::map<std::string, const void*>& inputs)
    : plan_(std::move(plan)) {
    FER_CHECK(arena.bytes() >= plan_.arena_bytes, "the arena has {} bytes, the plan needs {}", arena.bytes(),
              plan_.arena_bytes);
    addresses_.assign(plan_.placements.size(), nullptr);
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
        const Value& value = plan_.graph.values()[i];
        switch (plan_.placements[i].place) {
            case Place::kNowhere:
                break;
            case Place::kArena:
                addresses_[i] = arena.data() + plan_.placements[i].offset;
                break;
            case Place::kPersistent:
                addresses_[i] = variables.at(value.name).address;
                break;
            case Place::kInput: {
                const auto found = inputs.find(value.name);
                FER_CHECK(found != inputs.end(), "input '{}' has no data", value.name);
                addresses_[i] = const_cast<void*>(found->second);  // inputs are only ever read
                break;
            }
        }
    }
    for (PlanStep& step : plan_.steps) {
        bound_.push_back({step.implementation == nullptr ? Kernel{} : step.implementation->make(step.op),
                          {},
                          {},
                          {},
                          {},
                          step.workspace_bytes == 0 ? nullptr : arena.data() + step.workspace_offset});
    }
    bind();
}

void Executor::bind() {
    const auto resolve = [this](const std::vector<ValueId>& ids) {
        std::vector<void*> list;
        for (const ValueId id : ids) {
            list.push_back(addresses_[at(id)]);
        }
        return list;
    };
    for (std::size_t s = 0; s < bound_.size(); ++s) {
        const Node& node = plan_.graph.nodes()[static_cast<std::size_t>(plan_.steps[s].node)];
        bound_[s].in = resolve(node.inputs);
        bound_[s].out = resolve(node.outputs);
        bound_[s].state = resolve(node.state);
        bound_[s].ends.clear();
        for (const ValueId id : node.outputs) {
            if (plan_.placements[at(id)].place == Place::kArena && plan_.steps[s].implementation != nullptr) {
                bound_[s].ends.push_back(static_cast<char*>(addresses_[at(id)]) + plan_.graph.value(id).info.bytes());
            }
        }
    }
}

void Executor::rebind(const std::string& input, const void* address) {
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
        if (plan_.placements[i].place == Place::kInput && plan_.graph.values()[i].name == input) {
            addresses_[i] = const_cast<void*>(address);
        }
    }
    bind();
}

void Executor::run() {
    for (std::size_t s = 0; s < bound_.size(); ++s) {
        const Bound& step = bound_[s];
        if (!step.kernel) {
            continue;
        }
        if constexpr (kCanaryBytes > 0) {
            write_canaries(step);
        }
        const auto start = std::chrono::steady_clock::now();
        step.kernel({step.in, step.out, step.state, step.workspace});
        if (!seconds_.empty()) {
            seconds_[s] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        }
        if constexpr (kCanaryBytes > 0) {
            check_canaries(step, plan_.steps[s].op.name);
        }
    }
}

// The plan left kCanaryBytes behind every buffer; a node's outputs get theirs just before it runs.
void Executor::write_canaries(const Bound& step) {
    for (char* end : step.ends) {
        std::memset(end, kCanary, kCanaryBytes);
    }
}

void Executor::check_canaries(const Bound& step, const std::string& node) {
    for (const char* end : step.ends) {
        FER_ASSERT(std::all_of(end, end + kCanaryBytes, [](char c) { return c == kCanary; }),
                   "'{}' wrote past the end of one of its outputs", node);
    }
}

}  // namespace fer
