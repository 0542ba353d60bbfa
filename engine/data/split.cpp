#include "engine/data/split.hpp"

#include <algorithm>

#include "engine/core/error.hpp"

namespace fer {
namespace {

/// Indices of the images that `choose`, class by class.
template <class Choose>
std::vector<std::vector<std::int32_t>> by_class(const Dataset& data, Choose&& choose) {
    std::vector<std::vector<std::int32_t>> lists(data.classes.size());
    for (std::size_t i = 0; i < data.labels.size(); ++i) {
        if (choose(i)) {
            lists[static_cast<std::size_t>(data.labels[i])].push_back(static_cast<std::int32_t>(i));
        }
    }
    return lists;
}

template <class Choose>
std::vector<std::int32_t> joined(const Dataset& data, Choose&& choose) {
    std::vector<std::int32_t> all;
    for (const std::vector<std::int32_t>& list : by_class(data, choose)) {
        all.insert(all.end(), list.begin(), list.end());
    }
    return all;
}

}  // namespace

Split split_folder(const Dataset& data, double validation_fraction) {
    FER_CHECK(validation_fraction >= 0 && validation_fraction < 1, "the validation fraction must be in [0, 1), got {}",
              validation_fraction);
    Split split;
    for (const auto& list : by_class(data, [&](std::size_t i) { return data.folder[i] == Fold::kTrain; })) {
        // The product is cut to an integer in double, as in Keras: 0.2 * 3995 is 799.
        const auto count = static_cast<std::ptrdiff_t>(validation_fraction * static_cast<double>(list.size()));
        split.validation.insert(split.validation.end(), list.begin(), list.begin() + count);
        split.train.insert(split.train.end(), list.begin() + count, list.end());
    }
    split.test = joined(data, [&](std::size_t i) { return data.folder[i] == Fold::kTest; });
    if (validation_fraction == 0) {
        split.validation = split.test;
    }
    return split;
}

Split split_official(const Dataset& data) {
    const auto unknown = std::ranges::find(data.usage, Usage::kUnknown);
    if (unknown != data.usage.end()) {
        throw DataError(fmt::format("the official split of {} is unknown",
                                    data.files[static_cast<std::size_t>(unknown - data.usage.begin())]))
            .because("file names do not begin with Training_, PublicTest_ or PrivateTest_")
            .try_this("--split folder");
    }
    const auto of = [&](Usage usage) { return joined(data, [&](std::size_t i) { return data.usage[i] == usage; }); };
    Split split{of(Usage::kTraining), of(Usage::kPublicTest), of(Usage::kPrivateTest)};
    if (split.train.empty() || split.validation.empty() || split.test.empty()) {
        throw DataError(fmt::format("the official split is incomplete: {} Training, {} PublicTest, {} PrivateTest",
                                    split.train.size(), split.validation.size(), split.test.size()))
            .because("each of the three needs images")
            .try_this("--split folder");
    }
    return split;
}

std::vector<std::int64_t> class_counts(const Dataset& data) {
    std::vector<std::int64_t> counts(data.classes.size());
    for (const std::int32_t label : data.labels) {
        ++counts[static_cast<std::size_t>(label)];
    }
    return counts;
}

std::vector<std::int64_t> class_counts(const Dataset& data, std::span<const std::int32_t> indices) {
    std::vector<std::int64_t> counts(data.classes.size());
    for (const std::int32_t i : indices) {
        ++counts[static_cast<std::size_t>(data.labels[static_cast<std::size_t>(i)])];
    }
    return counts;
}

}  // namespace fer
