// The table of settings.
#include <array>

#include "engine/train/config.hpp"

namespace fer {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// clang-format off
#define FER_FIELD(path) [](Config& c) -> Field { return &c.path; }
constexpr std::array kSettings{
    Setting{"data.path",              "--data",       "folder, .zip, .csv or synthetic[:N]",                      FER_FIELD(data.path)},
    Setting{"data.split",             "--split",      "folder: train/ and test/; official: by usage",             FER_FIELD(data.split), -kInf, kInf, "folder|official"},
    Setting{"data.val_split",         "--val-split",  "fraction of each training class that validates; 0: test/", FER_FIELD(data.val_split), 0, 0.99},
    Setting{"data.rescale",           "",             "factor on the bytes 0..255",                               FER_FIELD(data.rescale)},
    Setting{"data.preprocess",        "",             "rescale: by data.rescale; backbone: as the trunk was trained", FER_FIELD(data.preprocess), -kInf, kInf, "rescale|backbone"},
    Setting{"data.resize",            "",             "to the side of the network",                               FER_FIELD(data.resize), -kInf, kInf, "bilinear|nearest"},
    Setting{"data.strict",            "--strict",     "stop at the first unreadable image",                       FER_FIELD(data.strict)},
    Setting{"augment.rotation_range",     "", "degrees",                                                           FER_FIELD(augment.rotation_range), 0, 360},
    Setting{"augment.width_shift_range",  "", "fraction of the width",                                             FER_FIELD(augment.width_shift_range), 0, 1},
    Setting{"augment.height_shift_range", "", "fraction of the height",                                            FER_FIELD(augment.height_shift_range), 0, 1},
    Setting{"augment.shear_range",        "", "degrees",                                                           FER_FIELD(augment.shear_range), 0, 90},
    Setting{"augment.zoom_range",         "", "zoom in [1-z, 1+z]",                                                FER_FIELD(augment.zoom_range), 0, 0.99},
    Setting{"augment.horizontal_flip",    "", "",                                                                  FER_FIELD(augment.horizontal_flip)},
    Setting{"augment.vertical_flip",      "", "",                                                                  FER_FIELD(augment.vertical_flip)},
    Setting{"augment.brightness_low",     "", "lowest brightness factor",                                          FER_FIELD(augment.brightness_low), 0, 10},
    Setting{"augment.brightness_high",    "", "highest brightness factor",                                         FER_FIELD(augment.brightness_high), 0, 10},
    Setting{"augment.fill_mode",          "", "what lies outside the image",                                       FER_FIELD(augment.fill_mode), -kInf, kInf, "nearest|constant|reflect"},
    Setting{"augment.cval",               "", "value of fill_mode constant",                                       FER_FIELD(augment.cval), 0, 255},
    Setting{"augment.affine_mode",        "", "keras: axes as Keras 2.15 has them; centred: as expected",          FER_FIELD(augment.affine_mode), -kInf, kInf, "keras|centred"},
    Setting{"augment.random_crop",    "",             "pixels an image may move, whole ones",                     FER_FIELD(augment.random_crop), 0, 4096},
    Setting{"augment.cutout",         "",             "side in pixels of a square set to cval",                   FER_FIELD(augment.cutout), 0, 4096},
    Setting{"augment.cutout_probability", "",         "share of the images that get one",                         FER_FIELD(augment.cutout_probability), 0, 1},
    Setting{"augment.mixup",          "",             "alpha: images and labels are blended in pairs",            FER_FIELD(augment.mixup), 0, 1},
    Setting{"augment.mixup_until",    "",             "share of the training after which mixup ends",             FER_FIELD(augment.mixup_until), 0, 1},
    Setting{"augment.keras_augment_validation", "", "augment validation images too, as the notebooks did",         FER_FIELD(augment.keras_augment_validation)},
    Setting{"train.model",            "--model",      "network",                                                  FER_FIELD(train.model)},
    Setting{"train.epochs",           "--epochs",     "passes over the training images",                          FER_FIELD(train.epochs), 1, 1e6},
    Setting{"train.batch",            "--batch",      "images per step",                                          FER_FIELD(train.batch), 1, 65536},
    Setting{"train.class_weight",     "--class-weight", "weigh classes by n / (7 n_c)",                           FER_FIELD(train.class_weight), -kInf, kInf, "none|balanced"},
    Setting{"train.label_smoothing",  "",             "mass spread over all classes",                             FER_FIELD(train.label_smoothing), 0, 0.99},
    Setting{"train.accumulate",       "--accumulate", "batches whose gradients make one update",                  FER_FIELD(train.accumulate), 1, 65536},
    Setting{"train.ema",              "",             "decay of the averaged weights that are kept; 0: none",     FER_FIELD(train.ema), 0, 0.999999},
    Setting{"train.width",            "--width",      "factor on filters and hidden units",                       FER_FIELD(train.width), 1e-3, 16},
    Setting{"train.weights",          "--weights",    "none, or a file of fer import or fer train to start from", FER_FIELD(train.weights)},
    Setting{"train.freeze",           "--freeze",     "so many first layers, or up to the layer of that name",    FER_FIELD(train.freeze)},
    Setting{"train.feature_cache",    "--feature-cache", "compute a frozen trunk's output once per image",          FER_FIELD(train.feature_cache)},
    Setting{"train.seed",             "--seed",       "of weights, order, dropout and augmentation",              FER_FIELD(train.seed), 0, 9.2e18},
    Setting{"train.precision",        "--precision",  "auto: bf16 on cuda, else fp32",                            FER_FIELD(train.precision), -kInf, kInf, "auto|fp32|tf32|bf16|fp16"},
    Setting{"train.tensorboard",      "--tensorboard", "event files in the run's folder, as Keras writes them",  FER_FIELD(train.tensorboard)},
    Setting{"train.fuse",             "--fuse",       "on, off, or rules separated by commas",                    FER_FIELD(train.fuse)},
    Setting{"optimizer.name",         "--optimizer",  "",                                                         FER_FIELD(optimizer.name), -kInf, kInf, "adam|sgd|rmsprop"},
    Setting{"optimizer.lr",           "--lr",         "learning rate",                                            FER_FIELD(optimizer.lr), 1e-12, 1e3},
    Setting{"optimizer.beta_1",       "",             "Adam",                                                     FER_FIELD(optimizer.beta_1), 0, 0.999999},
    Setting{"optimizer.beta_2",       "",             "Adam",                                                     FER_FIELD(optimizer.beta_2), 0, 0.99999999},
    Setting{"optimizer.epsilon",      "",             "Adam, RMSprop",                                            FER_FIELD(optimizer.epsilon), 0, 1},
    Setting{"optimizer.momentum",     "--momentum",   "SGD, RMSprop",                                             FER_FIELD(optimizer.momentum), 0, 0.999999},
    Setting{"optimizer.nesterov",     "",             "SGD",                                                      FER_FIELD(optimizer.nesterov)},
    Setting{"optimizer.rho",          "",             "RMSprop",                                                  FER_FIELD(optimizer.rho), 0, 0.999999},
    Setting{"optimizer.global_clipnorm", "",          "longest that all gradients together may be; 0: any",       FER_FIELD(optimizer.global_clipnorm), 0, 1e9},
    Setting{"optimizer.clipvalue",    "",             "largest a gradient may be; 0: any",                        FER_FIELD(optimizer.clipvalue), 0, 1e9},
    Setting{"optimizer.groups",       "--groups",     "LAYER=FACTOR,...: from that layer on, of the learning rate", FER_FIELD(optimizer.groups)},
    Setting{"schedule.name",          "--schedule",   "how the learning rate moves",                              FER_FIELD(schedule.name), -kInf, kInf, "none|cosine|one_cycle"},
    Setting{"schedule.warmup",        "",             "share of the training in which it rises to optimizer.lr",  FER_FIELD(schedule.warmup), 0, 0.99},
    Setting{"schedule.start",         "",             "factor on optimizer.lr at the first update",               FER_FIELD(schedule.start), 0, 1},
    Setting{"schedule.end",           "",             "factor on optimizer.lr at the last update",                FER_FIELD(schedule.end), 0, 1},
    Setting{"early_stopping.enabled", "",             "",                                                         FER_FIELD(early_stopping.enabled)},
    Setting{"early_stopping.monitor", "",             "",                                                         FER_FIELD(early_stopping.monitor), -kInf, kInf, "loss|accuracy|val_loss|val_accuracy"},
    Setting{"early_stopping.patience", "--patience",  "stop after so many epochs without improvement",            FER_FIELD(early_stopping.patience), 0, 1e6},
    Setting{"early_stopping.min_delta", "",           "",                                                         FER_FIELD(early_stopping.min_delta), 0, 1e6},
    Setting{"early_stopping.restore_best_weights", "", "when it stops",                                           FER_FIELD(early_stopping.restore_best_weights)},
    Setting{"early_stopping.start_from_epoch", "",    "",                                                         FER_FIELD(early_stopping.start_from_epoch), 0, 1e6},
    Setting{"reduce_lr.enabled",      "",             "",                                                         FER_FIELD(reduce_lr.enabled)},
    Setting{"reduce_lr.monitor",      "",             "",                                                         FER_FIELD(reduce_lr.monitor), -kInf, kInf, "loss|accuracy|val_loss|val_accuracy"},
    Setting{"reduce_lr.factor",       "",             "",                                                         FER_FIELD(reduce_lr.factor), 0, 0.999999},
    Setting{"reduce_lr.patience",     "",             "",                                                         FER_FIELD(reduce_lr.patience), 0, 1e6},
    Setting{"reduce_lr.min_delta",    "",             "",                                                         FER_FIELD(reduce_lr.min_delta), 0, 1e6},
    Setting{"reduce_lr.cooldown",     "",             "",                                                         FER_FIELD(reduce_lr.cooldown), 0, 1e6},
    Setting{"reduce_lr.min_lr",       "",             "",                                                         FER_FIELD(reduce_lr.min_lr), 0, 1e3},
    Setting{"checkpoint.monitor",     "",             "what the best weights are best by",                        FER_FIELD(checkpoint.monitor), -kInf, kInf, "loss|accuracy|val_loss|val_accuracy"},
};
#undef FER_FIELD
// clang-format on

}  // namespace

std::span<const Setting> settings() { return kSettings; }

}  // namespace fer
