#include "engine/report/roc.hpp"

#include <algorithm>
#include <numeric>

namespace fer {

std::optional<RocCurve> roc_of(const Predictions& predictions, int of_class) {
    const auto positives = static_cast<double>(std::ranges::count(predictions.truth, of_class));
    const double negatives = static_cast<double>(predictions.size()) - positives;
    if (positives == 0 || negatives == 0) {
        return std::nullopt;
    }
    const auto score = [&](std::int64_t i) { return predictions.row(i)[static_cast<std::size_t>(of_class)]; };
    std::vector<std::int64_t> order(predictions.truth.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::ranges::sort(order, [&](std::int64_t a, std::int64_t b) { return score(a) > score(b); });

    RocCurve curve{{0.0}, {0.0}, 0.0};
    double hits = 0, alarms = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        (predictions.truth[static_cast<std::size_t>(order[i])] == of_class ? hits : alarms) += 1;
        if (i + 1 < order.size() && score(order[i + 1]) == score(order[i])) {
            continue;
        }
        const double x = alarms / negatives, y = hits / positives;
        curve.auc += (x - curve.false_positive_rate.back()) * (y + curve.true_positive_rate.back()) / 2;
        curve.false_positive_rate.push_back(x);
        curve.true_positive_rate.push_back(y);
    }
    return curve;
}

}  // namespace fer
