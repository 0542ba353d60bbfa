// Whether a network that says "80 % sure" is right in 80 % of those cases.
#pragma once

#include <vector>

#include "engine/report/predictions.hpp"

namespace fer {

struct CalibrationBin {
    double low = 0, high = 0;  // confidences in (low, high]
    std::int64_t count = 0;
    double confidence = 0;  // mean probability of the predicted class; 0 in an empty bin
    double accuracy = 0;
};

struct Calibration {
    std::vector<CalibrationBin> bins;
    double error = 0;  // expected calibration error: sum over bins of count/total * |accuracy - confidence|
};

/// Bins of equal width, as Guo et al., "On Calibration of Modern Neural Networks", 2017, who take 15.
Calibration calibration_of(const Predictions& predictions, int bins = 15);

}  // namespace fer
