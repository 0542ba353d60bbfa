// A model on a data set: its variables, one arena, and an executor per direction and batch size.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/data/dataset.hpp"
#include "engine/run/executor.hpp"
#include "engine/run/tuner.hpp"
#include "engine/train/feature_cache.hpp"

namespace fer {

/// Sums over the images since the last clear.
struct Metrics {
    double loss = 0;  // mean, regularizers included
    double accuracy = 0;
    std::int64_t images = 0;
    bool finite = true;
};

struct Evaluation {
    Metrics metrics;
    std::vector<float> probabilities;  // (images, classes), in the order asked for
};

class Session {
public:
    enum class Use { kTrain, kEvaluateOnly };

    /// `data` must outlive the session. `options.input.images` and stored size are taken from it. `record`: a step is
    /// recorded once and repeated, where the device can. `tuner` measures what plans may choose among.
    Session(const ModelBuilder& model, const StepOptions& options, const Dataset& data, const Device& device,
            Runtime& runtime, Use use, PlanOptions plan = {}, bool record = true,
            std::shared_ptr<Tuner> tuner = nullptr);

    const Variables& variables() const { return variables_; }
    const Step& step() const { return use_ == Use::kTrain ? training_ : evaluation_; }
    const StepOptions& options() const { return options_; }
    /// To be called when the caller has changed the first `images` of the data set; their number stays.
    void upload_images(std::int64_t images);

    /// Sets the images of the epoch, in training order, and the first one to take.
    void set_order(std::span<const std::int32_t> order, std::int64_t cursor = 0);
    /// Enqueues one step on the next `images` of the order. With StepOptions::accumulate a step may leave the update to
    /// a later one.
    void train(std::int64_t images, bool updates = true);
    /// After all steps so far: waits for them.
    Metrics training_metrics() const;
    /// The newest that has arrived, without waiting; asks for newer ones.
    std::optional<Metrics> glance_at_metrics();
    void clear_training_metrics();
    /// After a loss that was not finite: the first node of the step that gives such a result, on the weights as they
    /// are now and the first images of the order. Spoils the training state.
    std::string find_not_finite();
    void set_learning_rate(float rate);
    /// Runtime::profile(), after all work so far.
    void profile(bool begin);
    void set_class_weights(std::span<const float> weights);

    /// Exchanges weights and statistics with their moving averages, and back. There must be some: StepOptions::ema.
    void swap_averages();
    /// The averages begin as, or become, what weights and statistics are.
    void set_averages();
    /// Bytes of the features that are computed once per image; 0 without StepOptions::cache_features.
    std::int64_t feature_bytes() const { return features_ ? features_->bytes() : 0; }

    /// Inference on the given images in the given order.
    Evaluation evaluate(std::span<const std::int32_t> indices);

    /// The steps of `images` of one direction, ready to run one after the other by those who measure them: the order is
    /// that of the data set, and rewind() leads back to its first image. As long as nothing else is asked of the
    /// session.
    Executor& steps(Use use, std::int64_t images);
    void rewind(Use use);

    /// Bytes: arena and variables, the largest plan made so far.
    std::int64_t arena_bytes() const { return arena_.bytes(); }

private:
    /// Makes what the steps of this direction derive from the variables, if those may have changed since.
    void prepare(Use use);
    /// Runs the frozen trunk on all images of the order, once in the life of the session: frozen weights are set before
    /// the first step.
    void fill_features();
    static constexpr std::int64_t kTrunk = -1;
    /// What an executor does; no images: what Step::prepare says; kTrunk: that of the features.
    struct Work {
        Use use;
        std::int64_t images;
        bool updates = true;
        auto operator<=>(const Work&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 errs
    };
    /// Makes the executor on first use. A larger arena than before drops the others, which are made again when needed.
    Executor& executor(const Work& work);
    Plan make_step_plan(const Work& work) const;

    ModelBuilder model_;
    StepOptions options_;
    const Dataset& data_;
    const Device& device_;
    Runtime& runtime_;
    Use use_;
    std::shared_ptr<Tuner> tuner_;
    PlanOptions plan_;
    bool record_;
    Step training_, evaluation_;
    std::optional<FeatureCache> features_;
    std::vector<std::int32_t> order_;  // with features: what set_order() was given, and the place in it
    std::int64_t cursor_ = 0;
    Variables variables_;
    Arena arena_;
    Buffer images_, labels_;  // on a device with memory of its own
    Buffer training_order_, evaluation_order_;
    std::unique_ptr<Watch> watch_;
    std::map<Work, std::unique_ptr<Executor>> executors_;
    std::map<Use, std::uint64_t> prepared_;  // Variables::changes() then; a step that trains counts for evaluation too
};

}  // namespace fer
