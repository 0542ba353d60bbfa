// classification_report to the letter, and its numbers, against scikit-learn.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "engine/core/file.hpp"
#include "engine/report/classification.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

const nlohmann::json& golden() {
    static const nlohmann::json file = nlohmann::json::parse(read_file(golden_path("classification_report.json")));
    return file;
}

ConfusionMatrix matrix_of(const nlohmann::json& c) {
    ConfusionMatrix matrix(c["classes"].get<std::vector<std::string>>());
    for (std::size_t t = 0; t < matrix.classes.size(); ++t) {
        for (std::size_t p = 0; p < matrix.classes.size(); ++p) {
            matrix.at(t, p) = c["matrix"][t][p];
        }
    }
    return matrix;
}

void expect_score(const ClassScore& got, const nlohmann::json& want) {
    // A ratio of sums over at most twelve classes, each rounded once.
    const Tolerance tolerance = double_steps(64);
    EXPECT_TRUE(close(got.precision, want["precision"].get<double>(), tolerance)) << "precision";
    EXPECT_TRUE(close(got.recall, want["recall"].get<double>(), tolerance)) << "recall";
    EXPECT_TRUE(close(got.f1, want["f1-score"].get<double>(), tolerance)) << "f1-score";
    EXPECT_EQ(static_cast<double>(got.support), want["support"].get<double>());
}

class ClassificationReport : public ::testing::TestWithParam<std::size_t> {};

TEST_P(ClassificationReport, IsScikitLearns) {
    const nlohmann::json& c = golden()["cases"][GetParam()];
    const ConfusionMatrix matrix = matrix_of(c);
    // Where nothing at all is right, scikit-learn prints its supports as floats; a count stays a count here.
    auto text = c["text"].get<std::string>();
    if (matrix.hits() == 0) {
        text = std::regex_replace(text, std::regex(" ([ 0-9]*[0-9])\\.0\n"), "   $1\n");
    }
    EXPECT_EQ(classification_report(matrix), text);
    const Scores scores = scores_of(matrix);
    for (std::size_t i = 0; i < matrix.classes.size(); ++i) {
        SCOPED_TRACE(matrix.classes[i]);
        expect_score(scores.per_class[i], c["values"][matrix.classes[i]]);
    }
    expect_score(scores.macro, c["values"]["macro avg"]);
    expect_score(scores.weighted, c["values"]["weighted avg"]);
    EXPECT_EQ(scores.accuracy, c["accuracy"].get<double>());
}

INSTANTIATE_TEST_SUITE_P(ScikitLearn, ClassificationReport, ::testing::Range(std::size_t{0}, golden()["cases"].size()));

}  // namespace
}  // namespace fer::test
