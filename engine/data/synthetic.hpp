// Faces drawn by numbers, so that everything can be tried, tested and taught without a download.
#pragma once

#include <cstdint>

#include "engine/data/dataset.hpp"
#include "engine/data/image.hpp"

namespace fer {

/// Face number `index`: a pure function of (seed, index, label, size). `label` counts as emotion_names() does.
/// Seed and index choose the person, the pose, the light and the camera; the label chooses only the expression, so the
/// same index drawn with seven labels shows one person in seven moods. Square, size x size.
GrayImage synthetic_face(std::uint64_t seed, std::uint64_t index, int label, int size = 48);

/// `training_faces` (at least 7) in train/ and a fifth of that (at least 7) in test/, labels balanced to one.
/// Test faces are the same whatever the number of training faces. Test usage alternates Public and Private.
Dataset synthetic_dataset(int training_faces, const DataOptions& options);

}  // namespace fer
