#include "engine/data/synthetic.hpp"

#include <algorithm>

#include "engine/core/error.hpp"
#include "engine/data/gather.hpp"

namespace fer {
namespace {

constexpr int kClasses = 7;
// Test faces are numbered from here, far from any training face.
constexpr std::uint64_t kFirstTestFace = std::uint64_t{1} << 32;

/// `count` faces, class by class; face i shows emotion i % 7.
void list_faces(std::vector<Slot>& slots, std::vector<std::uint64_t>& indices, int count, Fold fold) {
    const bool is_train = fold == Fold::kTrain;
    for (int label = 0; label < kClasses; ++label) {
        for (int i = label; i < count; i += kClasses) {
            const Usage test_usage = i % 2 == 0 ? Usage::kPublicTest : Usage::kPrivateTest;
            slots.push_back({.name = fmt::format("{}/{}/synthetic_{:06}", is_train ? "train" : "test",
                                                 emotion_names()[static_cast<std::size_t>(label)], i),
                             .fold = fold,
                             .usage = is_train ? Usage::kTraining : test_usage,
                             .label = label});
            indices.push_back((is_train ? 0 : kFirstTestFace) + static_cast<std::uint64_t>(i));
        }
    }
}

}  // namespace

Dataset synthetic_dataset(int training_faces, const DataOptions& options) {
    FER_CHECK(training_faces >= 1, "a synthetic data set needs faces, got {}", training_faces);
    const int train = std::max(training_faces, kClasses);
    std::vector<Slot> slots;
    std::vector<std::uint64_t> indices;
    list_faces(slots, indices, train, Fold::kTrain);
    list_faces(slots, indices, std::max(train / 5, kClasses), Fold::kTest);

    const int size = std::max(options.height, options.width);
    Gathered result = gather(std::move(slots), emotion_names(), "synthetic", options,
                             [&](std::size_t i, Slot& slot, std::span<std::uint8_t> out) {
                                 GrayImage face = synthetic_face(options.seed, indices[i], slot.label, size);
                                 face = resize_nearest(face, options.height, options.width);
                                 std::ranges::copy(face.pixels, out.begin());
                             });
    return std::move(result.data);
}

}  // namespace fer
