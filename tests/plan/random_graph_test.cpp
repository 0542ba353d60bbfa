// Plans of random training steps: memory is never shared by values that are needed at once, and however memory is laid
// out, and against a naive interpreter, every bit is the same.
#include <gtest/gtest.h>

#include <optional>

#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/executor.hpp"
#include "tests/support/counts.hpp"
#include "tests/support/interpreter.hpp"
#include "tests/support/random_graph.hpp"
#include "tests/support/threads.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

std::size_t at(ValueId id) { return static_cast<std::size_t>(id); }

PlanOptions plan_options(bool in_place, bool share) {
    PlanOptions options;
    options.in_place = in_place;
    options.share = share;
    options.gap = kCanaryBytes;
    return options;
}

/// When a value is written and last needed, found from the steps alone: what the placements are judged by.
struct Need {
    int first = -1, last = -1;
};

std::vector<Need> needs_of(const Plan& plan) {
    std::vector<Need> needs(plan.graph.values().size());
    for (int s = 0; s < static_cast<int>(plan.steps.size()); ++s) {
        const Node& node = plan.graph.nodes()[at(plan.steps[at(s)].node)];
        for (const auto* ids : {&node.inputs, &node.outputs}) {
            for (const ValueId id : *ids) {
                Need& need = needs[at(id)];
                need.first = need.first < 0 ? s : need.first;
                need.last = s;
            }
        }
    }
    for (const ValueId id : plan.graph.kept()) {
        needs[at(id)].last = static_cast<int>(plan.steps.size());  // beyond the last step
    }
    return needs;
}

/// The values whose memory `id` is, itself included.
std::set<ValueId> ancestors(const Plan& plan, ValueId id) {
    std::set<ValueId> list{id};
    while (plan.placements[at(id)].shares != kNoValue) {
        id = plan.placements[at(id)].shares;
        list.insert(id);
    }
    return list;
}

/// May `late`, which lies in the memory of `early`, overlap it in time? A view may; an in-place result may in the one
/// step that reads the one and writes the other.
bool may_overlap(const Plan& plan, const std::vector<Need>& needs, ValueId early, ValueId late) {
    if (!ancestors(plan, late).contains(early)) {
        return false;
    }
    ValueId id = late;
    while (id != early) {
        const int writer = plan.graph.value(id).writer;
        if (!is_view(plan.graph.nodes()[at(writer)].kind)) {
            return needs[at(early)].last <= needs[at(id)].first;
        }
        id = plan.placements[at(id)].shares;
    }
    return true;
}

void expect_sound_memory(const Plan& plan) {
    const std::vector<Need> needs = needs_of(plan);
    std::vector<ValueId> arena;
    for (std::size_t i = 0; i < needs.size(); ++i) {
        const Placement& p = plan.placements[i];
        if (p.place == Place::kArena) {
            arena.push_back(static_cast<ValueId>(i));
            EXPECT_LE(p.offset + plan.graph.values()[i].info.bytes(), plan.arena_bytes);
        }
    }
    const auto bytes_of = [&](ValueId id) { return plan.graph.value(id).info.bytes(); };
    const auto apart = [&](std::int64_t a, std::int64_t a_bytes, std::int64_t b, std::int64_t b_bytes) {
        return a + a_bytes <= b || b + b_bytes <= a;
    };
    for (const ValueId a : arena) {
        for (const ValueId b : arena) {
            const bool at_once = needs[at(a)].first <= needs[at(b)].last && needs[at(b)].first <= needs[at(a)].last;
            if (a < b && at_once &&
                !apart(plan.placements[at(a)].offset, bytes_of(a), plan.placements[at(b)].offset, bytes_of(b))) {
                EXPECT_TRUE(may_overlap(plan, needs, a, b) || may_overlap(plan, needs, b, a))
                    << plan.graph.value(a).name << " and " << plan.graph.value(b).name;
            }
        }
        for (int s = needs[at(a)].first; s <= std::min(needs[at(a)].last, static_cast<int>(plan.steps.size()) - 1);
             ++s) {
            const PlanStep& step = plan.steps[at(s)];
            EXPECT_TRUE(step.workspace_bytes == 0 ||
                        apart(plan.placements[at(a)].offset, bytes_of(a), step.workspace_offset, step.workspace_bytes))
                << plan.graph.value(a).name << " and the scratch of " << step.op.name;
        }
    }
}

using Bits = std::map<std::string, std::vector<std::byte>>;

std::vector<std::byte> bytes_at(const void* data, std::int64_t count) {
    const auto* begin = static_cast<const std::byte*>(data);
    return {begin, begin + count};
}

void set_starting_numbers(Interpreter& run, const Graph& graph) {
    for (std::size_t i = 0; i < graph.values().size(); ++i) {
        if (graph.values()[i].writer < 0) {
            run.set(static_cast<ValueId>(i), starting_numbers(graph.values()[i]));
        }
    }
}

/// What the step does not derive itself.
void set_derived(Interpreter& run, const RandomGraph& random, const Device& device) {
    Interpreter prepared(random.prepared, device);
    set_starting_numbers(prepared, random.prepared);
    prepared.run();
    for (const ValueId id : random.prepared.kept()) {
        const ValueId there = random.graph.find(random.prepared.value(id).name);
        std::ranges::copy(prepared.data<std::byte>(id), run.data<std::byte>(there).begin());
    }
}

/// Kept and persistent values after two steps, by the interpreter.
Bits interpret(const RandomGraph& random, const Device& device) {
    const Graph& graph = random.graph;
    Interpreter run(graph, device);
    set_starting_numbers(run, graph);
    set_derived(run, random, device);
    run.run();
    run.run();
    Bits bits;
    for (std::size_t i = 0; i < graph.values().size(); ++i) {
        const Value& value = graph.values()[i];
        const bool persistent = value.role != Role::kInput && value.role != Role::kTemporary;
        if (persistent || std::ranges::count(graph.kept(), static_cast<ValueId>(i)) > 0) {
            bits[value.name] = bytes_at(run.data<std::byte>(static_cast<ValueId>(i)).data(), value.info.bytes());
        }
    }
    return bits;
}

/// The same by a plan.
Bits execute(const RandomGraph& random, const Device& device, const PlanOptions& options) {
    const Graph& graph = random.graph;
    Plan plan = make_plan(graph, device, options);
    Plan prepare = make_plan(random.prepared, device, options);
    expect_sound_memory(plan);
    expect_sound_memory(prepare);
    const Graph* graphs[] = {&graph};
    const Variables variables(graphs);
    std::map<std::string, const void*> inputs;
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<std::int32_t>> integers;
    for (const Value& value : graph.values()) {
        if (value.writer >= 0) {
            continue;
        }
        const std::vector<double> numbers = starting_numbers(value);
        if (value.role == Role::kInput && value.info.dtype == DType::kF32) {
            inputs[value.name] = floats.emplace_back(as<float>(numbers)).data();
        } else if (value.role == Role::kInput) {
            inputs[value.name] = integers.emplace_back(as<std::int32_t>(numbers)).data();
        } else if (value.info.dtype == DType::kF32) {
            std::ranges::copy(as<float>(numbers), variables.get<float>(value.name).begin());
        } else if (value.info.dtype == DType::kF64) {
            std::ranges::copy(numbers, variables.get<double>(value.name).begin());
        } else {
            std::ranges::copy(as<std::int64_t>(numbers), variables.get<std::int64_t>(value.name).begin());
        }
    }
    Arena arena;
    arena.reserve(std::max(plan.arena_bytes, prepare.arena_bytes));
    std::memset(arena.data(), kPoison, static_cast<std::size_t>(arena.bytes()));
    Executor(std::move(prepare), variables, arena, inputs).run();
    Executor executor(std::move(plan), variables, arena, inputs);
    executor.run();
    const std::int64_t allocations = Buffer::allocations();
    executor.run();
    EXPECT_EQ(Buffer::allocations(), allocations) << "a step allocates";

    Bits bits;
    for (const auto& [name, entry] : variables.entries()) {
        bits[name] = bytes_at(entry.address, entry.info.bytes());
    }
    for (const ValueId id : graph.kept()) {
        const auto values = executor.read<float>(id);
        bits[graph.value(id).name] = bytes_at(values.data(), graph.value(id).info.bytes());
    }
    return bits;
}

void expect_same(const Bits& got, const Bits& want, const char* how) {
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [name, bits] : want) {
        EXPECT_TRUE(got.contains(name) && got.at(name) == bits) << name << " differs " << how;
    }
}

const std::uint64_t kSeeds = random_graphs(60);

TEST(RandomGraphs, EveryLayoutGivesTheBitsOfTheInterpreter) {
    const Threads one(1);
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        const RandomGraph random(seed);
        const bool reference = seed % 5 != 0;  // oneDNN builds its primitives slowly: every fifth
        const Device& device = cpu_device(reference);
        const Bits want = interpret(random, device);
        expect_same(execute(random, device, plan_options(true, true)), want, "with sharing in place");
        expect_same(execute(random, device, plan_options(false, true)), want, "with sharing");
        expect_same(execute(random, device, plan_options(false, false)), want, "without sharing");
    }
}

std::vector<float> floats_of(const std::vector<std::byte>& bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
}

TEST(RandomGraphs, FusionChangesNothingButRounding) {
    int derived = 0;
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        SCOPED_TRACE(seed);
        const RandomGraph apart(seed, "off");
        const RandomGraph fused(seed, "on");
        derived += static_cast<int>(fused.prepared.kept().size());
        const Bits want = execute(apart, cpu_device(true), plan_options(true, true));
        const Bits got = execute(fused, cpu_device(true), plan_options(true, true));
        for (const auto& [name, bits] : want) {
            const ValueId id = apart.graph.find(name);
            if (!got.contains(name)) {  // a folded kernel's gradient comes from another node
                EXPECT_EQ(apart.graph.value(id).role, Role::kGradient) << name;
            } else if (apart.graph.value(id).info.dtype == DType::kF32) {
                expect_rounding_apart(floats_of(got.at(name)), floats_of(bits), name);
            }
        }
    }
    EXPECT_GT(derived, 10);
}

TEST(RandomGraphs, SharingSavesMemory) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        const RandomGraph random(seed);
        const Plan shared = make_plan(random.graph, cpu_device(true), plan_options(true, true));
        const Plan apart = make_plan(random.graph, cpu_device(true), plan_options(false, false));
        EXPECT_LT(shared.arena_bytes, apart.arena_bytes) << "seed " << seed;
        EXPECT_GE(shared.arena_bytes, shared.busiest_bytes) << "seed " << seed;
    }
}

}  // namespace
}  // namespace fer::test
