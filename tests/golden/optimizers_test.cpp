// Adam, SGD and RMSprop step by step against Keras 2.15, with gradients from 1 down to 1e-9, also clipped.
#include <gtest/gtest.h>

#include "engine/core/file.hpp"
#include "engine/graph/op.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/op_runner.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

const nlohmann::json& golden() {
    static const nlohmann::json file = nlohmann::json::parse(read_file(golden_path("optimizers.json")));
    return file;
}

/// The decimals are shortest forms of float32 values.
std::vector<double> floats(const nlohmann::json& list) {
    std::vector<double> values;
    for (const auto& v : list) {
        values.push_back(static_cast<double>(v.get<float>()));
    }
    return values;
}

/// What the engine's rules have no attribute for.
bool supported(const nlohmann::json& config) {
    for (const char* key : {"weight_decay", "clipnorm"}) {
        if (!config[key].is_null()) {
            return false;
        }
    }
    return !config.value("centered", false);
}

struct Rule {
    OpKind kind;
    Attributes attrs;
    std::vector<std::string> slots;  // as Keras names them, in the order of our state
};

Rule rule_of(const nlohmann::json& c) {
    const auto& config = c["config"];
    const auto name = c["optimizer"].get<std::string>();
    if (name == "Adam") {
        return {OpKind::kAdam, AdamAttrs{config["beta_1"], config["beta_2"], config["epsilon"]}, {"m", "v"}};
    }
    const auto momentum = config["momentum"].get<double>();
    if (name == "SGD") {
        return {OpKind::kSgd, SgdAttrs{momentum, config["nesterov"].get<bool>()},
                momentum != 0 ? std::vector<std::string>{"m"} : std::vector<std::string>{}};
    }
    return {OpKind::kRmsProp, RmsPropAttrs{config["rho"], momentum, config["epsilon"]},
            momentum != 0 ? std::vector<std::string>{"velocity", "momentum"} : std::vector<std::string>{"velocity"}};
}

/// What the optimizer sees of a gradient.
Tensor clipped(const nlohmann::json& config, const Tensor& gradient) {
    const auto limit = [&](const char* key) { return config[key].is_null() ? 0.0f : config[key].get<float>(); };
    const ClipAttrs clip{limit("global_clipnorm"), limit("clipvalue")};
    return clip == ClipAttrs{} ? gradient : run_reference(OpKind::kClipGradients, clip, {}, {gradient}).state[0];
}

/// Runs the golden's steps; after each, `check(step, weights)`. Returns the final slots.
template <class Check>
std::vector<Tensor> follow(const nlohmann::json& c, DType real, Check check) {
    const Rule rule = rule_of(c);
    const Tensor rate{Shape{}, {static_cast<double>(c["config"]["learning_rate"].get<float>())}};
    std::vector<Tensor> state{{{5}, floats(golden()["initial"]), real}};
    for (std::size_t i = 0; i < rule.slots.size(); ++i) {
        state.push_back({{5}, std::vector<double>(5, 0.0), real});
    }
    for (std::size_t step = 0; step < golden()["gradients"].size(); ++step) {
        const Tensor gradient = clipped(c["config"], {{5}, floats(golden()["gradients"][step]), real});
        const Tensor clock = clock_tensor(0, static_cast<std::int64_t>(step));
        state = run_reference(rule.kind, rule.attrs, {rate, clock, gradient}, state).state;
        check(step, state[0].values);
    }
    return {state.begin() + 1, state.end()};
}

/// The learning rate is float32 by contract: every update so far carries its error, 2^-24 of the update.
Tolerance float_rate(double path) { return {kRoundFloat * path + double_steps(64).absolute, 0}; }

class Optimizers : public ::testing::TestWithParam<std::size_t> {
protected:
    const nlohmann::json& case_ = golden()["cases"][GetParam()];
};

TEST_P(Optimizers, Float64FollowsTheFormula) {
    double path = 0;
    std::vector<double> before = floats(golden()["initial"]);
    follow(case_, DType::kF64, [&](std::size_t step, const std::vector<double>& weights) {
        const auto want = case_["weights64"][step].get<std::vector<double>>();
        double longest = 0;
        for (std::size_t i = 0; i < want.size(); ++i) {
            longest = std::max(longest, std::abs(want[i] - before[i]));
        }
        path += longest;
        before = want;
        EXPECT_TRUE(close(weights, want, float_rate(path))) << "step " << step;
    });
}

TEST_P(Optimizers, Float32StaysWithinItsRoundings) {
    const auto slots = follow(case_, DType::kF32, [&](std::size_t step, const std::vector<double>& weights) {
        const auto want = case_["weights64"][step].get<std::vector<double>>();
        EXPECT_TRUE(close(weights, want, float_steps(static_cast<int>(step) + 2))) << "step " << step;
    });
    const Rule rule = rule_of(case_);
    for (std::size_t i = 0; i < slots.size(); ++i) {
        const std::vector<double> want = floats(case_["slots"][rule.slots[i]]);
        // A moment is a sum of six terms of changing sign: its roundings are those of the largest term.
        double largest = 0;
        for (const double v : want) {
            largest = std::max(largest, std::abs(v));
        }
        for (std::size_t k = 0; k < want.size(); ++k) {
            double scale = 0;
            for (const auto& gradient : golden()["gradients"]) {
                scale = std::max(scale, std::abs(gradient[k].get<double>()));
            }
            EXPECT_TRUE(
                close(slots[i].values[k], want[k], float_steps(8, std::min(largest, std::max(scale, scale * scale)))))
                << rule.slots[i] << "[" << k << "]";
        }
    }
}

std::vector<std::size_t> supported_cases() {
    std::vector<std::size_t> list;
    for (std::size_t i = 0; i < golden()["cases"].size(); ++i) {
        if (supported(golden()["cases"][i]["config"])) {
            list.push_back(i);
        }
    }
    return list;
}

INSTANTIATE_TEST_SUITE_P(Cases, Optimizers, ::testing::ValuesIn(supported_cases()));

TEST(OptimizerGoldens, EveryRuleHasItsCases) { EXPECT_EQ(supported_cases().size(), 10u); }

// A tensor of its own for every parameter, in any number: the rule is the same for all.
TEST(OptimizerState, SeveralTensorsDoNotMix) {
    const Tensor rate{Shape{}, {0.5}}, clock = clock_tensor(0, 0);
    const Tensor ga = random_tensor({3, 2}, 1), gb = random_tensor({4}, 2), a = random_tensor({3, 2}, 3),
                 b = random_tensor({4}, 4), za = constant_tensor({3, 2}, 0), zb = constant_tensor({4}, 0);
    const auto both = run_reference(OpKind::kAdam, AdamAttrs{}, {rate, clock, ga, gb}, {a, b, za, zb, za, zb}).state;
    const auto first = run_reference(OpKind::kAdam, AdamAttrs{}, {rate, clock, ga}, {a, za, za}).state;
    const auto second = run_reference(OpKind::kAdam, AdamAttrs{}, {rate, clock, gb}, {b, zb, zb}).state;
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(both[2 * i].values, first[i].values);
        EXPECT_EQ(both[2 * i + 1].values, second[i].values);
    }
}

TEST(Ema, MovesTowardsTheValue) {
    const Tensor value = constant_tensor({3}, 4), average = constant_tensor({3}, 0);
    const auto after = run_reference(OpKind::kEma, ScalarAttrs{0.75f}, {value}, {average}).state[0].values;
    EXPECT_EQ(after, std::vector<double>(3, 1.0));
}

}  // namespace
}  // namespace fer::test
