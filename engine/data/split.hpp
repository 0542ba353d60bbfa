// Which images train, which choose the best epoch, and which are only looked at in the end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/data/dataset.hpp"

namespace fer {

/// Indices into a Dataset.
struct Split {
    std::vector<std::int32_t> train;
    std::vector<std::int32_t> validation;
    std::vector<std::int32_t> test;
};

/// Keras's flow_from_directory with validation_split: of each class of train/, in data set order, the first
/// int(fraction * n) validate and the rest train; test is test/. With fraction 0, test/ also validates. Each list runs
/// class by class. Not shuffled. Throws UsageError unless 0 <= fraction < 1.
Split split_folder(const Dataset& data, double validation_fraction);

/// The published split: Training, PublicTest validates, PrivateTest tests. Each list runs class by class.
/// Throws DataError if an image's usage is not known or one of the three is empty.
Split split_official(const Dataset& data);

/// Images per class; all of them, or those at `indices`.
std::vector<std::int64_t> class_counts(const Dataset& data);
std::vector<std::int64_t> class_counts(const Dataset& data, std::span<const std::int32_t> indices);

}  // namespace fer
