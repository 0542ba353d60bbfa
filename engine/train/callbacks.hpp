// What happens between epochs, as Keras 2.15 decides it. Pure state machines: a value in, a decision out.
#pragma once

#include <limits>
#include <optional>
#include <string>

namespace fer {

/// auto mode of Keras 2: larger is better for accuracies, smaller for everything else.
bool larger_is_better(const std::string& monitor);

/// keras.callbacks.EarlyStopping. NaN is never an improvement.
class EarlyStopping {
public:
    struct Options {
        std::string monitor = "val_loss";
        int patience = 0;
        double min_delta = 0;
        std::optional<double> baseline;
        bool restore_best_weights = false;
        int start_from_epoch = 0;
    };
    struct State {
        int wait = 0;
        double best = std::numeric_limits<double>::quiet_NaN();  // NaN: none yet
        int best_epoch = 0;
        bool has_weights = false;
    };
    struct Decision {
        bool take_weights = false;  // remember the current weights as the best
        bool stop = false;
        bool restore = false;  // put the remembered weights back
    };

    explicit EarlyStopping(Options options) : options_(std::move(options)) {}

    /// `epoch` counts from 0.
    Decision end_of_epoch(int epoch, double value);

    const Options& options() const { return options_; }
    const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    bool improves(double value, double reference) const;

    Options options_;
    State state_;
};

/// keras.callbacks.ReduceLROnPlateau. Learning rates are float32, as Keras keeps them.
class ReduceLrOnPlateau {
public:
    struct Options {
        std::string monitor = "val_loss";
        double factor = 0.1;
        int patience = 10;
        double min_delta = 1e-4;
        int cooldown = 0;
        double min_lr = 0;
    };
    struct State {
        int wait = 0;
        int cooldown = 0;
        double best = std::numeric_limits<double>::quiet_NaN();
    };

    explicit ReduceLrOnPlateau(Options options) : options_(std::move(options)) {}

    /// The learning rate of the next epoch.
    float end_of_epoch(double value, float learning_rate);

    const Options& options() const { return options_; }
    const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    Options options_;
    State state_;
};

/// keras.callbacks.ModelCheckpoint(save_best_only=True): strictly better, no margin.
class BestCheckpoint {
public:
    struct State {
        double best = std::numeric_limits<double>::quiet_NaN();
        int best_epoch = -1;
    };

    explicit BestCheckpoint(std::string monitor) : monitor_(std::move(monitor)) {}

    bool end_of_epoch(int epoch, double value);

    const std::string& monitor() const { return monitor_; }
    const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    std::string monitor_;
    State state_;
};

}  // namespace fer
