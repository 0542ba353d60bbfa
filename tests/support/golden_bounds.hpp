// How near a run of a network must come to the goldens, by precision. Figures: tests/golden/README.md, "Tolerances".
#pragma once

#include <string_view>

#include "tests/support/tolerance.hpp"

namespace fer::test {

struct NetworkBounds {
    double inference_probabilities;
    double training_probabilities;
    double loss;  // of its size
    double moving_nmse;
    double gradient_nmse_median, gradient_nmse_worst;
    double update_nmse;  // of weights - initial, elements whose gradient is not rounding noise
};

/// Two independent float32 runs (Keras, PyTorch) against float64 on these very inputs, with headroom of 5 to 10: what
/// decides is not rounding but single ReLU and max-pool decisions that fall the other way, and the deeper the network
/// behind them the more they move. Adam divides each gradient by its own size, so a relative error of a tiny gradient
/// is one of its update: updates carry 0.3.
inline NetworkBounds float_network(std::string_view model) {
    const bool residual = model == "residual_cnn" || model.starts_with("fer_");
    const bool sensitive = residual || model == "separable_cnn";
    return {.inference_probabilities = 1e-6,
            .training_probabilities = residual ? 2e-4 : 2e-5,
            .loss = 1e-5,
            .moving_nmse = 1e-11,
            .gradient_nmse_median = sensitive ? 1e-3 : 1e-4,
            .gradient_nmse_worst = 1e-2,
            .update_nmse = 0.3};
}

/// The same of a network with one of `share` units: each decision that falls the other way weighs `share` times as much
/// in the loss.
inline NetworkBounds narrow_float_network(std::string_view model, int share) {
    NetworkBounds bounds = float_network(model);
    bounds.loss *= share;
    return bounds;
}

/// Two frameworks in float64 agree to 1e-12 and, in gradients, to an NMSE of 1e-24. Two inputs of ours are float32 by
/// contract: the L2 factor 0.01f is off by 2.2e-8 of itself and the learning rate 1e-3f by 4.7e-8. The first moves the
/// loss by that share of the L2 term, and gradients by that share of the L2 part of them; the second moves updates.
/// Keras rounds 1 - momentum to float32: 2.4e-8 of what a moving statistic takes in.
inline NetworkBounds double_network(bool l2) {
    const double float_constant = 5e-8;
    const double share = float_constant * float_constant;
    return {.inference_probabilities = 1e-11,
            .training_probabilities = 1e-11,
            .loss = l2 ? float_constant : 1e-11,
            .moving_nmse = share,
            .gradient_nmse_median = l2 ? share : 1e-22,
            .gradient_nmse_worst = l2 ? share : 1e-22,
            .update_nmse = 4 * share};
}

}  // namespace fer::test
