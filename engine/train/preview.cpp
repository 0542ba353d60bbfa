#include "engine/train/preview.hpp"

#include <algorithm>
#include <cmath>

#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/executor.hpp"
#include "engine/train/trainer.hpp"

namespace fer {

Dataset augmented_images(const Config& config, const Dataset& data, std::span<const std::int32_t> indices,
                         std::int64_t step) {
    Config as_stored = config;
    as_stored.data.rescale = 1;
    as_stored.train.batch = static_cast<int>(indices.size());
    as_stored.augment.mixup_until = 1;
    StepOptions options = step_options(as_stored, data.height, data.width, 1, static_cast<int>(data.classes.size()));
    options.input.images = data.size();
    options.input.stored_height = data.height;
    options.input.stored_width = data.width;
    const Step input = input_step(options);
    const Graph* graphs[] = {&input.graph};
    const Variables variables(graphs);
    variables.write(kClock, config.train.seed, kClockSeed);
    variables.write(kClock, step, kClockStep);
    PlanOptions how;
    how.gap = kCanaryBytes;
    Plan plan = make_plan(input.graph, cpu_device(), how);
    Arena arena;
    arena.reserve(plan.arena_bytes);
    std::vector<std::int32_t> order(indices.begin(), indices.end());
    order.resize(static_cast<std::size_t>(data.size()));  // as long as the step's
    Executor executor(std::move(plan), variables, arena,
                      {{kImages, data.pixels.data()}, {kLabels, data.labels.data()}, {kOrder, order.data()}}, false);
    executor.run_step_by_step();

    Dataset seen;
    seen.classes = data.classes;
    seen.height = data.height;
    seen.width = data.width;
    for (const std::int32_t index : indices) {
        seen.labels.push_back(data.labels[static_cast<std::size_t>(index)]);
    }
    for (const float value : executor.read<float>(input.input)) {
        seen.pixels.push_back(static_cast<std::uint8_t>(std::clamp(std::round(value), 0.0f, 255.0f)));
    }
    return seen;
}

}  // namespace fer
