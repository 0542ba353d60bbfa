#include "engine/interchange/run_network.hpp"

#include "engine/run/executor.hpp"

namespace fer {

std::vector<float> run_network(const ModelBuilder& build, const VariableValues& values, const Shape& images,
                               std::span<const float> pixels, const RunOptions& options, const Device& device) {
    FER_CHECK(static_cast<std::int64_t>(pixels.size()) == images.count(), "{} pixels for images {}", pixels.size(),
              images.str());
    Graph graph;
    const ValueId clock = graph.add("clock", Role::kState, {{kClockFields}, DType::kI64});
    const ValueId input = graph.add("input", Role::kInput, {images, DType::kF32});
    // A value of the graph's own, as in a step: a plan may then lay views on it.
    const ValueId first = graph.apply1(OpKind::kRescale, "copy of the input", RescaleAttrs{1.0f, {}}, {input});
    Net net(graph, first, clock, {.mode = Mode::kInfer, .width = options.width});
    build(net);
    ValueId output = net.here();
    if (options.softmax) {
        output = graph.apply1(OpKind::kSoftmax, "softmax of the output", NoAttrs{}, {output});
    }
    graph.keep(output);
    VariableValues weights;
    for (const Variable& variable : net.variables()) {
        const std::string& name = graph.value(variable.id).name;
        const auto found = values.find(name);
        FER_CHECK(found != values.end(), "there are no values for '{}'", name);
        weights[name] = found->second;
    }
    return run_once(graph, output, weights, pixels, device);
}

std::vector<float> run_once(const Graph& graph, ValueId output, const VariableValues& weights,
                            std::span<const float> pixels, const Device& device) {
    const Graph* graphs[] = {&graph};
    const Variables variables(graphs);
    for (const auto& [name, bytes] : weights) {
        variables.write_bytes(variables.at(name), bytes);
    }
    PlanOptions how;
    how.gap = kCanaryBytes;
    Plan plan = make_plan(graph, device, how);
    Arena arena;
    arena.reserve(plan.arena_bytes);
    Executor executor(std::move(plan), variables, arena, {{"input", pixels.data()}}, false);
    executor.run_step_by_step();
    return executor.read<float>(output);
}

}  // namespace fer
