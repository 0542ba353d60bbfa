// Random training steps on the emulated device, fused and as they are: against the CPU reference, and the same bits
// however memory is laid out.
#include <gtest/gtest.h>

#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/cuda/cuda_device.hpp"
#include "engine/run/executor.hpp"
#include "kernels/emulator/runtime.hpp"
#include "tests/support/counts.hpp"
#include "tests/support/random_graph.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

using Numbers = std::map<std::string, std::vector<double>>;

std::vector<char> bytes_of(const Value& value) {
    const std::vector<double> numbers = starting_numbers(value);
    const auto raw = [](const auto& typed) {
        const auto* begin = reinterpret_cast<const char*>(typed.data());
        return std::vector<char>(begin, begin + typed.size() * sizeof typed[0]);
    };
    switch (value.info.dtype) {
        case DType::kF32:
            return raw(as<float>(numbers));
        case DType::kF64:
            return raw(numbers);
        case DType::kI32:
            return raw(as<std::int32_t>(numbers));
        default:
            return raw(as<std::int64_t>(numbers));
    }
}

/// Kept values and float variables after one step from an arena without content.
Numbers execute(const RandomGraph& random, const Device& device, Runtime& runtime, const PlanOptions& options) {
    const Graph& graph = random.graph;
    Plan plan = make_plan(graph, device, options);
    Plan prepare = make_plan(random.prepared, device, options);
    const Graph* graphs[] = {&graph};
    const Variables variables(graphs, runtime);
    std::map<std::string, const void*> inputs;
    std::vector<Buffer> buffers;
    for (const Value& value : graph.values()) {
        if (value.writer >= 0) {
            continue;
        }
        const std::vector<char> bytes = bytes_of(value);
        if (value.role == Role::kInput) {
            Buffer& buffer = buffers.emplace_back(runtime, static_cast<std::int64_t>(bytes.size()));
            runtime.upload(buffer.data(), bytes.data(), buffer.bytes());
            inputs[value.name] = buffer.data();
        } else {
            variables.write_bytes(variables.at(value.name), bytes.data());
        }
    }
    Arena arena(runtime);
    arena.reserve(std::max(plan.arena_bytes, prepare.arena_bytes));
    if (!runtime.host_memory()) {
        runtime.wait();
        emulated::forget_content(arena.data(), static_cast<std::size_t>(arena.bytes()));
    }
    Executor(std::move(prepare), variables, arena, inputs).run();
    Executor executor(std::move(plan), variables, arena, inputs);
    executor.run();
    Numbers numbers;
    for (const auto& [name, entry] : variables.entries()) {
        if (entry.info.dtype == DType::kF32) {
            const std::vector<float> values = variables.read<float>(name);
            numbers[name] = {values.begin(), values.end()};
        }
    }
    for (const ValueId id : graph.kept()) {
        const std::vector<float> values = executor.read<float>(id);
        numbers[graph.value(id).name] = {values.begin(), values.end()};
    }
    return numbers;
}

TEST(EmulatedRandomGraphs, FollowTheReferenceInEveryLayout) {
    for (std::uint64_t seed = 0; seed < random_graphs(50); ++seed) {
        SCOPED_TRACE(seed);
        const RandomGraph plain(seed, "off");
        const RandomGraph fused(seed, "on");
        const Numbers want = execute(plain, cpu_device(true), host_runtime(), {});
        const Numbers got = execute(fused, emulated::cuda_device(), emulated::cuda_runtime(), {});
        const Numbers got_plain = execute(plain, emulated::cuda_device(), emulated::cuda_runtime(), {});
        ASSERT_EQ(got_plain.size(), want.size());
        for (const auto& [name, values] : want) {
            if (got.contains(name)) {
                expect_rounding_apart(got.at(name), values, name + " of the fused graph");
            } else {  // a folded kernel's gradient comes from another node
                EXPECT_EQ(plain.graph.value(plain.graph.find(name)).role, Role::kGradient) << name;
            }
            expect_rounding_apart(got_plain.at(name), values, name);
        }
        PlanOptions apart;
        apart.in_place = apart.share = false;
        EXPECT_TRUE(execute(fused, emulated::cuda_device(), emulated::cuda_runtime(), apart) == got)
            << "the layout of memory shows in the result";
    }
}

}  // namespace
}  // namespace fer::test
