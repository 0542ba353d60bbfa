#include "engine/train/feature_cache.hpp"

#include <unistd.h>

#include <cstring>

namespace fer {

FeatureCache::FeatureCache(Step& step, const StepOptions& options, Runtime& runtime) {
    FER_CHECK(!options.input.augment.any(), "train.feature_cache: augmentation makes every epoch's images new ones");
    const std::vector<Feature> features = split_features(step.graph, trunk_);
    FER_CHECK(!features.empty(), "train.feature_cache: no layer in front is frozen");
    std::int64_t needed = 0;
    for (const Feature& feature : features) {
        needed += feature.info.bytes() / options.batch * options.input.images;
    }
    const std::int64_t memory = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
    if (needed > memory / 2) {
        throw MemoryError(fmt::format("train.feature_cache: the features of {} images take {:.1f} GB",
                                      options.input.images, static_cast<double>(needed) * 1e-9))
            .because(fmt::format("half of this machine's memory is {:.1f} GB", static_cast<double>(memory) * 0.5e-9))
            .try_this("a network that pools before its head, or training without --feature-cache");
    }
    for (const Feature& feature : features) {
        const std::int64_t row_bytes = feature.info.bytes() / options.batch;
        rows_.push_back({feature, static_cast<std::size_t>(row_bytes),
                         std::vector<char>(static_cast<std::size_t>(row_bytes * options.input.images)),
                         Buffer(runtime, feature.info.bytes())});
    }
}

std::int64_t FeatureCache::bytes() const {
    std::int64_t bytes = 0;
    for (const Rows& rows : rows_) {
        bytes += std::ssize(rows.bytes);
    }
    return bytes;
}

std::map<std::string, const void*> FeatureCache::inputs() const {
    std::map<std::string, const void*> inputs;
    for (const Rows& rows : rows_) {
        inputs[rows.feature.name] = rows.batch.data();
    }
    return inputs;
}

void FeatureCache::store(const Executor& trunk, std::span<const std::int32_t> images) {
    for (Rows& rows : rows_) {
        const std::vector<char> batch = trunk.read_bytes(rows.feature.value);
        for (std::size_t i = 0; i < images.size(); ++i) {
            std::memcpy(rows.bytes.data() + static_cast<std::size_t>(images[i]) * rows.row_bytes,
                        batch.data() + i * rows.row_bytes, rows.row_bytes);
        }
    }
}

void FeatureCache::load(std::span<const std::int32_t> images) {
    for (Rows& rows : rows_) {
        std::vector<char> batch(images.size() * rows.row_bytes);
        for (std::size_t i = 0; i < images.size(); ++i) {
            std::memcpy(batch.data() + i * rows.row_bytes,
                        rows.bytes.data() + static_cast<std::size_t>(images[i]) * rows.row_bytes, rows.row_bytes);
        }
        Runtime& runtime = rows.batch.runtime();
        runtime.upload(rows.batch.data(), batch.data(), std::ssize(batch));
    }
}

}  // namespace fer
