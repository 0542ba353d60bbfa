#include "engine/train/callbacks.hpp"

#include <algorithm>
#include <cmath>

namespace fer {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Keras 2 starts its best at the worst value there is.
double or_worst(double best, bool larger) { return std::isnan(best) ? (larger ? -kInf : kInf) : best; }

bool better(double value, double reference, double margin, bool larger) {
    return larger ? value - margin > reference : value + margin < reference;
}

}  // namespace

bool larger_is_better(const std::string& monitor) {
    return monitor.ends_with("acc") || monitor.ends_with("accuracy") || monitor.ends_with("auc");
}

bool EarlyStopping::improves(double value, double reference) const {
    return better(value, reference, std::abs(options_.min_delta), larger_is_better(options_.monitor));
}

EarlyStopping::Decision EarlyStopping::end_of_epoch(int epoch, double value) {
    Decision decision;
    if (epoch < options_.start_from_epoch) {
        return decision;
    }
    if (options_.restore_best_weights && !state_.has_weights) {
        decision.take_weights = true;
        state_.has_weights = true;
        state_.best_epoch = epoch;
    }
    ++state_.wait;
    if (improves(value, or_worst(state_.best, larger_is_better(options_.monitor)))) {
        state_.best = value;
        state_.best_epoch = epoch;
        decision.take_weights = options_.restore_best_weights;
        if (!options_.baseline || improves(value, *options_.baseline)) {
            state_.wait = 0;
        }
        return decision;
    }
    if (state_.wait >= options_.patience && epoch > 0) {
        decision.stop = true;
        decision.restore = options_.restore_best_weights && state_.has_weights;
    }
    return decision;
}

float ReduceLrOnPlateau::end_of_epoch(double value, float learning_rate) {
    const bool larger = options_.monitor.find("acc") != std::string::npos;
    if (state_.cooldown > 0) {
        --state_.cooldown;
        state_.wait = 0;
    }
    if (better(value, or_worst(state_.best, larger), options_.min_delta, larger)) {
        state_.best = value;
        state_.wait = 0;
    } else if (state_.cooldown <= 0) {
        ++state_.wait;
        if (state_.wait >= options_.patience && learning_rate > static_cast<float>(options_.min_lr)) {
            learning_rate =
                static_cast<float>(std::max(static_cast<double>(learning_rate) * options_.factor, options_.min_lr));
            state_.cooldown = options_.cooldown;
            state_.wait = 0;
        }
    }
    return learning_rate;
}

bool BestCheckpoint::end_of_epoch(int epoch, double value) {
    const bool larger = larger_is_better(monitor_);
    if (!better(value, or_worst(state_.best, larger), 0, larger)) {
        return false;
    }
    state_ = {value, epoch};
    return true;
}

}  // namespace fer
