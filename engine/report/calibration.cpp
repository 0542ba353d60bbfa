#include "engine/report/calibration.hpp"

#include <algorithm>
#include <cmath>

namespace fer {

Calibration calibration_of(const Predictions& predictions, int bins) {
    Calibration result;
    for (int b = 0; b < bins; ++b) {
        result.bins.push_back({static_cast<double>(b) / bins, static_cast<double>(b + 1) / bins});
    }
    for (std::int64_t i = 0; i < predictions.size(); ++i) {
        const int predicted = predictions.predicted(i);
        const auto p = static_cast<double>(predictions.row(i)[static_cast<std::size_t>(predicted)]);
        const int place = std::clamp(static_cast<int>(std::ceil(p * bins)) - 1, 0, bins - 1);
        CalibrationBin& bin = result.bins[static_cast<std::size_t>(place)];
        ++bin.count;
        bin.confidence += p;
        bin.accuracy += predictions.truth[static_cast<std::size_t>(i)] == predicted ? 1 : 0;
    }
    for (CalibrationBin& bin : result.bins) {
        if (bin.count > 0) {
            const auto count = static_cast<double>(bin.count);
            bin.confidence /= count;
            bin.accuracy /= count;
            result.error += count / static_cast<double>(predictions.size()) * std::abs(bin.accuracy - bin.confidence);
        }
    }
    return result;
}

}  // namespace fer
