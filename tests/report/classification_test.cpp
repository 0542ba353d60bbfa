// Confusions, intervals and reports of small matrices that can be counted by hand.
#include "engine/report/classification.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/expect_error.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

ConfusionMatrix matrix_of(std::vector<std::string> classes, const std::vector<std::int64_t>& counts) {
    ConfusionMatrix matrix(std::move(classes));
    matrix.counts = counts;
    return matrix;
}

TEST(Wilson, EqualsItsClosedForms) {
    // z is the 97.5 % quantile of the normal distribution. With no hits the interval is [0, z²/(n+z²)], with all
    // [n/(n+z²), 1]; with half of them its centre is 1/2 and its half width z/2/sqrt(n+z²).
    const double z2 = 1.959963984540054 * 1.959963984540054;
    for (const std::int64_t n : {1, 7, 28, 7178, 1000000}) {
        const auto count = static_cast<double>(n);
        const Interval none = wilson(0, n);
        EXPECT_EQ(none.low, 0);
        EXPECT_TRUE(close(none.high, z2 / (count + z2), double_steps(32)));
        const Interval all = wilson(n, n);
        EXPECT_TRUE(close(all.low, count / (count + z2), double_steps(32)));
        EXPECT_TRUE(close(all.high, 1.0, double_steps(32)));
        EXPECT_LE(all.high, 1.0);
        if (n % 2 == 0) {
            const Interval half = wilson(n / 2, n);
            const double width = std::sqrt(z2) / 2 / std::sqrt(count + z2);
            EXPECT_TRUE(close(half.low, 0.5 - width, double_steps(32)));
            EXPECT_TRUE(close(half.high, 0.5 + width, double_steps(32)));
        }
    }
    EXPECT_EQ(wilson(0, 0).low, 0);
    EXPECT_EQ(wilson(0, 0).high, 1);
}

TEST(Wilson, EqualsThePublishedExample) {
    // Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, 15 of 148 gives 0.0624 to 0.1605.
    const Tolerance printed = printed_decimals(4);
    EXPECT_TRUE(close(wilson(81, 263).low, 0.2553, printed));
    EXPECT_TRUE(close(wilson(81, 263).high, 0.3662, printed));
    EXPECT_TRUE(close(wilson(15, 148).low, 0.0624, printed));
    EXPECT_TRUE(close(wilson(15, 148).high, 0.1605, printed));
}

TEST(Confusion, CountsRowsTrueColumnsPredicted) {
    const std::vector<float> probabilities{0.7f, 0.2f, 0.1f,   // a as a
                                           0.1f, 0.2f, 0.7f,   // a as c
                                           0.4f, 0.4f, 0.2f,   // b: a tie goes to the first
                                           0.0f, 0.5f, 0.5f};  // c: again
    const std::vector<std::int32_t> labels{0, 0, 1, 2};
    const ConfusionMatrix matrix = confusion_of(probabilities, labels, {"a", "b", "c"});
    EXPECT_EQ(matrix.counts, (std::vector<std::int64_t>{1, 0, 1, 1, 0, 0, 0, 1, 0}));
    EXPECT_EQ(matrix.total(), 4);
    EXPECT_EQ(matrix.hits(), 1);
    EXPECT_THAT(error_of<UsageError>([&] {
                    confusion_of(probabilities, labels, {"a", "b"});
                }),
                ::testing::HasSubstr("12 probabilities for 4 images"));
}

TEST(Confusion, ScoresCountAClassWithoutImagesOnlyInTheMacroMean) {
    const Scores scores = scores_of(matrix_of({"a", "b", "c"}, {3, 1, 0, 0, 2, 0, 0, 0, 0}));
    EXPECT_EQ(scores.accuracy, 5.0 / 6);
    EXPECT_EQ(scores.balanced_accuracy, (0.75 + 1.0) / 2) << "of the classes present";
    EXPECT_TRUE(close(scores.macro.recall, (0.75 + 1.0) / 3, double_steps(8)));
    EXPECT_EQ(scores.per_class[2].f1, 0);
    EXPECT_EQ(scores.weighted.support, 6);
    const Scores none = scores_of(ConfusionMatrix({"a", "b"}));
    EXPECT_EQ(none.accuracy, 0) << "0/0 is 0, never NaN";
    EXPECT_EQ(none.weighted.f1, 0);
    EXPECT_EQ(none.balanced_accuracy, 0);
}

TEST(Confusion, AsTheDictionaryOfScikitLearn) {
    const auto json = nlohmann::ordered_json::parse(classification_json(matrix_of({"a", "b"}, {3, 1, 0, 2})));
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items()) {
        keys.push_back(key);
    }
    EXPECT_THAT(keys, ::testing::ElementsAre("a", "b", "accuracy", "macro avg", "weighted avg"));
    EXPECT_EQ(json["a"]["recall"], 0.75);
    EXPECT_EQ(json["b"]["precision"], 2.0 / 3);
    EXPECT_EQ(json["accuracy"], 5.0 / 6);
    EXPECT_EQ(json["macro avg"]["support"], 6);
}

TEST(Confusion, NamesTheMostFrequentMistakes) {
    const ConfusionMatrix matrix = matrix_of({"fear", "sad", "neutral"}, {50, 21, 3, 3, 70, 19, 0, 3, 90});
    EXPECT_EQ(most_confused(matrix, 2), "fear->sad 21, sad->neutral 19");
    EXPECT_EQ(most_confused(matrix, 4), "fear->sad 21, sad->neutral 19, fear->neutral 3, sad->fear 3")
        << "equal ones in the order of the matrix";
    EXPECT_EQ(most_confused(matrix, 9).find("neutral->fear"), std::string::npos) << "what never happened is no mistake";
    EXPECT_EQ(most_confused(matrix_of({"a", "b"}, {1, 0, 0, 1}), 3), "");
}

TEST(Confusion, TableAndCsv) {
    const ConfusionMatrix matrix = matrix_of({"angry", "a long class name"}, {10, 2, 3, 1234567});
    EXPECT_EQ(confusion_csv(matrix), "true,angry,a long class name\nangry,10,2\na long class name,3,1234567\n");
    EXPECT_EQ(confusion_table(matrix),
              "   true\\predicted              angry a long class name\n"
              "            angry                 10                 2\n"
              "a long class name                  3           1234567\n");
}

TEST(Confusion, CsvQuotesWhatNeedsIt) {
    EXPECT_EQ(confusion_csv(matrix_of({"a,b", "\"c\""}, {1, 0, 0, 1})),
              "true,\"a,b\",\"\"\"c\"\"\"\n\"a,b\",1,0\n\"\"\"c\"\"\",0,1\n");
}

TEST(Confusion, TableColumnsCountCharacters) {
    const std::string table = confusion_table(matrix_of({"dégoût", "joie"}, {1, 0, 0, 1}));
    EXPECT_EQ(table,
              "true\\predicted  dégoût   joie\n"
              "        dégoût       1      0\n"
              "          joie       0      1\n");
}

}  // namespace
}  // namespace fer::test
