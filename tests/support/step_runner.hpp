// A training step on random images, ready to run: what a trainer does, without its loop around it.
#pragma once

#include <algorithm>
#include <cstring>
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
    StepRunner(ModelBuilder model, const StepOptions& options, const Device& device, std::uint64_t seed = 1)
        : training_(training_step(model, options)), evaluation_(evaluation_step(model, options)) {
        const auto images = static_cast<std::size_t>(options.input.images);
        const auto pixels = static_cast<std::size_t>(options.input.stored_height * options.input.stored_width);
        images_ = as<std::uint8_t>(uniform(images * pixels, 5, 0, 256));
        order_.resize(images);
        std::iota(order_.begin(), order_.end(), 0);
        labels_ = order_;
        for (std::int32_t& label : labels_) {
            label %= options.classes;
        }
        const Graph* graphs[] = {&training_.graph, &evaluation_.graph};
        variables_ = std::make_unique<Variables>(graphs);
        initialize(*variables_, training_, seed);
        variables_->get<float>(kLearningRate)[0] = 1e-3f;
        PlanOptions plan_options;
        plan_options.gap = kCanaryBytes;
        Plan train = make_plan(training_.graph, device, plan_options);
        Plan evaluate = make_plan(evaluation_.graph, device, plan_options);
        arena_.reserve(std::max(train.arena_bytes, evaluate.arena_bytes));
        const std::map<std::string, const void*> inputs{
            {kImages, images_.data()}, {kLabels, labels_.data()}, {kOrder, order_.data()}};
        train_ = std::make_unique<Executor>(std::move(train), *variables_, arena_, inputs);
        evaluate_ = std::make_unique<Executor>(std::move(evaluate), *variables_, arena_, inputs);
    }

    /// The loss of the step.
    double train() {
        variables_->get<std::int64_t>(kClock)[kClockCursor] = 0;
        train_->run();
        return scalar(*train_, training_.total_loss);
    }
    double evaluate() {
        variables_->get<std::int64_t>(kEvaluationClock)[kClockCursor] = 0;
        evaluate_->run();
        return scalar(*evaluate_, evaluation_.total_loss);
    }

    const Step& step() const { return training_; }
    const Variables& variables() const { return *variables_; }

    /// Every byte that outlives a step.
    std::vector<char> persistent() const {
        std::vector<char> bytes;
        for (const auto& [name, entry] : variables_->entries()) {
            bytes.insert(bytes.end(), entry.address, entry.address + entry.info.bytes());
        }
        return bytes;
    }

    /// Numbers of a variable or gradient, whatever their type.
    std::vector<double> numbers(ValueId id) const {
        const Value& value = training_.graph.value(id);
        if (value.info.dtype == DType::kF64) {
            const auto values = variables_->get<double>(value.name);
            return {values.begin(), values.end()};
        }
        const auto values = variables_->get<float>(value.name);
        return {values.begin(), values.end()};
    }

private:
    static double scalar(const Executor& executor, ValueId id) {
        return executor.plan().graph.value(id).info.dtype == DType::kF64
                   ? executor.read<double>(id)[0]
                   : static_cast<double>(executor.read<float>(id)[0]);
    }

    Step training_, evaluation_;
    std::vector<std::uint8_t> images_;
    std::vector<std::int32_t> labels_, order_;
    std::unique_ptr<Variables> variables_;
    Arena arena_;
    std::unique_ptr<Executor> train_, evaluate_;
};

}  // namespace fer::test
