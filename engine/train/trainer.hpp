// Epochs: shuffle, train, validate, callbacks, checkpoints.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "engine/data/split.hpp"
#include "engine/train/checkpoint.hpp"
#include "engine/train/config.hpp"
#include "engine/train/logs.hpp"

namespace fer {

/// What a training run tells whoever watches it.
class TrainObserver {
public:
    virtual ~TrainObserver() = default;
    virtual void epoch_begins(int /*epoch*/, int /*epochs*/, std::int64_t /*steps*/) {}
    /// `seconds` of this epoch so far in this process.
    virtual void step_done(std::int64_t /*step*/, std::int64_t /*steps*/, const Metrics& /*so_far*/,
                           double /*seconds*/) {}
    virtual void epoch_done(const EpochRow& /*row*/, std::int64_t /*steps*/, double /*step_seconds*/) {}
    /// A decision with the numbers that caused it: "Epoch 3: val_loss improved from 1.2 to 1.1, ..."
    virtual void decided(const std::string& /*text*/) {}
};

enum class Outcome : std::uint8_t { kFinished, kStoppedEarly, kInterrupted };

/// Where the trainer writes; an empty folder writes nothing.
struct TrainFiles {
    std::filesystem::path folder;
    std::filesystem::path best() const { return folder / "weights" / "best.safetensors"; }
    std::filesystem::path last() const { return folder / "weights" / "last.safetensors"; }
    std::filesystem::path state() const { return folder / "weights" / "last.state.safetensors"; }
    std::filesystem::path results() const { return folder / "results.csv"; }
    std::filesystem::path keras_log() const { return folder / "training.log"; }
    std::filesystem::path augmented() const { return folder / "augmented.png"; }
};

/// `training_images` are those of an epoch; they matter where a step depends on the length of the training
/// (config.hpp, plans_its_length).
StepOptions step_options(const Config& config, int height, int width, int channels, int classes,
                         std::int64_t training_images = 0);

/// Batches of an epoch, and the updates they make.
struct EpochLength {
    std::int64_t steps = 0, updates = 0;
};
EpochLength epoch_length(const Config& config, std::int64_t training_images);

class Trainer {
public:
    Trainer(const Config& config, const ModelCard& card, Session& session, const Dataset& data, const Split& split,
            TrainFiles files, TrainObserver& observer);

    /// Takes up the state in files.state(). DataError if it is missing or does not fit.
    void resume();

    /// Trains until the last epoch, an early stop, or until `stop` becomes true: then it finishes the step, saves and
    /// returns kInterrupted. The best and last weights and the state are on disk when it returns.
    /// Throws DivergedError on a loss that is not finite, naming the first tensor that is not.
    Outcome run(const std::atomic<bool>& stop);

    /// A profiler looks at the steps [first, last) of this process alone, counted from 0 over all epochs.
    void profile_steps(std::int64_t first, std::int64_t last) { profiled_ = {first, last}; }

    const Progress& progress() const { return progress_; }

private:
    bool train_epoch_on_device(const std::atomic<bool>& stop);
    bool train_epoch(const std::atomic<bool>& stop);
    /// True: training stops here.
    bool end_of_epoch();
    EpochRow record_epoch();
    /// What early stopping and the plateau make of the epoch. True: training stops here.
    bool apply_callbacks(const EpochRow& row);
    void keep_if_best(const EpochRow& row);
    /// Of the last update.
    float learning_rate() const;
    bool averages() const { return config_.train.ema > 0; }
    void take_best_weights();
    void restore_best_weights();
    void save();
    void open_tensorboard();
    /// The name of the first variable that holds NaN or infinity; empty if none does.
    std::string first_not_finite() const;
    /// Throws DivergedError unless the loss and all variables are finite.
    void refuse_divergence(bool loss_is_finite);
    /// Tells the profiler when the step that comes is the first or the first one after the last.
    void tell_profiler(std::int64_t step) const;
    std::string relative(const std::filesystem::path& path) const;

    const Config& config_;
    ModelCard card_;
    Session& session_;
    const Split& split_;
    TrainFiles files_;
    TrainObserver& observer_;
    EarlyStopping early_stopping_;
    ReduceLrOnPlateau reduce_lr_;
    BestCheckpoint best_;
    Progress progress_;
    std::pair<std::int64_t, std::int64_t> profiled_{-1, -1};
    std::int64_t steps_done_ = 0;
    std::map<std::string, std::vector<char>> best_weights_;
    std::unique_ptr<TensorBoardLog> tensorboard_;
};

}  // namespace fer
