#include "engine/run/executor.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/graph/op_table.hpp"

namespace fer {
namespace {

constexpr char kCanary = '\x5A';

std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }

/// No infinity and no NaN: not all bits of the exponent are set.
template <class Word>
bool all_finite(const std::vector<char>& bytes, Word exponent) {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(Word)) {
        Word word;
        std::memcpy(&word, bytes.data() + i, sizeof word);
        if ((word & exponent) == exponent) {
            return false;
        }
    }
    return true;
}

bool all_finite(const std::vector<char>& bytes, DType dtype) {
    switch (dtype) {
        case DType::kF64:
            return all_finite(bytes, std::uint64_t{0x7ff0'0000'0000'0000});
        case DType::kF32:
            return all_finite(bytes, std::uint32_t{0x7f80'0000});
        case DType::kBF16:
            return all_finite(bytes, std::uint16_t{0x7f80});
        case DType::kF16:
            return all_finite(bytes, std::uint16_t{0x7c00});
        default:
            return true;
    }
}

const trace::Name& range_name(Phase phase) {
    static const std::vector<trace::Name> names = [] {
        std::vector<trace::Name> all;
        for (int i = 0; i < static_cast<int>(Phase::kCount); ++i) {
            all.emplace_back(std::string(name_of(static_cast<Phase>(i))));
        }
        return all;
    }();
    return names[static_cast<std::size_t>(phase)];
}

trace::Work work_of(const OpDesc& op) {
    trace::Work work{.flops = flops_of(op), .bytes = traffic_of(op)};
    const Shape shape = op.out.empty() ? op.state.empty() ? Shape{} : op.state[0].shape : op.out[0].shape;
    for (std::size_t i = 0; i < std::min(work.shape.size(), static_cast<std::size_t>(shape.rank())); ++i) {
        work.shape[i] = shape[static_cast<int>(i)];
    }
    return work;
}

}  // namespace

Executor::Executor(Plan plan, const Variables& variables, Arena& arena,
                   const std::map<std::string, const void*>& inputs, bool record)
    : plan_(std::move(plan)),
      variables_(variables),
      runtime_(arena.runtime()),
      record_(record),
      phases_(phases_of(plan_)) {
    FER_ASSERT(&variables.runtime() == &runtime_, "variables and arena belong to two runtimes");
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
        names_.emplace_back(step.op.name);
        works_.push_back(work_of(step.op));
        const Node& node = plan_.graph.nodes()[static_cast<std::size_t>(step.node)];
        writes_ = writes_ || !node.state.empty() || std::ranges::any_of(node.outputs, [this](ValueId id) {
                      return plan_.placements[at(id)].place == Place::kPersistent;
                  });
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
        if (bound_[s].workspace != nullptr) {
            bound_[s].ends.push_back(static_cast<char*>(bound_[s].workspace) + plan_.steps[s].workspace_bytes);
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
    recording_.reset();
}

// The first run is never recorded: on it kernels may still set themselves up.
void Executor::run() {
    if (!record_ || !seconds_.empty() || plan_.gap > 0) {
        return run_step_by_step();
    }
    if (recording_ != nullptr) {
        const Pass pass(*this);
        return recording_->start();
    }
    run_step_by_step();
    recording_ = runtime_.record([this] { enqueue_branches(); }, plan_.overlap);
    record_ = recording_ != nullptr;
}

void Executor::enqueue_branches() {
    const auto mark_of = [this](int step) -> Mark& {
        std::unique_ptr<Mark>& mark = marks_[step];
        if (mark == nullptr) {
            mark = runtime_.mark();
        }
        return *mark;
    };
    recorded_nodes_.clear();
    std::vector<char> waited_for(bound_.size(), 0);
    int last_beside = -1;
    for (const PlanStep& step : plan_.steps) {
        for (const int other : step.after) {
            waited_for[static_cast<std::size_t>(other)] = 1;
        }
    }
    for (std::size_t s = 0; s < bound_.size(); ++s) {
        const PlanStep& step = plan_.steps[s];
        for (const int other : step.after) {
            mark_of(other).wait(step.branch);
        }
        const std::int64_t before = runtime_.recorded_nodes();
        enqueue(s, step.branch);
        recorded_nodes_.emplace_back(before, runtime_.recorded_nodes());
        if (waited_for[s] != 0) {
            mark_of(static_cast<int>(s)).set(step.branch);
        }
        last_beside = step.branch == 0 ? last_beside : static_cast<int>(s);
    }
    if (last_beside >= 0) {
        mark_of(last_beside).set(1);
        mark_of(last_beside).wait(0);
    }
}

void Executor::run_step_by_step() {
    const Pass pass(*this);
    const bool guarded = plan_.gap > 0;
    std::optional<trace::Range> phase;
    for (std::size_t s = 0; s < bound_.size(); ++s) {
        const Bound& step = bound_[s];
        if (s == 0 || phases_[s] != phases_[s - 1]) {
            phase.reset();  // ranges lie in each other: the old one ends first
            phase.emplace(range_name(phases_[s]));
        }
        if (guarded) {
            write_canaries(step);
        }
        if (seconds_.empty()) {
            enqueue(s);
        } else {
            seconds_[s] += runtime_.seconds([&] { enqueue(s); });
        }
        if (guarded) {
            check_canaries(step, plan_.steps[s].op.name);
            poison_the_dead(s);
        }
    }
}

void Executor::run_before(std::size_t step) {
    for (std::size_t s = 0; s < step; ++s) {
        enqueue(s);
    }
}

void Executor::enqueue(std::size_t s, int branch) const {
    const Bound& step = bound_[s];
    if (!step.kernel) {
        return;
    }
    const trace::Range range(names_[s], &works_[s]);
    try {
        step.kernel({step.in, step.out, step.state, step.workspace, runtime_.queue(branch), generation_});
    } catch (const DeviceError& error) {
        throw DeviceError(fmt::format("node '{}': {}", plan_.steps[s].op.name, error.what()))
            .because(error.why())
            .counts_as(error.fault());
    }
}

std::string Executor::find_not_finite() {
    const Pass pass(*this);
    for (std::size_t s = 0; s < bound_.size(); ++s) {
        enqueue(s);
        const Node& node = plan_.graph.nodes()[static_cast<std::size_t>(plan_.steps[s].node)];
        for (const ValueId id : node.outputs) {
            const TensorInfo& info = plan_.graph.value(id).info;
            std::vector<char> bytes(static_cast<std::size_t>(info.bytes()));
            runtime_.download(bytes.data(), addresses_[at(id)], info.bytes());
            if (!all_finite(bytes, info.dtype)) {
                return node.name;
            }
        }
    }
    return {};
}

// All bits set: NaN in every floating type.
void Executor::poison_the_dead(std::size_t s) const {
    for (std::size_t i = 0; i < plan_.placements.size(); ++i) {
        const Placement& place = plan_.placements[i];
        if (place.place == Place::kArena && place.shares == kNoValue && place.last == static_cast<int>(s)) {
            const std::vector<char> poison(static_cast<std::size_t>(plan_.graph.values()[i].info.bytes()), '\xFF');
            runtime_.upload(addresses_[i], poison.data(), std::ssize(poison));
        }
    }
}

// A node's results and scratch memory get theirs just before it runs.
void Executor::write_canaries(const Bound& step) const {
    const std::vector<char> canary(static_cast<std::size_t>(plan_.gap), kCanary);
    for (char* end : step.ends) {
        runtime_.upload(end, canary.data(), plan_.gap);
    }
}

void Executor::check_canaries(const Bound& step, const std::string& node) const {
    std::vector<char> found(static_cast<std::size_t>(plan_.gap));
    for (const char* end : step.ends) {
        runtime_.download(found.data(), end, plan_.gap);
        FER_ASSERT(std::ranges::count(found, kCanary) == plan_.gap,
                   "'{}' wrote past the end of a result or of its scratch memory", node);
    }
}

}  // namespace fer
