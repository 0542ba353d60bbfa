// The summary of every network: Keras's counts, and work that follows from the shapes.
#include "engine/report/summary.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/core/text.hpp"
#include "models/models.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

Step step_of(const models::Model& model, std::int64_t batch = 1) {
    StepOptions options;
    options.batch = batch;
    options.input.images = batch;
    options.input.height = model.height;
    options.input.width = model.width;
    options.input.channels = model.channels;
    options.fuse = "off";
    return evaluation_step(model.build, options);
}

class Summary : public ::testing::TestWithParam<std::size_t> {
protected:
    const models::Model& model_ = models::all()[GetParam()];
    const nlohmann::json json_ = nlohmann::json::parse(summary_json(step_of(model_), std::string(model_.name)));
};

TEST_P(Summary, TotalsAreKeras) {
    EXPECT_EQ(json_["model"], model_.name);
    EXPECT_EQ(json_["total_params"], model_.total);
    EXPECT_EQ(json_["trainable_params"], model_.trainable);
    EXPECT_EQ(json_["non_trainable_params"], model_.total - model_.trainable);
    const std::string table = summary_table(step_of(model_), std::string(model_.name));
    EXPECT_THAT(table, HasSubstr(fmt::format(" Total params: {} (", thousands(model_.total))));
    EXPECT_THAT(table, HasSubstr(fmt::format(" Trainable params: {} (", thousands(model_.trainable))));
    EXPECT_THAT(table,
                HasSubstr(fmt::format(" Non-trainable params: {} (", thousands(model_.total - model_.trainable))));
}

TEST_P(Summary, RowsAddUpToTheTotals) {
    for (const auto& [row, total] :
         std::map<std::string, std::string>{{"params", "total_params"},
                                            {"trainable", "trainable_params"},
                                            {"flops", "flops_per_image"},
                                            {"activation_bytes", "activation_bytes_per_image"}}) {
        std::int64_t sum = 0;
        for (const auto& layer : json_["layers"]) {
            sum += layer[row].get<std::int64_t>();
        }
        EXPECT_EQ(sum, json_[total]) << total;
    }
}

TEST_P(Summary, PerImageFiguresDoNotDependOnTheBatch) {
    EXPECT_EQ(nlohmann::json::parse(summary_json(step_of(model_, 4), std::string(model_.name))), json_);
}

INSTANTIATE_TEST_SUITE_P(Networks, Summary, ::testing::Range(std::size_t{0}, models::all().size()),
                         [](const auto& at) { return std::string(models::all()[at.param].name); });

TEST(SummaryOf, CustomCnnCostsWhatItsShapesSay) {
    // Multiplications and additions of the convolutions and dense layers: 2 * h * w * k * k * in * out each.
    const std::int64_t conv =
        2 * 9 *
        (48 * 48 * (1 * 32 + 32 * 64) + 24 * 24 * 64 * 128 + 22 * 22 * 128 * 256 + 11 * 11 * (256 * 512 + 512 * 512));
    const std::int64_t dense = 2 * (5 * 5 * 512 * 1024 + 1024 * 7);
    const auto json = nlohmann::json::parse(summary_json(step_of(models::find("custom_cnn")), "custom_cnn"));
    std::int64_t linear = 0;
    for (const auto& layer : json["layers"]) {
        if (layer["class"] == "Conv2D" || layer["class"] == "Dense") {
            linear += layer["flops"].get<std::int64_t>();
        }
    }
    EXPECT_GE(linear, conv + dense);
    const auto total = static_cast<double>(json["flops_per_image"].get<std::int64_t>());
    EXPECT_EQ(fmt::format("{:.3f}", total * 1e-9), "1.339") << conv + dense;
    EXPECT_THAT(summary_table(step_of(models::find("custom_cnn")), "custom_cnn"), HasSubstr("(1.339 G)"));
}

TEST(SummaryOf, LayersComeInKerasOrderWithTheirShapes) {
    const auto json = nlohmann::json::parse(summary_json(step_of(models::find("simpler_cnn")), "simpler_cnn"));
    std::vector<std::string> rows;
    for (const auto& layer : json["layers"]) {
        rows.push_back(fmt::format("{} {} {}", layer["name"].get<std::string>(),
                                   layer["output_shape"].get<std::string>(), layer["params"].get<std::int64_t>()));
    }
    EXPECT_THAT(rows, ::testing::IsSupersetOf({"conv2d (None, 48, 48, 32) 320", "conv2d_1 (None, 48, 48, 64) 18496",
                                               "batch_normalization (None, 48, 48, 64) 256",
                                               "max_pooling2d (None, 24, 24, 64) 0", "flatten (None, 18432) 0",
                                               "dense (None, 512) 9437696", "dense_1 (None, 7) 3591"}));
    EXPECT_EQ(rows[1], "conv2d (None, 48, 48, 32) 320") << "behind the input";
    EXPECT_EQ(rows.back(), "dense_1 (None, 7) 3591");
}

}  // namespace
}  // namespace fer::test
