// predictions.csv written and read, and what is counted from it, against definitions written out.
#include "engine/report/predictions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/report/calibration.hpp"
#include "engine/report/mistakes.hpp"
#include "engine/report/roc.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Rows of probabilities that add up to one, with ties in every tenth.
Predictions drawn(unsigned seed, int rows, std::vector<std::string> classes = {"a", "b", "c"}) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(0.01f, 1.0f);
    Predictions p{std::move(classes), {}, {}, {}};
    for (int i = 0; i < rows; ++i) {
        p.files.push_back(fmt::format("face {}.png", i));
        p.truth.push_back(static_cast<std::int32_t>(random() % p.classes.size()));
        std::vector<float> row(p.classes.size());
        float sum = 0;
        for (float& v : row) {
            v = i % 10 == 0 ? 0.5f : uniform(random);
            sum += v;
        }
        for (const float v : row) {
            p.probabilities.push_back(v / sum);
        }
    }
    return p;
}

TEST(Predictions, ComeBackBitForBit) {
    const Predictions p = drawn(1, 300);
    const Predictions back = parse_predictions(predictions_csv(p), "p.csv");
    EXPECT_EQ(back.classes, p.classes);
    EXPECT_EQ(back.files, p.files);
    EXPECT_EQ(back.truth, p.truth);
    EXPECT_EQ(back.probabilities, p.probabilities);
}

TEST(Predictions, NamesMayHoldAnything) {
    Predictions p = drawn(2, 2, {"a,b", "\"c\"", "d\ne"});
    p.files = {"x,\"y\"\nz.png", "plain.png"};
    const Predictions back = parse_predictions(predictions_csv(p), "p.csv");
    EXPECT_EQ(back.classes, p.classes);
    EXPECT_EQ(back.files, p.files);
}

TEST(Predictions, WhatIsBrokenIsNamedWithItsLine) {
    const auto broken = [](const std::string& csv) {
        return error_of<DataError>([&] { parse_predictions(csv, "p.csv"); });
    };
    const std::string head = "file,true,pred,p_a,p_b\n", good = "x,a,b,0.25,0.75\n";
    EXPECT_THAT(broken(""), HasSubstr("p.csv:1: the columns are not"));
    EXPECT_THAT(broken("file,pred,true,p_a\n"), HasSubstr("p.csv:1: the columns are not"));
    EXPECT_THAT(broken(head + good + "y,a,b,0.25\n"), HasSubstr("p.csv:3: 4 columns, 5 expected"));
    EXPECT_THAT(broken(head + "y,z,b,0.25,0.75\n"), HasSubstr("p.csv:2: 'z' is none of its classes"));
    EXPECT_THAT(broken(head + "y,a,b,0.25,nan\n"), HasSubstr("p.csv:2: 'nan' is not a probability"));
    EXPECT_THAT(broken(head + "y,a,b,0.25,1.5\n"), HasSubstr("'1.5' is not a probability"));
    EXPECT_THAT(broken(head + "\"y\n\",a,b,0.25,0.75\nz,a,a,0.25,0.75\n"),
                HasSubstr("p.csv:4: 'a' is not its most probable class"));
    EXPECT_EQ(parse_predictions(head + good, "p.csv").size(), 1);
    EXPECT_EQ(parse_predictions("file,true,pred,p_a,p_b\r\nx,a,b,0.25,0.75\r\n", "p.csv").size(), 1);
}

TEST(Predictions, TopAccuracyCountsTheFirstOfEqualOnesAsMoreProbable) {
    const Predictions p{
        {"a", "b", "c"}, {"1", "2", "3"}, {2, 1, 0}, {0.4f, 0.4f, 0.2f, 0.2f, 0.4f, 0.4f, 0.1f, 0.2f, 0.7f}};
    EXPECT_EQ(top_accuracy(p, 1), 1.0 / 3);
    EXPECT_EQ(top_accuracy(p, 2), 1.0 / 3);
    EXPECT_EQ(top_accuracy(p, 3), 1.0);
    EXPECT_EQ(top_accuracy(p, 1), scores_of(p.confusion()).accuracy);
}

TEST(Roc, AreaIsTheChanceToRankAPairRightly) {
    for (unsigned seed = 0; seed < 5; ++seed) {
        SCOPED_TRACE(seed);
        const Predictions p = drawn(seed, 200);
        for (int c = 0; c < 3; ++c) {
            double right = 0, pairs = 0;
            for (std::int64_t i = 0; i < p.size(); ++i) {
                for (std::int64_t k = 0; k < p.size(); ++k) {
                    if (p.truth[static_cast<std::size_t>(i)] == c && p.truth[static_cast<std::size_t>(k)] != c) {
                        const float mine = p.row(i)[static_cast<std::size_t>(c)];
                        const float other = p.row(k)[static_cast<std::size_t>(c)];
                        right += mine > other ? 1 : mine == other ? 0.5 : 0;
                        pairs += 1;
                    }
                }
            }
            const auto curve = roc_of(p, c);
            ASSERT_TRUE(curve);
            EXPECT_TRUE(close(curve->auc, right / pairs, double_steps(1000)));
            EXPECT_EQ(curve->false_positive_rate.front(), 0);
            EXPECT_EQ(curve->true_positive_rate.back(), 1);
            EXPECT_TRUE(std::ranges::is_sorted(curve->true_positive_rate));
        }
    }
}

TEST(Roc, PerfectUselessAndUndefined) {
    const Predictions perfect{{"a", "b"}, {"1", "2"}, {0, 1}, {0.9f, 0.1f, 0.2f, 0.8f}};
    EXPECT_EQ(roc_of(perfect, 0)->auc, 1);
    const Predictions equal{{"a", "b"}, {"1", "2"}, {0, 1}, {0.5f, 0.5f, 0.5f, 0.5f}};
    EXPECT_EQ(roc_of(equal, 0)->auc, 0.5);
    EXPECT_EQ(roc_of(equal, 0)->false_positive_rate.size(), 2u) << "images of one probability pass together";
    const Predictions single{{"a", "b"}, {"1"}, {0}, {0.5f, 0.5f}};
    EXPECT_FALSE(roc_of(single, 0));
    EXPECT_FALSE(roc_of(single, 1));
}

TEST(CalibrationBins, CountedByHand) {
    // Four bins: 0.30 and 0.45 fall into (0.25, 0.5], 0.9 and 1 into (0.75, 1].
    const Predictions p{{"a", "b", "c", "d"},
                        {"1", "2", "3", "4"},
                        {0, 1, 0, 2},
                        {0.30f, 0.25f, 0.25f, 0.2f, 0.45f, 0.2f, 0.2f, 0.15f, 0.9f, 0.1f, 0, 0, 1, 0, 0, 0}};
    const Calibration calibration = calibration_of(p, 4);
    ASSERT_EQ(calibration.bins.size(), 4u);
    EXPECT_EQ(calibration.bins[0].count, 0);
    EXPECT_EQ(calibration.bins[1].count, 2);
    EXPECT_EQ(calibration.bins[1].accuracy, 0.5);
    EXPECT_EQ(calibration.bins[3].count, 2);
    EXPECT_EQ(calibration.bins[3].accuracy, 0.5);
    const Tolerance tolerance = double_steps(1 << 30);  // the probabilities are floats
    EXPECT_TRUE(close(calibration.bins[1].confidence, 0.375, tolerance));
    EXPECT_TRUE(close(calibration.error, 0.5 * 0.125 + 0.5 * 0.45, tolerance));
}

TEST(CalibrationBins, AnEdgeBelongsToTheBinBelow) {
    const Predictions p{{"a", "b"}, {"1"}, {0}, {0.5f, 0.5f}};
    EXPECT_EQ(calibration_of(p, 4).bins[1].count, 1);
    EXPECT_EQ(calibration_of(Predictions{{"a"}, {}, {}, {}}, 4).error, 0);
}

TEST(Mistakes, TheSurestFirst) {
    const Predictions p{
        {"a", "b"}, {"1", "2", "3", "4"}, {0, 0, 1, 0}, {0.4f, 0.6f, 0.1f, 0.9f, 0.7f, 0.3f, 0.8f, 0.2f}};
    EXPECT_THAT(worst_mistakes(p, 9), ElementsAre(1, 2, 0));
    EXPECT_THAT(worst_mistakes(p, 2), ElementsAre(1, 2));
    EXPECT_THAT(worst_mistakes(p, 9, 0, 1), ElementsAre(1, 0));
    EXPECT_THAT(rows_to_picture(p), ElementsAre(0, 1, 2));
}

TEST(Mistakes, PicturesComeBackAndAreOfTheirRows) {
    Predictions p = drawn(3, 5);
    std::string bytes;
    for (int i = 0; i < 256; ++i) {
        bytes += static_cast<char>(i);
    }
    const Pictures pictures{{0, ""}, {1, "a"}, {2, "ab"}, {3, "abc"}, {4, bytes}};
    const std::string json = pictures_json(pictures, p);
    EXPECT_EQ(parse_pictures(json, p, "p.json"), pictures);
    EXPECT_EQ(base64("Many hands"), "TWFueSBoYW5kcw==");
    p.files[3] = "another.png";
    EXPECT_EQ(parse_pictures(json, p, "p.json").count(3), 0u) << "a picture of another evaluation";
    p.files[3] = "caf\xE9.png";
    EXPECT_EQ(parse_pictures(pictures_json(pictures, p), p, "p.json"), pictures) << "a name that is not UTF-8";
    EXPECT_THAT(error_of<DataError>([&] { parse_pictures("[]", p, "p.json"); }), HasSubstr("p.json: not the pictures"));
    EXPECT_THAT(error_of<DataError>([&] {
                    parse_pictures(R"({"images": [{"row": 0, "file": "face 0.png", "png": "<b>"}]})", p, "p.json");
                }),
                HasSubstr("p.json: a picture is not base64"));
}

}  // namespace
}  // namespace fer::test
