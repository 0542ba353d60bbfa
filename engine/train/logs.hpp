// What a training run writes for people and for other programs, epoch by epoch.
#pragma once

#include <memory>

#include "engine/formats/tensorboard.hpp"
#include "engine/train/checkpoint.hpp"

namespace fer {

/// results.csv: epoch,time_s,loss,accuracy,val_loss,val_accuracy,learning_rate,images_per_s; epochs from 1.
std::string results_csv(const std::vector<EpochRow>& history);

/// training.log as keras.callbacks.CSVLogger of Keras 2.15 writes it: epochs from 0, columns sorted, CRLF, numbers as
/// Python prints them. `lr` is there where ReduceLROnPlateau runs, as in Keras.
std::string keras_training_log(const std::vector<EpochRow>& history, bool with_lr);

/// What of Keras's TensorBoard callback is to be written, and where an update count is asked for.
struct TensorBoardOptions {
    std::filesystem::path folder;  // of the run
    bool plateau = false;  // ReduceLROnPlateau runs: Keras calls the rate epoch_lr then, else epoch_learning_rate
    std::int64_t updates_per_epoch = 0;
    std::filesystem::path picture;  // a PNG of augmented images; empty: none
};

/// FOLDER/tensorboard/train and /validation with the tags of Keras 2.15: epoch_loss, epoch_accuracy and the learning
/// rate by epoch (from 0), evaluation_loss_vs_iterations and evaluation_accuracy_vs_iterations by update; besides
/// the image `augmented`. One file each: a resumed run writes its history anew and drops the older files.
class TensorBoardLog {
public:
    /// `history`: of the epochs before. OutputError if it cannot be written.
    TensorBoardLog(TensorBoardOptions options, const std::vector<EpochRow>& history);

    /// `wall_time`: seconds since 1970.
    void add(const EpochRow& row, double wall_time);

private:
    TensorBoardOptions options_;
    std::unique_ptr<EventFile> train_, validation_;
};

}  // namespace fer
