// EarlyStopping and ReduceLROnPlateau, epoch by epoch, against traces of Keras 2.15.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/train/callbacks.hpp"
#include "tests/support/golden.hpp"

namespace fer::test {
namespace {

const nlohmann::json& golden() {
    static const nlohmann::json file = nlohmann::json::parse(read_file(golden_path("callbacks.json")));
    return file;
}

double number(const nlohmann::json& json) {
    if (json.is_string()) {
        return json == "nan" ? std::nan("") : json == "inf" ? HUGE_VAL : -HUGE_VAL;
    }
    return json.get<double>();
}

/// The engine has no mode: the direction follows from the name, as in Keras's "auto". A trace with an explicit mode is
/// replayed under a name of that direction.
std::string monitor_of(const nlohmann::json& config) {
    if (config.contains("mode")) {
        return config["mode"] == "max" ? "val_accuracy" : "val_loss";
    }
    return config["monitor"];
}

/// Keras 2 starts its best at the worst value there is; here it is NaN until there is one.
::testing::AssertionResult same_best(double ours, const nlohmann::json& keras) {
    const double want = number(keras);
    if (std::isnan(ours) ? std::isinf(want) : ours == want) {
        return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << "best is " << ours << ", in Keras " << want;
}

void replay_early_stopping(const nlohmann::json& trace) {
    const nlohmann::json& config = trace["config"];
    EarlyStopping::Options options{.monitor = monitor_of(config), .baseline = std::nullopt};
    options.patience = config.value("patience", 0);
    options.min_delta = config.value("min_delta", 0.0);
    options.restore_best_weights = config.value("restore_best_weights", false);
    options.start_from_epoch = config.value("start_from_epoch", 0);
    if (config.contains("baseline")) {
        options.baseline = config["baseline"].get<double>();
    }
    EarlyStopping callback(options);
    int remembered = -1;
    int weights_of_epoch = -1;
    for (int epoch = 0; epoch < static_cast<int>(trace["epochs"].size()); ++epoch) {
        SCOPED_TRACE(::testing::Message() << "epoch " << epoch);
        const nlohmann::json& row = trace["epochs"][static_cast<std::size_t>(epoch)];
        weights_of_epoch = epoch;
        EarlyStopping::Decision decision;
        if (!row["value"].is_null()) {  // a metric that was not logged: Keras warns, and the trainer always has one
            decision = callback.end_of_epoch(epoch, number(row["value"]));
        }
        remembered = decision.take_weights ? epoch : remembered;
        weights_of_epoch = decision.restore ? remembered : weights_of_epoch;
        EXPECT_EQ(callback.state().wait, row["wait"].get<int>());
        EXPECT_EQ(callback.state().best_epoch, row["best_epoch"].get<int>());
        EXPECT_TRUE(same_best(callback.state().best, row["best"]));
        ASSERT_EQ(decision.stop, row["stopped"].get<bool>());
    }
    EXPECT_EQ(weights_of_epoch, trace["weights_of_epoch"].get<int>());
}

void replay_reduce_lr(const nlohmann::json& trace) {
    const nlohmann::json& config = trace["config"];
    ReduceLrOnPlateau::Options options{.monitor = monitor_of(config)};
    options.factor = config.value("factor", 0.1);
    options.patience = config.value("patience", 10);
    options.min_delta = config.value("min_delta", 1e-4);
    options.cooldown = config.value("cooldown", 0);
    options.min_lr = config.value("min_lr", 0.0);
    ReduceLrOnPlateau callback(options);
    auto rate = static_cast<float>(trace["initial_lr"].get<double>());
    for (std::size_t epoch = 0; epoch < trace["epochs"].size(); ++epoch) {
        SCOPED_TRACE(::testing::Message() << "epoch " << epoch);
        const nlohmann::json& row = trace["epochs"][epoch];
        if (!row["value"].is_null()) {
            rate = callback.end_of_epoch(number(row["value"]), rate);
        }
        EXPECT_EQ(callback.state().wait, row["wait"].get<int>());
        EXPECT_EQ(callback.state().cooldown, row["cooldown_counter"].get<int>());
        EXPECT_TRUE(same_best(callback.state().best, row["best"]));
        EXPECT_EQ(static_cast<double>(rate), row["lr"].get<double>());
    }
}

class Callbacks : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Callbacks, DecideAsKeras) {
    const nlohmann::json& trace = golden()["cases"][GetParam()];
    SCOPED_TRACE(trace["config"].dump());
    if (trace["callback"] == "EarlyStopping") {
        replay_early_stopping(trace);
    } else {
        ASSERT_EQ(trace["callback"], "ReduceLROnPlateau");
        replay_reduce_lr(trace);
    }
}

INSTANTIATE_TEST_SUITE_P(Keras, Callbacks, ::testing::Range(std::size_t{0}, golden()["cases"].size()),
                         [](const ::testing::TestParamInfo<std::size_t>& at) {
                             return golden()["cases"][at.param]["callback"].get<std::string>() +
                                    std::to_string(at.param);
                         });

TEST(BestCheckpoint, TakesStrictlyBetterValuesOnly) {
    BestCheckpoint loss("val_loss");
    const double nan = std::nan("");
    std::vector<bool> taken;
    for (const double value : {nan, 1.0, 1.0, 0.5, nan, 0.7, 0.4}) {
        taken.push_back(loss.end_of_epoch(static_cast<int>(taken.size()), value));
    }
    EXPECT_EQ(taken, (std::vector<bool>{false, true, false, true, false, false, true}));
    EXPECT_EQ(loss.state().best_epoch, 6);
    BestCheckpoint accuracy("val_accuracy");
    EXPECT_TRUE(accuracy.end_of_epoch(0, 0.2));
    EXPECT_FALSE(accuracy.end_of_epoch(1, 0.1));
    EXPECT_TRUE(accuracy.end_of_epoch(2, 0.3));
}

TEST(Monitor, LargerIsBetterForAccuraciesOnly) {
    for (const char* name : {"accuracy", "val_accuracy", "val_acc", "auc"}) {
        EXPECT_TRUE(larger_is_better(name)) << name;
    }
    for (const char* name : {"loss", "val_loss", "accuracy_loss"}) {
        EXPECT_FALSE(larger_is_better(name)) << name;
    }
}

}  // namespace
}  // namespace fer::test
