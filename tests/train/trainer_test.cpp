// What a training run does, on a run of a dozen steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/run/buffer.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/threads.hpp"
#include "tests/support/tolerance.hpp"
#include "tests/train/small_run.hpp"

namespace fer::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

/// A rate that leaves every weight as it is.
constexpr double kStandstill = 1e-12;

class TrainerTest : public ::testing::Test {
protected:
    const Threads one_{1};
    const TemporaryFolder folder_;
};

std::vector<std::int32_t> all_of(const Dataset& data) {
    std::vector<std::int32_t> indices(static_cast<std::size_t>(data.size()));
    std::iota(indices.begin(), indices.end(), 0);
    return indices;
}

double penalty(const Session& session) {
    double sum = 0;
    for (const float w : session.variables().get<float>("conv2d/kernel")) {
        sum += static_cast<double>(w) * static_cast<double>(w);
    }
    return 0.01 * sum;
}

/// Mean of weight(label) * -log p(label) over the images of an evaluation, and the hits.
struct Recount {
    double loss = 0;
    std::int64_t hits = 0;
};
Recount recount(const Dataset& data, const std::vector<std::int32_t>& indices, const std::vector<float>& probabilities,
                const std::vector<float>& weights = std::vector<float>(7, 1.0f)) {
    Recount result;
    for (std::size_t i = 0; i < indices.size(); ++i) {
        const float* row = probabilities.data() + 7 * i;
        const auto label = static_cast<std::size_t>(data.labels[static_cast<std::size_t>(indices[i])]);
        result.loss -= static_cast<double>(weights[label]) * std::log(static_cast<double>(row[label]));
        result.hits += std::max_element(row, row + 7) - row == static_cast<std::ptrdiff_t>(label) ? 1 : 0;
    }
    result.loss /= static_cast<double>(indices.size());
    return result;
}

/// A loss is a float32 mean of logarithms of probabilities that are right to a few roundings.
Tolerance loss_tolerance(std::size_t images) { return float_sum(static_cast<std::int64_t>(images), 4.0); }

TEST_F(TrainerTest, EvaluationEqualsARecount) {
    SmallRun run(small_config(1));
    run.run();
    const Dataset& data = SmallRun::default_faces();
    const std::vector<std::int32_t> indices = all_of(data);
    const Evaluation evaluation = run.session().evaluate(indices);  // 84 images: five batches and a tail of 4
    const Recount want = recount(data, indices, evaluation.probabilities);
    EXPECT_EQ(evaluation.metrics.images, data.size());
    EXPECT_EQ(evaluation.metrics.accuracy, static_cast<double>(want.hits) / static_cast<double>(data.size()));
    EXPECT_TRUE(close(evaluation.metrics.loss, want.loss + penalty(run.session()), loss_tolerance(indices.size())));
}

TEST_F(TrainerTest, ProbabilitiesComeInTheOrderAsked) {
    SmallRun run(small_config(1));
    run.run();
    const std::vector<std::int32_t> order{5, 0, 83, 5};
    const auto all = run.session().evaluate(all_of(SmallRun::default_faces())).probabilities;
    const auto some = run.session().evaluate(order).probabilities;
    for (std::size_t i = 0; i < order.size(); ++i) {
        const std::vector<float> got(some.begin() + 7 * static_cast<std::ptrdiff_t>(i),
                                     some.begin() + 7 * static_cast<std::ptrdiff_t>(i + 1));
        const auto at = all.begin() + 7 * order[i];
        EXPECT_TRUE(close(got, std::vector<float>(at, at + 7), float_steps(64))) << "image " << order[i];
    }
}

TEST_F(TrainerTest, EveryImageCountsOnceAlsoThoseOfTheTail) {
    // With the weights standing still, the loss of an epoch is the loss of its images, however they were batched.
    for (const int batch : {1, 7, 16, 55, 56, 64}) {
        SCOPED_TRACE(::testing::Message() << "batch " << batch);
        Config config = small_config(1);
        config.train.batch = batch;
        config.optimizer.lr = kStandstill;
        SmallRun run(config, {}, SmallRun::default_faces(), plain_net);
        run.run();
        EXPECT_EQ(run.watcher.steps, (56 + batch - 1) / batch);
        const Metrics trained = run.session().training_metrics();
        EXPECT_EQ(trained.images, 56);
        const Evaluation evaluation = run.session().evaluate(run.split().train);
        EXPECT_EQ(trained.accuracy, evaluation.metrics.accuracy);
        EXPECT_TRUE(close(trained.loss, evaluation.metrics.loss, loss_tolerance(56)));
        EXPECT_EQ(run.progress().history.front().loss, trained.loss);
    }
}

/// The loss of every single image in the order of training: the weights stand still, a step is one image.
std::vector<double> losses_in_order(std::int64_t seed, int epochs) {
    Config config = small_config(epochs);
    config.train.batch = 1;
    config.train.seed = seed;
    config.optimizer.lr = kStandstill;
    SmallRun run(config, {}, SmallRun::default_faces(), plain_net);
    std::vector<double> losses;
    double before = 0;
    run.watcher.at_step = [&] {
        const Metrics so_far = run.session().training_metrics();
        const double sum = so_far.loss * static_cast<double>(so_far.images);
        losses.push_back(so_far.images == 1 ? sum : sum - before);
        before = sum;
    };
    run.run();
    return losses;
}

TEST_F(TrainerTest, EveryEpochTakesEveryImageOnceInAnOrderOfItsOwn) {
    const std::vector<double> all = losses_in_order(0, 2);
    ASSERT_EQ(all.size(), 2 * 56u);
    std::vector<double> first(all.begin(), all.begin() + 56);
    std::vector<double> second(all.begin() + 56, all.end());
    const Tolerance tolerance = loss_tolerance(56);
    EXPECT_FALSE(close(first, second, tolerance)) << "both epochs went through the images in the same order";
    EXPECT_TRUE(close(losses_in_order(0, 1), first, tolerance)) << "the order depends on seed and epoch only";
    std::ranges::sort(first);
    std::ranges::sort(second);
    EXPECT_TRUE(close(first, second, tolerance)) << "an image was left out or taken twice";
}

/// The first `keep` training images of each class, and all test images.
Dataset unbalanced_faces(const std::vector<int>& keep) {
    const Dataset all = small_faces(140);
    Dataset data;
    data.height = data.width = 24;
    data.classes = all.classes;
    std::map<std::pair<Fold, int>, int> seen;
    for (std::int64_t i = 0; i < all.size(); ++i) {
        const auto at = static_cast<std::size_t>(i);
        const int label = all.labels[at];
        if (all.folder[at] == Fold::kTrain &&
            seen[{all.folder[at], label}]++ >= keep[static_cast<std::size_t>(label)]) {
            continue;
        }
        data.pixels.insert(data.pixels.end(), all.image(i), all.image(i) + 24 * 24);
        data.labels.push_back(label);
        data.folder.push_back(all.folder[at]);
        data.usage.push_back(all.usage[at]);
        data.files.push_back(all.files[at]);
    }
    return data;
}

TEST_F(TrainerTest, BalancedClassWeightsWeighTheTrainingLossOnly) {
    const Dataset data = unbalanced_faces({20, 2, 4, 8, 16, 1, 5});
    Config config = small_config(1);
    config.data.val_split = 0;
    config.optimizer.lr = kStandstill;
    config.train.class_weight = "balanced";
    SmallRun run(config, {}, data, plain_net);
    run.run();
    const std::span<const float> used = run.session().variables().get<float>(kClassWeights);
    std::vector<float> want;
    for (const int count : {20, 2, 4, 8, 16, 1, 5}) {
        want.push_back(static_cast<float>(56.0 / (7.0 * count)));  // scikit-learn: n / (classes * n_c)
    }
    EXPECT_EQ(std::vector<float>(used.begin(), used.end()), want);
    const Evaluation evaluation = run.session().evaluate(run.split().train);
    const double weighted = recount(data, run.split().train, evaluation.probabilities, want).loss;
    const double equal = recount(data, run.split().train, evaluation.probabilities).loss;
    ASSERT_GT(std::abs(weighted - equal), 1e-3) << "the case tests nothing";
    const double l2 = penalty(run.session());
    EXPECT_TRUE(close(run.progress().history.front().loss, weighted + l2, loss_tolerance(56)));
    EXPECT_TRUE(close(evaluation.metrics.loss, equal + l2, loss_tolerance(56)));
}

/// Wide enough to learn sixteen faces by heart.
void wide_net(Net& net) {
    net.conv(8, 3, {.l2 = 0.001f}).relu().max_pool(4, 4);
    net.flatten().dense(32).relu();
    net.logits(7);
}

TEST_F(TrainerTest, OverfitsSixteenFaces) {
    Config config = small_config(200);
    config.data.val_split = 0;  // the test faces validate: irrelevant here
    const Dataset data = unbalanced_faces({3, 3, 2, 2, 2, 2, 2});
    SmallRun run(config, {}, data, wide_net);
    run.run();
    EXPECT_EQ(run.watcher.steps, 200);
    const Evaluation end = run.session().evaluate(run.split().train);
    EXPECT_EQ(end.metrics.accuracy, 1.0);
    EXPECT_LT(end.metrics.loss, 0.05);
}

TEST_F(TrainerTest, EarlyStoppingPutsTheBestWeightsBack) {
    Config config = small_config(9);
    config.early_stopping = {.enabled = true, .monitor = "val_accuracy", .patience = 2};
    config.early_stopping.min_delta = 10;  // after the first epoch nothing is an improvement
    SmallRun stopped(config, folder_ / "stopped");
    EXPECT_EQ(stopped.run(), Outcome::kStoppedEarly);
    EXPECT_EQ(stopped.progress().epoch, 3);
    EXPECT_THAT(stopped.watcher.decisions, Contains(HasSubstr("Epoch 3: early stopping, val_accuracy")));
    EXPECT_THAT(stopped.watcher.decisions, Contains(HasSubstr("weights restored from epoch 1")));
    SmallRun(small_config(1), folder_ / "one").run();
    EXPECT_TRUE(read_file(TrainFiles{folder_ / "stopped"}.last()) == read_file(TrainFiles{folder_ / "one"}.last()));

    config.early_stopping.restore_best_weights = false;
    SmallRun kept(config, folder_ / "kept");
    EXPECT_EQ(kept.run(), Outcome::kStoppedEarly);
    SmallRun(small_config(3), folder_ / "three").run();
    EXPECT_TRUE(read_file(TrainFiles{folder_ / "kept"}.last()) == read_file(TrainFiles{folder_ / "three"}.last()));
}

TEST_F(TrainerTest, KerasRestoresOnlyWhenItStops) {
    Config config = small_config(2);
    config.early_stopping = {.enabled = true, .monitor = "val_accuracy", .patience = 5};
    config.early_stopping.min_delta = 10;
    SmallRun finished(config, folder_ / "finished");
    EXPECT_EQ(finished.run(), Outcome::kFinished);
    SmallRun(small_config(2), folder_ / "two").run();
    EXPECT_TRUE(read_file(TrainFiles{folder_ / "finished"}.last()) == read_file(TrainFiles{folder_ / "two"}.last()));
}

TEST_F(TrainerTest, ReduceLrActsFromTheNextEpochOn) {
    Config config = small_config(4);
    config.reduce_lr = {.enabled = true, .monitor = "val_loss", .factor = 0.5, .patience = 1};
    config.reduce_lr.min_delta = 1000;
    config.reduce_lr.min_lr = 4e-3;
    SmallRun run(config);
    run.run();
    std::vector<float> rates;
    for (const EpochRow& row : run.progress().history) {
        rates.push_back(row.learning_rate);
    }
    EXPECT_EQ(rates, (std::vector<float>{0.01f, 0.01f, 0.005f, 0.004f}));
    EXPECT_THAT(run.watcher.decisions, Contains(HasSubstr("Epoch 2: learning rate 0.01 -> 0.005")));
}

TEST_F(TrainerTest, DivergenceNamesATensorAndKeepsTheBestWeights) {
    Config config = small_config(3);
    config.optimizer.name = "sgd";
    config.optimizer.lr = 1e3;
    SmallRun run(config, folder_ / "run");
    write_file(TrainFiles{folder_ / "run"}.best(), "the best so far");
    const std::string text = error_of<DivergedError>([&] { run.run(); });
    EXPECT_THAT(text, HasSubstr("the loss is not finite in epoch 1, "));
    EXPECT_THAT(text,
                ::testing::ContainsRegex(
                    "first tensor that is not finite: (conv2d|batch_norm|dense)[a-z_0-9]*/.*; first node .*: [a-z]"));
    EXPECT_EQ(read_file(TrainFiles{folder_ / "run"}.best()), "the best so far");
}

TEST_F(TrainerTest, NoAllocationAfterTheFirstStep) {
    SmallRun run(small_config(3));
    std::vector<std::int64_t> counts;
    run.watcher.at_step = [&] { counts.push_back(Buffer::allocations()); };
    run.run();
    // Steps 4, 8 and 12 take the tail; validation comes behind steps 4, 8 and 12. Each plan is made once.
    EXPECT_EQ(counts[2], counts[0]) << "between full batches";
    EXPECT_EQ(counts.back(), counts[4]) << "once every plan has been made";
}

TEST_F(TrainerTest, EvaluationDoesNotDisturbTraining) {
    for (const bool evaluates : {false, true}) {
        SmallRun run(eventful_config(), folder_ / (evaluates ? "with" : "without"));
        if (evaluates) {
            run.watcher.at_step = [&] {
                run.session().evaluate(all_of(SmallRun::default_faces()));
                run.session().evaluate(std::vector<std::int32_t>{3});
            };
        }
        run.run();
    }
    EXPECT_EQ(tensors_of(TrainFiles{folder_ / "with"}.last()), tensors_of(TrainFiles{folder_ / "without"}.last()));
    const auto with = tensors_of(TrainFiles{folder_ / "with"}.state());
    for (const auto& [name, bytes] : tensors_of(TrainFiles{folder_ / "without"}.state())) {
        EXPECT_TRUE(with.at(name) == bytes || name.starts_with("evaluation/")) << name;
    }
}

TEST_F(TrainerTest, BestWeightsAreThoseOfTheBestEpoch) {
    for (const int epochs : {1, 2, 3, 4}) {
        SmallRun(small_config(epochs), folder_ / std::to_string(epochs)).run();
    }
    SmallRun run(small_config(4), folder_ / "run");
    run.run();
    const auto& history = run.progress().history;
    const auto best = std::ranges::min_element(history, {}, &EpochRow::val_loss);
    EXPECT_EQ(run.progress().best.best_epoch + 1, best->epoch);
    EXPECT_TRUE(read_file(TrainFiles{folder_ / "run"}.best()) ==
                read_file(TrainFiles{folder_ / std::to_string(best->epoch)}.last()));
}

TEST_F(TrainerTest, WritesOneRowPerEpoch) {
    SmallRun run(small_config(2), folder_ / "run");
    run.run();
    const std::string csv = read_file(TrainFiles{folder_ / "run"}.results());
    EXPECT_EQ(csv, results_csv(run.progress().history));
    EXPECT_THAT(csv, ::testing::MatchesRegex("epoch,time_s,loss,accuracy,val_loss,val_accuracy,learning_rate,"
                                             "images_per_s\n1,[^\n]*,0.01,[^\n]*\n2,[^\n]*,0.01,[^\n]*\n"));
}

TEST_F(TrainerTest, WritesNothingWithoutAFolder) {
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(folder_.path());
    SmallRun(small_config(1)).run();
    std::filesystem::current_path(before);
    EXPECT_TRUE(folder_.names().empty());
}

}  // namespace
}  // namespace fer::test
