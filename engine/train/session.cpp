#include "engine/train/session.hpp"

#include <algorithm>

namespace fer {
namespace {

StepOptions with_data(StepOptions options, const Dataset& data) {
    options.input.images = data.size();
    options.input.stored_height = data.height;
    options.input.stored_width = data.width;
    return options;
}

StepOptions with_batch(StepOptions options, std::int64_t batch) {
    options.batch = batch;
    return options;
}

Variables make_variables(const Step& training, const Step& evaluation, Session::Use use) {
    std::vector<const Graph*> graphs;
    if (use == Session::Use::kTrain) {
        graphs.push_back(&training.graph);
    }
    graphs.push_back(&evaluation.graph);
    return Variables(graphs);
}

Metrics to_metrics(std::span<const double> sums) {
    const double images = std::max(1.0, sums[kMetricImages]);
    return {sums[kMetricLoss] / images, sums[kMetricHits] / images, static_cast<std::int64_t>(sums[kMetricImages]),
            sums[kMetricNonFinite] == 0};
}

}  // namespace

Session::Session(ModelBuilder model, StepOptions options, const Dataset& data, const Device& device, Use use,
                 PlanOptions plan)
    : model_(model),
      options_(with_data(std::move(options), data)),
      data_(data),
      device_(device),
      use_(use),
      plan_(std::move(plan)),
      training_(use == Use::kTrain ? training_step(model, options_) : Step{}),
      evaluation_(evaluation_step(model, options_)),
      variables_(make_variables(training_, evaluation_, use)),
      training_order_(static_cast<std::size_t>(data.size())),
      evaluation_order_(static_cast<std::size_t>(data.size())) {
    FER_CHECK(data.size() > 0, "the data set is empty");
    plan_.gap = kCanaryBytes;
}

void Session::set_order(std::span<const std::int32_t> order, std::int64_t cursor) {
    FER_CHECK(order.size() <= training_order_.size(), "{} images asked of a data set of {}", order.size(),
              data_.size());
    std::ranges::copy(order, training_order_.begin());
    variables_.get<std::int64_t>(kClock)[kClockCursor] = cursor;
}

void Session::train(std::int64_t images) { executor(Use::kTrain, images).run(); }

Metrics Session::training_metrics() const { return to_metrics(variables_.get<double>(kMetrics)); }

void Session::clear_training_metrics() { std::ranges::fill(variables_.get<double>(kMetrics), 0.0); }

void Session::set_learning_rate(float rate) { variables_.get<float>(kLearningRate)[0] = rate; }

void Session::set_class_weights(std::span<const float> weights) {
    std::ranges::copy(weights, variables_.get<float>(kClassWeights).begin());
}

Evaluation Session::evaluate(std::span<const std::int32_t> indices) {
    std::ranges::copy(indices, evaluation_order_.begin());
    const std::span<double> sums = variables_.get<double>(kEvaluationMetrics);
    std::ranges::fill(sums, 0.0);
    const std::span<std::int64_t> clock = variables_.get<std::int64_t>(kEvaluationClock);
    clock[kClockCursor] = 0;
    Evaluation result;
    const auto total = static_cast<std::int64_t>(indices.size());
    result.probabilities.reserve(static_cast<std::size_t>(total * options_.classes));
    while (clock[kClockCursor] < total) {
        Executor& run = executor(Use::kEvaluateOnly, std::min(options_.batch, total - clock[kClockCursor]));
        run.run();
        const std::span<const float> p = run.read<float>(evaluation_.probabilities);
        result.probabilities.insert(result.probabilities.end(), p.begin(), p.end());
    }
    result.metrics = to_metrics(sums);
    return result;
}

Executor& Session::executor(Use use, std::int64_t images) {
    std::unique_ptr<Executor>& slot = executors_[{use, images}];
    if (slot != nullptr) {
        return *slot;
    }
    const StepOptions options = with_batch(options_, images);
    const Step step = use == Use::kTrain ? training_step(model_, options) : evaluation_step(model_, options);
    Plan plan = make_plan(step.graph, device_, plan_);
    if (plan.arena_bytes > arena_.bytes()) {
        executors_.clear();
        arena_.reserve(plan.arena_bytes);
    }
    const std::map<std::string, const void*> inputs{
        {kImages, data_.pixels.data()},
        {kLabels, data_.labels.data()},
        {kOrder, (use == Use::kTrain ? training_order_ : evaluation_order_).data()}};
    auto& made = executors_[{use, images}];
    made = std::make_unique<Executor>(std::move(plan), variables_, arena_, inputs);
    return *made;
}

}  // namespace fer
