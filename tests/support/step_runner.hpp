// A training step on random images, ready to run: what a trainer does, without its loop around it.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "engine/graph/step.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/executor.hpp"
#include "tests/support/numbers.hpp"

namespace fer::test {

/// `images` random pictures with labels 0, 1, ... 6, 0, ...; every step takes the first `batch` of them.
class StepRunner {
public:
    StepRunner(
        ModelBuilder model, const StepOptions& options, const Device& device, std::uint64_t seed = 1,
        Runtime& runtime = host_runtime(), bool record = true, std::int64_t gap = kCanaryBytes,
        const std::function<void(Plan&)>& edit = [](Plan&) {})
        : training_(training_step(model, fused(options, device))),
          evaluation_(evaluation_step(model, fused(options, device))),
          arena_(runtime) {
        const auto images = static_cast<std::size_t>(options.input.images);
        const auto pixels = static_cast<std::size_t>(options.input.stored_height * options.input.stored_width);
        const std::vector<std::uint8_t> bytes = as<std::uint8_t>(uniform(images * pixels, 5, 0, 256));
        std::vector<std::int32_t> order(images);
        std::iota(order.begin(), order.end(), 0);
        std::vector<std::int32_t> labels = order;
        for (std::int32_t& label : labels) {
            label %= options.classes;
        }
        const Graph* graphs[] = {&training_.graph, &evaluation_.graph};
        variables_ = std::make_unique<Variables>(graphs, runtime);
        initialize(*variables_, training_, seed);
        variables_->write(kLearningRate, 1e-3f);
        PlanOptions plan_options;
        plan_options.gap = gap;
        Plan train = make_plan(training_.graph, device, plan_options);
        Plan evaluate = make_plan(evaluation_.graph, device, plan_options);
        edit(train);
        Plan before_train = make_plan(training_.prepare, device, plan_options);
        Plan before_evaluate = make_plan(evaluation_.prepare, device, plan_options);
        arena_.reserve(
            std::max({train.arena_bytes, evaluate.arena_bytes, before_train.arena_bytes, before_evaluate.arena_bytes}));
        const std::map<std::string, const void*> inputs{
            {kImages, resident(bytes)}, {kLabels, resident(labels)}, {kOrder, resident(order)}};
        train_ = std::make_unique<Executor>(std::move(train), *variables_, arena_, inputs, record);
        evaluate_ = std::make_unique<Executor>(std::move(evaluate), *variables_, arena_, inputs, record);
        before_evaluate_ = std::make_unique<Executor>(std::move(before_evaluate), *variables_, arena_, inputs, false);
        Executor(std::move(before_train), *variables_, arena_, inputs, false).run();
    }

    /// The loss of the step.
    double train() {
        variables_->write(kClock, std::int64_t{0}, kClockCursor);
        train_->run();
        return scalar(*train_, training_.total_loss);
    }
    double evaluate() {
        variables_->write(kEvaluationClock, std::int64_t{0}, kClockCursor);
        before_evaluate_->run();
        evaluate_->run();
        return scalar(*evaluate_, evaluation_.total_loss);
    }

    const Step& step() const { return training_; }
    bool recorded() const { return train_->recorded(); }
    const Variables& variables() const { return *variables_; }

    /// Every byte that outlives a step.
    std::vector<char> persistent() const {
        std::vector<char> bytes;
        for (const auto& [name, entry] : variables_->entries()) {
            const std::vector<char> more = variables_->read_bytes(entry);
            bytes.insert(bytes.end(), more.begin(), more.end());
        }
        return bytes;
    }

    /// Numbers of a variable or gradient, whatever their type.
    std::vector<double> numbers(ValueId id) const {
        const Value& value = training_.graph.value(id);
        if (value.info.dtype == DType::kF64) {
            return variables_->read<double>(value.name);
        }
        const auto values = variables_->read<float>(value.name);
        return {values.begin(), values.end()};
    }

private:
    static StepOptions fused(StepOptions options, const Device& device) {
        options.fuse = fusions_for(device, options.fuse);
        return options;
    }
    static double scalar(const Executor& executor, ValueId id) {
        return executor.plan().graph.value(id).info.dtype == DType::kF64
                   ? executor.read<double>(id)[0]
                   : static_cast<double>(executor.read<float>(id)[0]);
    }

    template <class T>
    const void* resident(const std::vector<T>& values) {
        const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
        inputs_.emplace_back(arena_.runtime(), bytes);
        arena_.runtime().upload(inputs_.back().data(), values.data(), bytes);
        return inputs_.back().data();
    }

    Step training_, evaluation_;
    Arena arena_;
    std::vector<Buffer> inputs_;
    std::unique_ptr<Variables> variables_;
    std::unique_ptr<Executor> train_, evaluate_, before_evaluate_;
};

}  // namespace fer::test
