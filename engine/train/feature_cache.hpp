// The output of a frozen trunk for every training image, computed once: later steps begin behind the trunk.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/graph/features.hpp"
#include "engine/graph/step.hpp"
#include "engine/run/executor.hpp"

namespace fer {

/// Features lie in the memory of the host, those of a batch are copied to the device before its step. They are bit for
/// bit what the trunk gives for the image in a full batch; a step on fewer images takes the same ones, where a trunk
/// run on fewer might round differently.
class FeatureCache {
public:
    /// Splits `step` (graph/features.hpp). UsageError where that gains nothing: random augmentation, no frozen layer in
    /// front. MemoryError above half of the machine's memory.
    FeatureCache(Step& step, const StepOptions& options, Runtime& runtime);

    const Graph& trunk() const { return trunk_; }
    bool filled() const { return filled_; }
    /// Of all features of all images of the data set.
    std::int64_t bytes() const;

    /// Where steps find the features of their batch, by the name of the input.
    std::map<std::string, const void*> inputs() const;
    /// Takes what the trunk has computed for these images.
    void store(const Executor& trunk, std::span<const std::int32_t> images);
    void mark_filled() { filled_ = true; }
    /// Puts the features of these images where the next step reads them.
    void load(std::span<const std::int32_t> images);

private:
    struct Rows {
        Feature feature;
        std::size_t row_bytes = 0;
        std::vector<char> bytes;  // by image of the data set
        Buffer batch;             // what the step reads
    };

    Graph trunk_;
    std::vector<Rows> rows_;
    bool filled_ = false;
};

}  // namespace fer
