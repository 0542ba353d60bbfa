// How well the probability of a class ranks its images before all others.
#pragma once

#include <optional>
#include <vector>

#include "engine/report/predictions.hpp"

namespace fer {

/// One class against the rest. From (0, 0) to (1, 1), one point for every threshold that is a probability of the class;
/// images of equal probability pass a threshold together, as in sklearn.metrics.roc_curve.
struct RocCurve {
    std::vector<double> false_positive_rate, true_positive_rate;
    double auc = 0;  // by trapezoids: P(score of an image of the class > that of another) + P(equal)/2
};

/// None if the class has no images, or all of them.
std::optional<RocCurve> roc_of(const Predictions& predictions, int of_class);

}  // namespace fer
