// What a network said of every image: written by `fer evaluate` as predictions.csv, counted again by whoever reads it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/report/classification.hpp"

namespace fer {

struct Predictions {
    std::vector<std::string> classes;
    std::vector<std::string> files;    // one a row
    std::vector<std::int32_t> truth;   // an index into classes
    std::vector<float> probabilities;  // (rows, classes)

    std::int64_t size() const { return static_cast<std::int64_t>(truth.size()); }
    std::span<const float> row(std::int64_t i) const {
        return std::span(probabilities).subspan(static_cast<std::size_t>(i) * classes.size(), classes.size());
    }
    int predicted(std::int64_t i) const { return argmax(row(i)); }
    ConfusionMatrix confusion() const { return confusion_of(probabilities, truth, classes); }
};

/// file,true,pred,p_<class>...; LF, the shortest digits that read back as the same float.
std::string predictions_csv(const Predictions& predictions);

/// The reverse, bit for bit. DataError naming `path` and the line: columns missing, an unknown class, a probability
/// that is no number or outside [0, 1], a `pred` that is not the largest of its row.
Predictions parse_predictions(std::string_view csv, const std::string& path);

/// The share of rows whose class is among the `k` most probable; of equal ones the first counts as more probable.
double top_accuracy(const Predictions& predictions, int k);

}  // namespace fer
