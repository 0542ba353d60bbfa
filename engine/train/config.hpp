// Every setting of a training run: one table of rows drives TOML files, environment, flags, checks and the saved copy.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/graph/step.hpp"

namespace fer {

struct DataConfig {
    std::string path = "synthetic";
    std::string split = "folder";  // folder | official
    double val_split = 0.2;        // folder: first fraction of each class validates; 0: the test folder does
    double rescale = 1.0 / 255.0;
    std::string preprocess = "rescale";  // rescale | backbone: as the pretrained trunk was trained
    std::string resize = "bilinear";     // bilinear | nearest: to the side of the network
    bool strict = false;
};

struct AugmentConfig {
    double rotation_range = 0, width_shift_range = 0, height_shift_range = 0, shear_range = 0, zoom_range = 0;
    bool horizontal_flip = false, vertical_flip = false;
    double brightness_low = 1, brightness_high = 1;
    std::string fill_mode = "nearest";
    double cval = 0;
    std::string affine_mode = "keras";
    int random_crop = 0, cutout = 0;  // pixels
    double cutout_probability = 1;
    double mixup = 0;        // alpha of the Beta distribution; 0: off
    double mixup_until = 1;  // in this share of the training, from its start
    bool keras_augment_validation = false;
};

struct TrainConfig {
    std::string model = "simpler_cnn";
    int epochs = 50;
    int batch = 64;
    std::string class_weight = "none";  // none | balanced
    double label_smoothing = 0;
    int accumulate = 1;  // batches per update
    double ema = 0;      // decay of the averaged weights; 0: off
    double width = 1;
    std::string weights = "none";  // none, or a file to start from
    std::string freeze;            // a number of layers, the name of the last frozen one; empty: as the network says
    std::int64_t seed = 0;
    bool feature_cache = false;  // the frozen trunk's output of each image is computed once
    std::string fuse = "on";
    std::string precision = "auto";
    bool tensorboard = false;
};

struct OptimizerConfig {
    std::string name = "adam";
    double lr = 1e-4;
    double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7;  // Adam; epsilon also RMSprop
    double momentum = 0;                                  // SGD, RMSprop
    bool nesterov = false;                                // SGD
    double rho = 0.9;                                     // RMSprop
    std::string groups;                                   // "LAYER=FACTOR,...": see rate_groups()
    double global_clipnorm = 0, clipvalue = 0;            // 0: off
};

/// The learning rate from update to update, as a factor on optimizer.lr (engine/core/schedule.hpp).
struct ScheduleConfig {
    std::string name = "none";  // none | cosine | one_cycle
    double warmup = 0.1;        // share of all updates
    double start = 0.04, end = 0;
};

struct EarlyStoppingConfig {
    bool enabled = false;
    std::string monitor = "val_loss";
    int patience = 0;
    double min_delta = 0;
    bool restore_best_weights = true;
    int start_from_epoch = 0;
};

struct ReduceLrConfig {
    bool enabled = false;
    std::string monitor = "val_loss";
    double factor = 0.1;
    int patience = 10;
    double min_delta = 1e-4;
    int cooldown = 0;
    double min_lr = 0;
};

struct CheckpointConfig {
    std::string monitor = "val_loss";
};

/// Where a value came from, weakest first.
enum class Origin : std::uint8_t { kDefault, kRecipe, kFile, kEnvironment, kFlag };
std::string_view name_of(Origin origin);

struct Config {
    DataConfig data;
    AugmentConfig augment;
    TrainConfig train;
    OptimizerConfig optimizer;
    ScheduleConfig schedule;
    EarlyStoppingConfig early_stopping;
    ReduceLrConfig reduce_lr;
    CheckpointConfig checkpoint;

    std::string recipe;                    // name, if one was used
    std::map<std::string, Origin> origin;  // by key; missing: kDefault
};

/// A typed view of one field.
using Field = std::variant<std::string*, double*, int*, std::int64_t*, bool*>;

struct Setting {
    std::string_view key;   // "train.epochs"
    std::string_view flag;  // "--epochs"; empty: files only
    std::string_view help;
    Field (*field)(Config&);
    double low = -std::numeric_limits<double>::infinity();
    double high = std::numeric_limits<double>::infinity();
    std::string_view choices = {};  // "none|balanced"
};

std::span<const Setting> settings();

/// The value as TOML has it.
std::string value_text(const Config& config, const Setting& setting);

/// Sets one value from text. `where` names the place in messages: "--epochs", "FER_TRAIN_EPOCHS".
/// UsageError: a value of the wrong type, out of range or not among the choices.
void set_from_text(Config& config, const Setting& setting, std::string_view text, Origin origin,
                   const std::string& where);

/// Reads TOML text over `config`. A table [early_stopping] or [reduce_lr] that is present is enabled unless it says
/// enabled = false. UsageError: file:line:column, the key, and the nearest known one. Types are
/// TOML's own: epochs = "3" is refused.
void apply_toml(Config& config, std::string_view text, const std::string& file, Origin origin);

/// FER_TRAIN_EPOCHS=3 and so on, one variable per setting; FER_DATA is data.path. An empty one counts as unset.
void apply_environment(Config& config);

/// What no single row can check: a factor of one, an unknown monitor. Returns warnings worth showing.
std::vector<std::string> check(const Config& config);

/// The whole configuration as TOML, every value with its origin as a comment.
std::string to_toml(const Config& config);

OptimizerAttrs optimizer_attrs(const Config& config);
/// optimizer.groups: from each layer on the learning rate is multiplied by its factor, before the first by 1.
/// UsageError for anything but LAYER=FACTOR with factors from 0 to 1000, separated by commas.
std::vector<RateGroup> rate_groups(const Config& config);
AugmentAttrs augment_attrs(const Config& config);

/// Does anything in a step depend on how long the whole training is?
bool plans_its_length(const Config& config);

/// The recipes in the binary, by name.
struct Recipe {
    std::string_view name;
    std::string_view toml;
};
std::span<const Recipe> recipes();

/// Applies a built-in recipe. UsageError with the nearest name if there is none.
void apply_recipe(Config& config, std::string_view name);

}  // namespace fer
