#include "engine/train/logs.hpp"

#include <charconv>
#include <chrono>
#include <cmath>

#include "engine/core/error.hpp"
#include "engine/core/file.hpp"
#include "engine/data/image.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

/// repr() of a Python float.
std::string python(double value) {
    const std::string text = fmt::format("{}", value);
    return std::isfinite(value) && text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

/// str() of a NumPy float32: scientific below 1e-4 of its value, which the shortest digits may hide.
std::string numpy(float value) {
    const auto size = std::abs(static_cast<double>(value));
    if (!(size > 0 && size < 1e-4)) {
        const std::string text = fmt::format("{}", value);
        return std::isfinite(value) && text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
    }
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
    return {text, end.ptr};
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// A new file beside the older ones, which go then.
std::unique_ptr<EventFile> only_file(const fs::path& folder, double wall_time) {
    auto file = std::make_unique<EventFile>(folder, wall_time);
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        if (entry.path() != file->path() && entry.path().filename().string().starts_with("events.out.tfevents.")) {
            std::error_code error;
            fs::remove(entry.path(), error);
        }
    }
    return file;
}

/// Width and height stand big-endian at 16 and 20 of every PNG.
int png_extent(const std::string& png, std::size_t at) {
    int extent = 0;
    for (std::size_t i = at; i < at + 4; ++i) {
        extent = extent << 8 | static_cast<unsigned char>(png[i]);
    }
    return extent;
}

}  // namespace

std::string results_csv(const std::vector<EpochRow>& history) {
    std::string text = "epoch,time_s,loss,accuracy,val_loss,val_accuracy,learning_rate,images_per_s\n";
    for (const EpochRow& r : history) {
        text += fmt::format("{},{:.3f},{},{},{},{},{},{:.1f}\n", r.epoch, r.seconds, r.loss, r.accuracy, r.val_loss,
                            r.val_accuracy, r.learning_rate, r.images_per_s);
    }
    return text;
}

std::string keras_training_log(const std::vector<EpochRow>& history, bool with_lr) {
    std::string text = fmt::format("epoch,accuracy,loss,{}val_accuracy,val_loss\r\n", with_lr ? "lr," : "");
    for (const EpochRow& r : history) {
        text += fmt::format("{},{},{},{}{},{}\r\n", r.epoch - 1, python(r.accuracy), python(r.loss),
                            with_lr ? numpy(r.learning_rate) + "," : "", python(r.val_accuracy), python(r.val_loss));
    }
    return text;
}

TensorBoardLog::TensorBoardLog(TensorBoardOptions options, const std::vector<EpochRow>& history)
    : options_(std::move(options)) {
    const double time = now();
    const double trained = history.empty() ? 0.0 : history.back().seconds;
    train_ = only_file(options_.folder / "tensorboard" / "train", time);
    validation_ = only_file(options_.folder / "tensorboard" / "validation", time);
    if (!options_.picture.empty()) {
        const std::string png = read_file(options_.picture);
        train_->write(image_event(time, 0, "augmented", png_extent(png, 16), png_extent(png, 20), png));
    }
    for (const EpochRow& row : history) {
        add(row, time - trained + row.seconds);
    }
}

void TensorBoardLog::add(const EpochRow& row, double wall_time) {
    const int epoch = row.epoch - 1;
    const auto scalar = [&](EventFile& file, std::int64_t step, std::string_view tag, double value) {
        file.write(scalar_event(wall_time, step, tag, static_cast<float>(value)));
    };
    scalar(*train_, epoch, "epoch_loss", row.loss);
    scalar(*train_, epoch, "epoch_accuracy", row.accuracy);
    scalar(*train_, epoch, options_.plateau ? "epoch_lr" : "epoch_learning_rate",
           static_cast<double>(row.learning_rate));
    const std::int64_t update = row.epoch * options_.updates_per_epoch;
    scalar(*validation_, update, "evaluation_loss_vs_iterations", row.val_loss);
    scalar(*validation_, update, "evaluation_accuracy_vs_iterations", row.val_accuracy);
    scalar(*validation_, epoch, "epoch_loss", row.val_loss);
    scalar(*validation_, epoch, "epoch_accuracy", row.val_accuracy);
}

}  // namespace fer
