// The seven networks against Keras 2.15: same weights, same images, one inference and three steps of Adam.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/golden_bounds.hpp"
#include "tests/support/golden_network.hpp"
#include "tests/support/small_models.hpp"

namespace fer::test {
namespace {

std::string test_name(const ::testing::TestParamInfo<models::Model>& info) { return std::string(info.param.name); }

/// Which sampled elements Adam moves by more than rounding noise (README of the goldens).
std::vector<std::size_t> moved(std::span<const double> gradient, double norm, std::size_t count) {
    std::vector<std::size_t> elements;
    for (std::size_t k = 0; k < gradient.size(); ++k) {
        if (std::abs(gradient[k]) > 1e-4 * norm / std::sqrt(static_cast<double>(count))) {
            elements.push_back(k);
        }
    }
    return elements;
}

template <class T>
class Comparison {
public:
    Comparison(const models::Model& model, const Device& device, const NetworkBounds& bounds,
               const std::string& fusions)
        : net_(model, device, fusions), bounds_(bounds) {}

    void tensors_match() {
        ASSERT_EQ(net_.variable_count(), net_.tensors().size());
        for (std::size_t i = 0; i < net_.variable_count(); ++i) {
            SCOPED_TRACE(net_.name_of_variable(i));
            EXPECT_EQ(net_.variable(i).size(), static_cast<std::size_t>(shape_of(net_.tensors()[i]["shape"]).count()));
            EXPECT_EQ(net_.trainable(i), net_.tensors()[i]["trainable"].template get<bool>());
        }
    }

    void outputs_match(bool training, double allowed) {
        const std::string prefix = training ? "training/" : "";
        EXPECT_TRUE(close(std::span<const T>(net_.probabilities(training)),
                          net_.golden().template get<double>(prefix + "probabilities"), {allowed, 0}));
        const double loss = net_.golden().template get<double>(prefix + "loss")[0];
        EXPECT_TRUE(close(net_.loss(training), loss, {0, bounds_.loss}));
    }

    void gradients_match() {
        std::vector<double> errors;
        for (std::size_t i = 0; i < net_.variable_count(); ++i) {
            if (!net_.trainable(i)) {
                continue;
            }
            SCOPED_TRACE(net_.name_of_variable(i));
            double norm = 0;
            for (const T g : net_.gradient(i)) {
                norm += static_cast<double>(g) * static_cast<double>(g);
            }
            EXPECT_TRUE(std::isfinite(norm));
            if (net_.tensors()[i]["zero_gradient"].template get<bool>()) {
                continue;  // exactly zero but for rounding
            }
            const std::vector<double> got = golden_sample(std::span<const T>(net_.gradient(i)));
            const auto want = net_.golden().template get<double>(fmt::format("gradient/{}", i));
            errors.push_back(nmse(std::span<const double>(got), want));
            EXPECT_LE(errors.back(), bounds_.gradient_nmse_worst);
            const double expected = net_.golden().template get<double>(fmt::format("gradient_norm/{}", i))[0];
            EXPECT_TRUE(close(std::sqrt(norm), expected, {0, std::sqrt(bounds_.gradient_nmse_worst)}));
        }
        std::ranges::sort(errors);
        EXPECT_LE(errors[errors.size() / 2], bounds_.gradient_nmse_median);
        ::testing::Test::RecordProperty("gradient_nmse_median", fmt::format("{:.1e}", errors[errors.size() / 2]));
        ::testing::Test::RecordProperty("gradient_nmse_worst", fmt::format("{:.1e}", errors.back()));
    }

    void moving_statistics_match() {
        for (std::size_t i = 0; i < net_.variable_count(); ++i) {
            if (!net_.trainable(i)) {
                const std::vector<double> got = golden_sample(net_.variable(i));
                const auto want = net_.golden().template get<double>(fmt::format("moving/{}", i));
                EXPECT_LE(nmse(std::span<const double>(got), want), bounds_.moving_nmse) << net_.name_of_variable(i);
            }
        }
    }

    void updates_match() {
        double worst = 0;
        for (std::size_t i = 0; i < net_.variable_count(); ++i) {
            const auto& row = net_.tensors()[i];
            if (!net_.trainable(i) || row["zero_gradient"].template get<bool>()) {
                continue;
            }
            const auto weights = net_.golden().template get<double>(fmt::format("weights64/{}", i));
            const std::vector<double> got = golden_sample(net_.variable(i));
            const std::vector<double> before = golden_sample(std::span<const double>(net_.initial(i)));
            const auto gradient = net_.golden().template get<double>(fmt::format("gradient/{}", i));
            const double norm = net_.golden().template get<double>(fmt::format("gradient_norm/{}", i))[0];
            std::vector<double> update, wanted;
            for (const std::size_t k : moved(gradient, norm, net_.variable(i).size())) {
                update.push_back(got[k] - before[k]);
                wanted.push_back(weights[k] - before[k]);
            }
            const double error = nmse(std::span<const double>(update), std::span<const double>(wanted));
            EXPECT_LE(error, bounds_.update_nmse) << net_.name_of_variable(i);
            worst = std::max(worst, error);
        }
        ::testing::Test::RecordProperty("update_nmse_worst", fmt::format("{:.1e}", worst));
    }

    void run(int steps) {
        tensors_match();
        net_.infer();
        outputs_match(false, bounds_.inference_probabilities);
        net_.train();
        outputs_match(true, bounds_.training_probabilities);
        gradients_match();
        moving_statistics_match();
        for (int step = 1; step < steps; ++step) {
            net_.train();
        }
        if (steps == 3) {
            updates_match();
        }
    }

private:
    GoldenNetwork<T> net_;
    NetworkBounds bounds_;
};

class Networks : public ::testing::TestWithParam<models::Model> {};

TEST_P(Networks, MatchKerasInFloat32) {
    Comparison<float>(GetParam(), cpu_device(), float_network(GetParam().name), "on").run(3);
}

INSTANTIATE_TEST_SUITE_P(All, Networks, ::testing::ValuesIn(reference_models()), test_name);

// The naive reference in float64, where kinks and rounding play no part: indexing and formulas alone.
#ifndef FER_CHECKED
TEST(ReferenceNetworks, SimplerCnnMatchesKerasInFloat64) {
    Comparison<double>(models::find("simpler_cnn"), cpu_device(true), double_network(true), "off").run(3);
}

TEST(ReferenceNetworks, SeparableCnnMatchesKerasInFloat64) {
    Comparison<double>(models::find("separable_cnn"), cpu_device(true), double_network(false), "on").run(1);
}

TEST(ReferenceNetworks, ResidualCnnMatchesKerasInFloat64) {
    Comparison<double>(models::find("residual_cnn"), cpu_device(true), double_network(true), "on").run(1);
}
#endif

}  // namespace
}  // namespace fer::test
