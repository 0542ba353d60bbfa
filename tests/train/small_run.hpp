// A whole training run small enough to repeat dozens of times: a net with everything that carries state, drawn faces.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "engine/core/file.hpp"
#include "engine/data/synthetic.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/devices.hpp"
#include "engine/train/trainer.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {

/// Batch norm, dropout and an L2 penalty: what a step leaves behind and what it draws.
inline void small_net(Net& net) {
    net.conv(4, 3, {.l2 = 0.01f}).relu().batch_norm().max_pool(4, 4).dropout(0.25f);
    net.flatten().dense(8).relu().dropout(0.5f);
    net.logits(7);
}

/// Neither batch norm nor dropout: training and inference compute the same.
inline void plain_net(Net& net) {
    net.conv(4, 3, {.stride = 2, .l2 = 0.01f}).relu().max_pool(4, 4);
    net.flatten().logits(7);
}

/// 24 x 24 faces. 70 of them: 56 train in steps of 16, 16, 16 and 8; 14 validate.
inline Dataset small_faces(int count = 70) {
    DataOptions options;
    options.height = options.width = 24;
    return synthetic_dataset(count, options);
}

inline Config small_config(int epochs = 3) {
    Config config;
    config.train.epochs = epochs;
    config.train.batch = 16;
    config.optimizer.lr = 1e-2;
    return config;
}

/// Every rule that keeps something between epochs, and every random choice there is.
inline Config eventful_config() {
    Config config = small_config();
    config.train.class_weight = "balanced";
    config.train.label_smoothing = 0.1;
    config.augment.rotation_range = 20;
    config.augment.horizontal_flip = true;
    config.optimizer.groups = "dense=0.5";
    config.early_stopping = {.enabled = true, .monitor = "val_accuracy", .patience = 3};
    config.reduce_lr = {.enabled = true, .monitor = "val_loss", .factor = 0.5, .patience = 1};
    config.reduce_lr.min_delta = 10;  // nothing is good enough: the rate falls after every epoch but the first
    return config;
}

/// Watches, and asks for a stop after `stop_after` steps of this process (0: never).
struct Watcher : TrainObserver {
    int stop_after = 0;
    int steps = 0;
    std::atomic<bool> stop{false};
    std::vector<std::string> decisions;
    std::function<void()> at_step;

    void step_done(std::int64_t, std::int64_t, const Metrics&, double) override {
        ++steps;
        if (at_step) {
            at_step();
        }
        if (steps == stop_after) {
            stop = true;
        }
    }
    void decided(const std::string& text) override { decisions.push_back(text); }
};

/// One process's worth of a run: session, trainer and what it writes into `folder` (empty: nothing).
class SmallRun {
public:
    explicit SmallRun(Config config, std::filesystem::path folder = {}, const Dataset& data = default_faces(),
                      ModelBuilder net = small_net, const std::map<std::string, std::string>& force = {},
                      const Device& device = cpu_device(), Precision precision = Precision::kFp32)
        : config_(std::move(config)),
          data_(data),
          split_(split_folder(data, config_.data.val_split)),
          session_(net, options(config_, split_, precision), data_, device, open_runtime(device), Session::Use::kTrain,
                   PlanOptions{.force = force}),
          trainer_(config_, card(), session_, data_, split_, {std::move(folder)}, watcher) {}

    static const Dataset& default_faces() {
        static const Dataset data = small_faces();
        return data;
    }
    static ModelCard card() {
        ModelCard card;
        card.model = "small";
        card.classes = emotion_names();
        card.height = card.width = 24;
        return card;
    }

    Outcome run() { return trainer_.run(watcher.stop); }
    void resume() { trainer_.resume(); }

    Session& session() { return session_; }
    const Split& split() const { return split_; }
    const Progress& progress() const { return trainer_.progress(); }

    Watcher watcher;

private:
    static StepOptions options(const Config& config, const Split& split, Precision precision) {
        StepOptions options = step_options(config, 24, 24, 1, 7, static_cast<std::int64_t>(split.train.size()));
        options.precision = precision;
        return options;
    }

    Config config_;
    const Dataset& data_;
    Split split_;
    Session session_;
    Trainer trainer_;
};

/// The tensors of a file as bytes: everything of a state file but the wall-clock times in its progress.
inline std::map<std::string, std::string> tensors_of(const std::filesystem::path& path) {
    const SafetensorsFile file(path);
    std::map<std::string, std::string> tensors;
    for (const auto& entry : file.entries()) {
        tensors[entry.name] = std::string(file.data(entry), entry.end - entry.begin);
    }
    return tensors;
}

/// What runs that should be one and the same have written: weights to the byte, state tensor by tensor.
inline void expect_same_files(const std::filesystem::path& got, const std::filesystem::path& want) {
    const TrainFiles a{got};
    const TrainFiles b{want};
    EXPECT_TRUE(read_file(a.best()) == read_file(b.best())) << "best weights differ";
    EXPECT_TRUE(read_file(a.last()) == read_file(b.last())) << "last weights differ";
    const auto ours = tensors_of(a.state());
    const auto theirs = tensors_of(b.state());
    EXPECT_EQ(ours.size(), theirs.size());
    for (const auto& [name, bytes] : theirs) {
        EXPECT_TRUE(ours.contains(name) && ours.at(name) == bytes) << "state tensor '" << name << "' differs";
    }
}

/// The same history but for the times.
inline void expect_same_history(const Progress& got, const Progress& want) {
    ASSERT_EQ(got.history.size(), want.history.size());
    for (std::size_t i = 0; i < want.history.size(); ++i) {
        const EpochRow& a = got.history[i];
        const EpochRow& b = want.history[i];
        EXPECT_EQ(std::tie(a.epoch, a.loss, a.accuracy, a.val_loss, a.val_accuracy, a.learning_rate),
                  std::tie(b.epoch, b.loss, b.accuracy, b.val_loss, b.val_accuracy, b.learning_rate))
            << "epoch " << i + 1;
    }
}

}  // namespace fer::test
