#include "engine/train/session.hpp"

#include <algorithm>
#include <numeric>

namespace fer {
namespace {

StepOptions with_batch(StepOptions options, std::int64_t batch) {
    options.batch = batch;
    return options;
}

std::vector<const Graph*> graphs_of(const Step& training, const Step& evaluation, Session::Use use) {
    return use == Session::Use::kTrain ? std::vector{&training.graph, &evaluation.graph}
                                       : std::vector{&evaluation.graph};
}

constexpr std::int64_t kIndexBytes = sizeof(std::int32_t);

template <class T>
Buffer resident(Runtime& runtime, std::span<const T> data) {
    Buffer buffer(runtime, static_cast<std::int64_t>(data.size_bytes()));
    runtime.upload(buffer.data(), data.data(), buffer.bytes());
    return buffer;
}

/// Those of the caller with what data and device decide.
StepOptions session_options(const StepOptions& given, const Dataset& data, const Device& device) {
    FER_CHECK(data.size() > 0, "the data set is empty");
    StepOptions options = given;
    options.input.images = data.size();
    options.input.stored_height = data.height;
    options.input.stored_width = data.width;
    options.fuse = fusions_for(device, given.fuse);
    return options;
}

/// Bytes of a session that steps `batch` images at a time.
std::int64_t bytes_needed(const ModelBuilder& model, const StepOptions& options, const Dataset& data,
                          const Device& device, Session::Use use, const PlanOptions& how) {
    const Step training = use == Session::Use::kTrain ? training_step(model, options) : Step{};
    const Step evaluation = evaluation_step(model, options);
    const Plan plan = make_plan(use == Session::Use::kTrain ? training.graph : evaluation.graph, device, how);
    const std::int64_t resident = static_cast<std::int64_t>(data.pixels.size()) + 3 * data.size() * kIndexBytes;
    return plan.arena_bytes + Variables::bytes_of(graphs_of(training, evaluation, use)) + resident;
}

/// MemoryError, before anything is allocated, with need, free memory and the largest batch that fits.
PlanOptions checked_for_memory(const ModelBuilder& model, const StepOptions& options, const Dataset& data,
                               const Device& device, const Runtime& runtime, Session::Use use, PlanOptions how) {
    how.gap = kCanaryBytes;
    const std::optional<std::int64_t> free = runtime.free_bytes();
    if (!free) {
        return how;
    }
    const auto needed = [&](std::int64_t batch) {
        return bytes_needed(model, with_batch(options, batch), data, device, use, how);
    };
    const std::int64_t need = needed(options.batch);
    if (need <= *free) {
        return how;
    }
    std::int64_t fits = 0;
    for (std::int64_t bad = options.batch; bad - fits > 1;) {
        const std::int64_t middle = (fits + bad) / 2;
        (needed(middle) <= *free ? fits : bad) = middle;
    }
    const auto gigabytes = [](std::int64_t bytes) { return static_cast<double>(bytes) * 1e-9; };
    throw MemoryError(fmt::format("out of device memory: batch {} needs {:.2f} GB, {:.2f} GB are free", options.batch,
                                  gigabytes(need), gigabytes(*free)))
        .try_this(fits == 0 ? "a smaller --width, or --device cpu" : fmt::format("--batch {} fits", fits));
}

/// With the times of what the session's steps may choose among: memory is planned with the choices that will run.
PlanOptions tuned(PlanOptions how, Tuner* tuner, const ModelBuilder& model, const StepOptions& options,
                  Session::Use use) {
    if (tuner != nullptr) {
        tuner->tune(
            (use == Session::Use::kTrain ? training_step(model, options) : evaluation_step(model, options)).graph);
        how.timings = tuner->timings();
    }
    return how;
}

const trace::Name& step_name() {
    static const trace::Name name("step");
    return name;
}

Metrics to_metrics(std::span<const double> sums) {
    const double images = std::max(1.0, sums[kMetricImages]);
    return {sums[kMetricLoss] / images, sums[kMetricHits] / images, static_cast<std::int64_t>(sums[kMetricImages]),
            sums[kMetricNonFinite] == 0};
}

}  // namespace

Session::Session(const ModelBuilder& model, const StepOptions& options, const Dataset& data, const Device& device,
                 Runtime& runtime, Use use, PlanOptions plan, bool record, std::shared_ptr<Tuner> tuner)
    : model_(model),
      options_(session_options(options, data, device)),
      data_(data),
      device_(device),
      runtime_(runtime),
      use_(use),
      tuner_(std::move(tuner)),
      plan_(checked_for_memory(model, options_, data, device, runtime, use,
                               tuned(std::move(plan), tuner_.get(), model, options_, use))),
      record_(record),
      training_(use == Use::kTrain ? training_step(model, options_) : Step{}),
      evaluation_(evaluation_step(model, options_)),
      variables_(graphs_of(training_, evaluation_, use), runtime),
      arena_(runtime),
      images_(runtime),
      labels_(runtime),
      training_order_(runtime, data.size() * kIndexBytes),
      evaluation_order_(runtime, data.size() * kIndexBytes) {
    if (!runtime.host_memory()) {
        images_ = resident(runtime, std::span(data.pixels));
        labels_ = resident(runtime, std::span(data.labels));
    }
    if (use == Use::kTrain && options_.cache_features) {
        features_.emplace(training_, options_, runtime);
    }
    if (use == Use::kTrain) {
        const Variables::Entry& metrics = variables_.at(kMetrics);
        watch_ = runtime.watch(metrics.address, metrics.info.bytes());
    }
}

void Session::upload_images(std::int64_t images) {
    if (!runtime_.host_memory()) {
        runtime_.upload(images_.data(), data_.pixels.data(), images * data_.height * data_.width);
    }
}

void Session::set_order(std::span<const std::int32_t> order, std::int64_t cursor) {
    FER_CHECK(static_cast<std::int64_t>(order.size()) <= data_.size(), "{} images asked of a data set of {}",
              order.size(), data_.size());
    runtime_.upload(training_order_.data(), order.data(), static_cast<std::int64_t>(order.size_bytes()));
    variables_.write(kClock, cursor, kClockCursor);
    if (features_) {
        order_.assign(order.begin(), order.end());
        cursor_ = cursor;
    }
}

void Session::fill_features() {
    if (features_->filled()) {
        return;
    }
    const auto total = std::ssize(order_);
    const std::int64_t batch = std::min(options_.batch, total);
    for (std::int64_t begin = 0; begin < total; begin += batch) {
        const std::int64_t first = std::min(begin, total - batch);  // full batches alone, the last one again in part
        variables_.write(kClock, first, kClockCursor);
        prepare(Use::kTrain);
        Executor& trunk = executor({Use::kTrain, kTrunk});
        trunk.run();
        features_->store(trunk,
                         std::span(order_).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(batch)));
    }
    features_->mark_filled();
    variables_.write(kClock, cursor_, kClockCursor);
}

void Session::train(std::int64_t images, bool updates) {
    if (features_) {
        fill_features();
        features_->load(std::span(order_).subspan(static_cast<std::size_t>(cursor_), static_cast<std::size_t>(images)));
        cursor_ += images;
    }
    prepare(Use::kTrain);
    const trace::Range range(step_name());
    executor({Use::kTrain, images, updates}).run();
    prepared_.erase(Use::kEvaluateOnly);
}

void Session::prepare(Use use) {
    const Step& step = use == Use::kTrain ? training_ : evaluation_;
    std::uint64_t& done = prepared_[use];
    if (done != variables_.changes() && !step.prepare.nodes().empty()) {
        const trace::Range range(trace::Name("prepare"));
        executor({use, 0}).run();
        done = variables_.changes();
    }
}

Metrics Session::training_metrics() const { return to_metrics(variables_.read<double>(kMetrics)); }

std::optional<Metrics> Session::glance_at_metrics() {
    watch_->refresh();
    const void* sums = watch_->arrived();
    if (sums == nullptr) {
        return std::nullopt;
    }
    return to_metrics({static_cast<const double*>(sums), kMetricFields});
}

std::string Session::find_not_finite() {
    variables_.write(kClock, std::int64_t{0}, kClockCursor);
    const std::int64_t images = std::min(options_.batch, data_.size());
    if (features_) {
        features_->load(std::span(order_).first(static_cast<std::size_t>(std::min(images, std::ssize(order_)))));
    }
    return executor({Use::kTrain, images}).find_not_finite();
}

void Session::clear_training_metrics() { variables_.clear(kMetrics); }

void Session::set_learning_rate(float rate) { variables_.write(kLearningRate, rate); }

void Session::profile(bool begin) {
    runtime_.wait();
    runtime_.profile(begin);
}

void Session::set_class_weights(std::span<const float> weights) { variables_.write(kClassWeights, weights); }

void Session::swap_averages() {
    for (const Variable& variable : training_.variables) {
        const std::string& name = training_.graph.value(variable.id).name;
        const Variables::Entry& now = variables_.at(name);
        const Variables::Entry& average = variables_.at(kAverages + name);
        const std::vector<char> bytes = variables_.read_bytes(now);
        variables_.write_bytes(now, variables_.read_bytes(average).data());
        variables_.write_bytes(average, bytes.data());
    }
}

void Session::set_averages() {
    for (const Variable& variable : training_.variables) {
        const std::string& name = training_.graph.value(variable.id).name;
        variables_.write_bytes(variables_.at(kAverages + name), variables_.read_bytes(variables_.at(name)).data());
    }
}

Evaluation Session::evaluate(std::span<const std::int32_t> indices) {
    const trace::Range range(trace::Name("eval"));
    runtime_.upload(evaluation_order_.data(), indices.data(), static_cast<std::int64_t>(indices.size_bytes()));
    variables_.clear(kEvaluationMetrics);
    variables_.write(kEvaluationClock, std::int64_t{0}, kClockCursor);
    prepare(Use::kEvaluateOnly);
    Evaluation result;
    const auto total = static_cast<std::int64_t>(indices.size());
    result.probabilities.reserve(static_cast<std::size_t>(total * options_.classes));
    for (std::int64_t done = 0; done < total; done += options_.batch) {
        Executor& run = executor({Use::kEvaluateOnly, std::min(options_.batch, total - done)});
        {
            const trace::Range step(step_name());
            run.run();
        }
        const std::vector<float> p = run.read<float>(evaluation_.probabilities);
        result.probabilities.insert(result.probabilities.end(), p.begin(), p.end());
    }
    result.metrics = to_metrics(variables_.read<double>(kEvaluationMetrics));
    return result;
}

Executor& Session::steps(Use use, std::int64_t images) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(data_.size()));
    std::iota(order.begin(), order.end(), 0);
    const Buffer& to = use == Use::kTrain ? training_order_ : evaluation_order_;
    runtime_.upload(to.data(), order.data(), to.bytes());
    rewind(use);
    prepare(use);
    return executor({use, images});
}

void Session::rewind(Use use) {
    variables_.write(use == Use::kTrain ? kClock : kEvaluationClock, std::int64_t{0}, kClockCursor);
}

Plan Session::make_step_plan(const Work& work) const {
    if (work.images == 0) {
        return make_plan((work.use == Use::kTrain ? training_ : evaluation_).prepare, device_, plan_);
    }
    if (work.images == kTrunk) {
        return make_plan(features_->trunk(), device_, plan_);
    }
    StepOptions options = with_batch(options_, work.images);
    options.updates = work.updates;
    Step step = work.use == Use::kTrain ? training_step(model_, options) : evaluation_step(model_, options);
    if (work.use == Use::kTrain && features_) {
        Graph trunk;
        split_features(step.graph, trunk);
    }
    if (tuner_ != nullptr) {
        tuner_->tune(step.graph);
    }
    return make_plan(step.graph, device_, plan_);
}

Executor& Session::executor(const Work& work) {
    std::unique_ptr<Executor>& slot = executors_[work];
    if (slot != nullptr) {
        return *slot;
    }
    Plan plan = make_step_plan(work);
    if (plan.arena_bytes > arena_.bytes()) {
        executors_.clear();
        arena_.reserve(plan.arena_bytes);
    }
    std::map<std::string, const void*> inputs{
        {kImages, runtime_.host_memory() ? static_cast<const void*>(data_.pixels.data()) : images_.data()},
        {kLabels, runtime_.host_memory() ? static_cast<const void*>(data_.labels.data()) : labels_.data()},
        {kOrder, (work.use == Use::kTrain ? training_order_ : evaluation_order_).data()}};
    if (features_) {
        inputs.merge(features_->inputs());
    }
    auto& made = executors_[work];
    made = std::make_unique<Executor>(std::move(plan), variables_, arena_, inputs, record_);
    return *made;
}

}  // namespace fer
