#include "engine/train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "engine/core/file.hpp"
#include "engine/core/random.hpp"
#include "engine/core/schedule.hpp"

namespace fer {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double seconds_since_1970() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

EarlyStopping::Options options_of(const EarlyStoppingConfig& c) {
    return {c.monitor, c.patience, c.min_delta, std::nullopt, c.restore_best_weights, c.start_from_epoch};
}

ReduceLrOnPlateau::Options options_of(const ReduceLrConfig& c) {
    return {c.monitor, c.factor, c.patience, c.min_delta, c.cooldown, c.min_lr};
}

/// n / (classes * n_c), as sklearn's "balanced"; one for a class without images.
std::vector<float> balanced_weights(const Dataset& data, const Split& split) {
    const std::vector<std::int64_t> counts = class_counts(data, split.train);
    std::vector<float> weights;
    for (const std::int64_t count : counts) {
        const double share = static_cast<double>(split.train.size()) / static_cast<double>(counts.size());
        weights.push_back(count == 0 ? 1.0f : static_cast<float>(share / static_cast<double>(count)));
    }
    return weights;
}

}  // namespace

EpochLength epoch_length(const Config& config, std::int64_t training_images) {
    const std::int64_t steps = (training_images + config.train.batch - 1) / config.train.batch;
    return {steps, (steps + config.train.accumulate - 1) / config.train.accumulate};
}

namespace {

Schedule schedule_of(const Config& config, std::int64_t updates) {
    const ScheduleConfig& s = config.schedule;
    const ScheduleKind kind = s.name == "cosine"      ? ScheduleKind::kCosine
                              : s.name == "one_cycle" ? ScheduleKind::kOneCycle
                                                      : ScheduleKind::kConstant;
    return {.kind = kind, .steps = updates, .warmup = s.warmup, .start = s.start, .end = s.end};
}

MixupAttrs mixup_of(const Config& config, std::int64_t steps) {
    const double until = config.augment.mixup_until;
    return {.alpha = static_cast<float>(config.augment.mixup),
            .until = until < 1 ? static_cast<std::int64_t>(until * static_cast<double>(steps)) : -1,
            .stream = stream_of("mixup")};
}

}  // namespace

StepOptions step_options(const Config& config, int height, int width, int channels, int classes,
                         std::int64_t training_images) {
    const EpochLength epoch = epoch_length(config, training_images);
    StepOptions options;
    options.batch = config.train.batch;
    options.input.height = height;
    options.input.width = width;
    options.input.channels = channels;
    options.input.bilinear = config.data.resize == "bilinear";
    options.input.rescale.scale = static_cast<float>(config.data.rescale);
    options.input.augment = augment_attrs(config);
    options.input.augment_evaluation = config.augment.keras_augment_validation;
    options.classes = classes;
    options.width = static_cast<float>(config.train.width);
    options.label_smoothing = static_cast<float>(config.train.label_smoothing);
    options.optimizer = optimizer_attrs(config);
    options.mixup = mixup_of(config, epoch.steps * config.train.epochs);
    options.schedule = schedule_of(config, epoch.updates * config.train.epochs);
    options.clip = {static_cast<float>(config.optimizer.global_clipnorm),
                    static_cast<float>(config.optimizer.clipvalue)};
    options.ema = static_cast<float>(config.train.ema);
    options.accumulate = config.train.accumulate;
    options.rate_groups = rate_groups(config);
    options.cache_features = config.train.feature_cache;
    options.fuse = config.train.fuse;
    return options;
}

Trainer::Trainer(const Config& config, const ModelCard& card, Session& session, const Dataset& data, const Split& split,
                 TrainFiles files, TrainObserver& observer)
    : config_(config),
      card_(card),
      session_(session),
      split_(split),
      files_(std::move(files)),
      observer_(observer),
      early_stopping_(options_of(config.early_stopping)),
      reduce_lr_(options_of(config.reduce_lr)),
      best_(config.checkpoint.monitor) {
    FER_CHECK(!split.train.empty(), "there are no training images");
    FER_CHECK(!split.validation.empty(), "there are no validation images");
    initialize(session_.variables(), session_.step(), static_cast<std::uint64_t>(config.train.seed));
    session_.set_learning_rate(static_cast<float>(config.optimizer.lr));
    if (config.train.class_weight == "balanced") {
        session_.set_class_weights(balanced_weights(data, split));
    }
    if (!files_.folder.empty()) {
        make_folder(files_.best().parent_path());
    }
}

void Trainer::resume() {
    progress_ = read_state(files_.state(), session_.variables(), best_weights_);
    early_stopping_.restore(progress_.early_stopping);
    reduce_lr_.restore(progress_.reduce_lr);
    best_.restore(progress_.best);
}

void Trainer::tell_profiler(std::int64_t step) const {
    if (step == profiled_.first) {
        session_.profile(true);
    }
    if (step == profiled_.second) {
        session_.profile(false);
    }
}

Outcome Trainer::run(const std::atomic<bool>& stop) {
    if (averages() && progress_.epoch == 0 && progress_.images == 0) {
        session_.set_averages();
    }
    open_tensorboard();
    while (!progress_.finished && progress_.epoch < config_.train.epochs) {
        if (!train_epoch_on_device(stop)) {
            save();
            return Outcome::kInterrupted;
        }
        const bool stops = end_of_epoch();
        progress_.finished = stops;
        save();
        if (tensorboard_ != nullptr) {
            tensorboard_->add(progress_.history.back(), seconds_since_1970());
        }
        if (stop && !stops && progress_.epoch < config_.train.epochs) {
            return Outcome::kInterrupted;
        }
    }
    return progress_.finished ? Outcome::kStoppedEarly : Outcome::kFinished;
}

void Trainer::open_tensorboard() {
    if (!config_.train.tensorboard || files_.folder.empty()) {
        return;
    }
    const auto images = static_cast<std::int64_t>(split_.train.size());
    const bool pictured = std::filesystem::exists(files_.augmented());
    tensorboard_ = std::make_unique<TensorBoardLog>(
        TensorBoardOptions{.folder = files_.folder,
                           .plateau = config_.reduce_lr.enabled,
                           .updates_per_epoch = epoch_length(config_, images).updates,
                           .picture = pictured ? files_.augmented() : std::filesystem::path()},
        progress_.history);
}

// What lies in the memory of a device that failed is not saved.
bool Trainer::train_epoch_on_device(const std::atomic<bool>& stop) {
    try {
        return train_epoch(stop);
    } catch (const DeviceError& error) {
        throw DeviceError(
            fmt::format("{}, in epoch {} at image {}", error.what(), progress_.epoch + 1, progress_.images))
            .because(error.why())
            .try_this("fer doctor; the last saved state is whole: --resume goes on from it")
            .counts_as(error.fault());
    }
}

// False: interrupted. The order of an epoch depends on the seed and its number only.
bool Trainer::train_epoch(const std::atomic<bool>& stop) {
    std::vector<std::int32_t> order = split_.train;
    const auto seed = static_cast<std::uint64_t>(config_.train.seed);
    shuffle(order, RandomStream(seed, static_cast<std::uint64_t>(progress_.epoch), stream_of("shuffle")));
    session_.set_order(order, progress_.images);
    if (progress_.images == 0) {
        session_.clear_training_metrics();
    }
    const auto total = static_cast<std::int64_t>(order.size());
    const std::int64_t batch = config_.train.batch;
    const std::int64_t steps = epoch_length(config_, total).steps;
    const trace::Range range(trace::Name(fmt::format("epoch/{}", progress_.epoch + 1)));
    observer_.epoch_begins(progress_.epoch + 1, config_.train.epochs, steps);
    const auto start = std::chrono::steady_clock::now();
    while (progress_.images < total) {
        if (stop) {
            progress_.seconds += seconds_since(start);
            return false;
        }
        const std::int64_t images = std::min(batch, total - progress_.images);
        tell_profiler(steps_done_++);
        const std::int64_t step = (progress_.images + images + batch - 1) / batch;  // from 1
        session_.train(images, step % config_.train.accumulate == 0 || step == steps);
        progress_.images += images;
        // On a device that runs behind the host the newest metrics are some steps old, or have been shown already.
        if (const std::optional<Metrics> seen = session_.glance_at_metrics()) {
            if (!seen->finite) {
                refuse_divergence(false);
            }
            observer_.step_done(step, steps, *seen, seconds_since(start));
        }
    }
    if (!session_.training_metrics().finite) {
        refuse_divergence(false);
    }
    progress_.seconds += seconds_since(start);
    // A fused ReLU of the CPU library takes NaN for 0, so weights can be lost while the loss still looks well.
    refuse_divergence(true);
    return true;
}

bool Trainer::end_of_epoch() {
    if (averages()) {  // they are what is validated and kept
        session_.swap_averages();
    }
    const EpochRow row = record_epoch();
    ++progress_.epoch;
    progress_.images = 0;
    const bool stops = apply_callbacks(row);
    keep_if_best(row);
    if (averages()) {
        session_.swap_averages();
    }
    if (stops && config_.early_stopping.restore_best_weights) {
        restore_best_weights();
        observer_.decided(fmt::format("weights restored from epoch {}", early_stopping_.state().best_epoch + 1));
    }
    return stops;
}

float Trainer::learning_rate() const {
    const auto clock = session_.variables().read<std::int64_t>(kClock);
    const auto base = static_cast<double>(session_.variables().read<float>(kLearningRate)[0]);
    const std::int64_t last = clock[kClockStep] - clock[kClockHeld] - 1;
    return static_cast<float>(base * schedule_factor(session_.options().schedule, last));
}

EpochRow Trainer::record_epoch() {
    const auto start = std::chrono::steady_clock::now();
    const Metrics trained = session_.training_metrics();
    const Metrics validated = session_.evaluate(split_.validation).metrics;
    const double before = progress_.history.empty() ? 0.0 : progress_.history.back().seconds;
    const double training_seconds = progress_.seconds - before;
    progress_.seconds += seconds_since(start);
    const EpochRow row{progress_.epoch + 1, progress_.seconds,
                       trained.loss,        trained.accuracy,
                       validated.loss,      validated.accuracy,
                       learning_rate(),     static_cast<double>(trained.images) / std::max(1e-9, training_seconds)};
    progress_.history.push_back(row);
    const std::int64_t steps = epoch_length(config_, static_cast<std::int64_t>(split_.train.size())).steps;
    observer_.epoch_done(row, steps, training_seconds / static_cast<double>(steps));
    return row;
}

bool Trainer::apply_callbacks(const EpochRow& row) {
    bool stops = false;
    if (config_.early_stopping.enabled) {
        const auto decision =
            early_stopping_.end_of_epoch(row.epoch - 1, row.monitored(early_stopping_.options().monitor));
        if (decision.take_weights) {
            take_best_weights();
        }
        if (decision.stop) {
            stops = true;
            observer_.decided(fmt::format("Epoch {}: early stopping, {} has not improved on {:.5f} for {} epochs",
                                          row.epoch, early_stopping_.options().monitor, early_stopping_.state().best,
                                          early_stopping_.state().wait));
        }
    }
    if (config_.reduce_lr.enabled) {
        const float rate = row.learning_rate;
        const float next = reduce_lr_.end_of_epoch(row.monitored(reduce_lr_.options().monitor), rate);
        if (next != rate) {
            session_.set_learning_rate(next);
            observer_.decided(fmt::format("Epoch {}: learning rate {} -> {}, {} has not improved on {:.5f}", row.epoch,
                                          rate, next, reduce_lr_.options().monitor, reduce_lr_.state().best));
        }
    }
    return stops;
}

void Trainer::keep_if_best(const EpochRow& row) {
    const double previous = best_.state().best;
    if (best_.end_of_epoch(row.epoch - 1, row.monitored(best_.monitor())) && !files_.folder.empty()) {
        write_weights(files_.best(), session_.variables(), session_.step(), card_);
        observer_.decided(fmt::format("Epoch {}: {} improved from {} to {:.5f}, saving {}", row.epoch, best_.monitor(),
                                      std::isnan(previous) ? "none" : fmt::format("{:.5f}", previous),
                                      best_.state().best, relative(files_.best())));
    }
}

void Trainer::take_best_weights() {
    for (const Variable& variable : session_.step().variables) {
        const std::string& name = session_.step().graph.value(variable.id).name;
        best_weights_[name] = session_.variables().read_bytes(session_.variables().at(name));
    }
}

void Trainer::restore_best_weights() {
    for (const auto& [name, bytes] : best_weights_) {
        session_.variables().write_bytes(session_.variables().at(name), bytes.data());
    }
    if (averages()) {
        session_.set_averages();
    }
}

void Trainer::save() {
    progress_.early_stopping = early_stopping_.state();
    progress_.reduce_lr = reduce_lr_.state();
    progress_.best = best_.state();
    if (files_.folder.empty()) {
        return;
    }
    if (averages()) {
        session_.swap_averages();
    }
    write_weights(files_.last(), session_.variables(), session_.step(), card_);
    if (averages()) {
        session_.swap_averages();
    }
    write_state(files_.state(), session_.variables(), best_weights_, progress_, card_);
    write_file(files_.results(), results_csv(progress_.history));
    write_file(files_.keras_log(), keras_training_log(progress_.history, config_.reduce_lr.enabled));
}

std::string Trainer::first_not_finite() const {
    for (const Variable& variable : session_.step().variables) {
        const std::string& name = session_.step().graph.value(variable.id).name;
        const std::vector<float> values = session_.variables().read<float>(name);
        if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v); })) {
            return name;
        }
    }
    return {};
}

void Trainer::refuse_divergence(bool loss_is_finite) {
    const std::string culprit = first_not_finite();
    if (loss_is_finite && culprit.empty()) {
        return;
    }
    const std::string node = session_.find_not_finite();
    throw DivergedError(fmt::format("{} not finite in epoch {}, {} images in",
                                    loss_is_finite ? "the weights are" : "the loss is", progress_.epoch + 1,
                                    progress_.images))
        .because(fmt::format("first tensor that is not finite: {}; first node of the step that gives such a result: {}",
                             culprit.empty() ? "none, the loss itself overflowed" : culprit,
                             node.empty() ? "none on the first images" : node))
        .try_this("a smaller --lr; the best weights so far are kept");
}

std::string Trainer::relative(const std::filesystem::path& path) const {
    return path.lexically_relative(files_.folder).string();
}

}  // namespace fer
