// The whole step as one graph: batch gather, augmentation, model, loss, backward pass, optimizer and counters.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "engine/graph/fuse.hpp"
#include "engine/graph/net.hpp"
#include "engine/graph/precision.hpp"

namespace fer {

using OptimizerAttrs = std::variant<AdamAttrs, SgdAttrs, RmsPropAttrs>;

/// How stored bytes become the model's input.
struct InputOptions {
    std::int64_t images = 0;          // of the data set
    std::int64_t stored_height = 48;  // of the data set
    std::int64_t stored_width = 48;
    int height = 48, width = 48, channels = 1;  // of the model
    bool bilinear = true;                       // how to resize when the two differ
    RescaleAttrs rescale;                       // y = x * scale + offset
    AugmentAttrs augment;
    bool augment_evaluation = false;  // off: only training images are augmented
};

/// From this layer on, in the network's order, the learning rate is multiplied by `factor`.
struct RateGroup {
    std::string layer;
    float factor = 1;
};

struct StepOptions {
    std::int64_t batch = 64;
    InputOptions input;
    int classes = 7;
    float width = 1;
    int freeze = -1;  // layers frozen from the first on; -1: as the model says
    bool dropout = true;
    float label_smoothing = 0;
    MixupAttrs mixup;  // alpha 0: off
    OptimizerAttrs optimizer = AdamAttrs{};
    Schedule schedule;
    ClipAttrs clip;       // of the gradients as the optimizer would see them; both zero: off
    float ema = 0;        // decay of the averages of all weights and moving statistics; 0: there are none
    int accumulate = 1;   // steps whose gradients make one update
    bool updates = true;  // false: a step that only adds to the gradients of an update to come
    std::vector<RateGroup> rate_groups;  // in the order of their layers; before the first one the factor is 1
    bool cache_features = false;         // for a session: a frozen trunk runs once per image, not in every step
    std::string fuse = "on";
    Precision precision = Precision::kFp32;
    DType real = DType::kF32;  // kF64: the whole step in float64, for checks
};

/// A step graph and the names a caller needs. Variables come in layer order, each layer's in Keras's order.
struct Step {
    Graph graph;
    Graph prepare;  // fuse.hpp; without nodes: there is nothing to prepare
    std::vector<Layer> layers;
    std::vector<Variable> variables;
    std::vector<FusionCount> fusions;
    std::vector<RateGroup> rate_groups;  // with what they begin with; those without trained parameters are left out
    ValueId images = kNoValue, labels = kNoValue, order = kNoValue;  // inputs
    ValueId class_weights = kNoValue, learning_rate = kNoValue;      // state
    ValueId clock = kNoValue, metrics = kNoValue;                    // state
    ValueId partners = kNoValue, share = kNoValue;                   // of mixup
    ValueId input = kNoValue, loss = kNoValue, total_loss = kNoValue, probabilities = kNoValue;
};

/// Value names every step has; trainer and tests find them by these.
inline constexpr const char* kImages = "images";    // u8 (n, h, w)
inline constexpr const char* kLabels = "labels";    // i32 (n)
inline constexpr const char* kOrder = "order";      // i32 (n): the batch is order[cursor .. cursor+batch)
inline constexpr const char* kClock = "clock";      // i64, ClockField
inline constexpr const char* kMetrics = "metrics";  // f64, MetricField
inline constexpr const char* kEvaluationClock = "evaluation/clock";
inline constexpr const char* kEvaluationMetrics = "evaluation/metrics";
inline constexpr const char* kLossScale = "loss_scale";        // i32, LossScaleState; with fp16 only
inline constexpr const char* kLearningRate = "learning_rate";  // ()
inline constexpr const char* kClassWeights = "class_weights";  // (classes)
inline constexpr const char* kAverages = "ema/";               // in front of a variable's name: its average

/// One optimizer step on `batch` images. Moments are named "adam/m/<parameter>" and so on, sums over several steps
/// "accumulated/<parameter>".
Step training_step(const ModelBuilder& model, const StepOptions& options);

/// The data side of a training step alone: what the network is fed is Step::input.
Step input_step(const StepOptions& options);

/// Inference, loss (regularizers included, classes unweighted) and metrics on `batch` images.
Step evaluation_step(const ModelBuilder& model, const StepOptions& options);

}  // namespace fer
