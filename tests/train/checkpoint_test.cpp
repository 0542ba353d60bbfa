// Weights and state on disk: what comes back, and what is refused before anything is touched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/support/expect_error.hpp"
#include "tests/support/threads.hpp"
#include "tests/train/small_run.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

void other_net(Net& net) {
    net.conv(4, 3, {.l2 = 0.01f}).relu().batch_norm().max_pool(4, 4).dropout(0.25f);
    net.flatten().dense(9).relu().dropout(0.5f);
    net.logits(7);
}

void deeper_net(Net& net) {
    net.conv(4, 3, {.l2 = 0.01f}).relu().batch_norm().max_pool(4, 4).dropout(0.25f);
    net.conv(4, 3).relu();
    net.flatten().dense(8).relu().dropout(0.5f);
    net.logits(7);
}

/// Everything a session holds and does not derive from the rest, by name.
std::map<std::string, std::string> contents(const Session& session) {
    std::map<std::string, std::string> all;
    for (const auto& [name, entry] : session.variables().entries()) {
        if (!entry.derived) {
            all[name] = std::string(entry.address, static_cast<std::size_t>(entry.info.bytes()));
        }
    }
    return all;
}

class CheckpointTest : public ::testing::Test {
protected:
    CheckpointTest() : run_(small_config(1), folder_ / "run") { run_.run(); }

    TrainFiles files() const { return {folder_ / "run"}; }

    /// The tensors and metadata of a file, changed by `change`, as another file.
    template <class Change>
    std::filesystem::path changed(const std::filesystem::path& from, Change change) const {
        const SafetensorsFile file(from);
        std::vector<TensorView> tensors;
        for (const auto& entry : file.entries()) {
            tensors.push_back({entry.name, entry.dtype, entry.shape, file.data(entry)});
        }
        std::map<std::string, std::string> metadata = file.metadata();
        change(tensors, metadata);
        const std::filesystem::path path = folder_ / "changed.safetensors";
        write_safetensors(path, tensors, metadata);
        return path;
    }

    /// Loading fails with this text and leaves every variable as it was.
    template <class Load>
    static void expect_refused(const Session& session, const std::string& text, Load load) {
        const auto before = contents(session);
        EXPECT_THAT(error_of<DataError>(load), HasSubstr(text));
        EXPECT_TRUE(contents(session) == before) << "something was changed before the refusal";
    }

    void expect_weights_refused(const std::filesystem::path& path, const std::string& text, ModelBuilder net) const {
        SmallRun other(small_config(1), {}, SmallRun::default_faces(), net);
        expect_refused(other.session(), text, [&] {
            load_weights(SafetensorsFile(path), path.string(), other.session().variables(), other.session().step());
        });
    }

    void expect_state_refused(const std::filesystem::path& path, const std::string& text,
                              const Config& config = small_config(1)) const {
        SmallRun other(config);
        expect_refused(other.session(), text, [&] {
            std::map<std::string, std::vector<char>> best;
            read_state(path, other.session().variables(), best);
        });
    }

    const Threads one_{1};
    const TemporaryFolder folder_;
    SmallRun run_;
};

TEST_F(CheckpointTest, WeightsComeBack) {
    SmallRun other(small_config(1));
    const SafetensorsFile file(files().last());
    load_weights(file, "last", other.session().variables(), other.session().step());
    const auto want = contents(run_.session());
    const auto got = contents(other.session());
    std::size_t tensors = 0;
    for (const auto& entry : file.entries()) {
        EXPECT_TRUE(got.at(entry.name) == want.at(entry.name)) << entry.name;
        ++tensors;
    }
    EXPECT_EQ(tensors, 2 + 4 + 2 + 2u) << "convolution, batch norm, two dense layers";
}

TEST_F(CheckpointTest, TheCardComesBack) {
    ModelCard card;
    card.model = "m";
    card.classes = {"a", "b,\"c\"", "ä"};
    card.height = 1;
    card.width = 2;
    card.channels = 3;
    card.rescale = 1.0 / 3.0;
    card.width_factor = 0.1;
    card.recipe = "r";
    card.data = "data \xE9 not UTF-8";
    card.fingerprint = "0123456789abcdef";
    write_weights(folder_ / "card", run_.session().variables(), run_.session().step(), card);
    const ModelCard again = read_card(SafetensorsFile(folder_ / "card"), "card");
    EXPECT_EQ(again.model, card.model);
    EXPECT_EQ(again.classes, card.classes);
    EXPECT_EQ(std::tuple(again.height, again.width, again.channels), std::tuple(1, 2, 3));
    EXPECT_EQ(again.rescale, card.rescale);
    EXPECT_EQ(again.width_factor, card.width_factor);
    EXPECT_EQ(again.recipe, card.recipe);
    EXPECT_EQ(again.data, "data \xEF\xBF\xBD not UTF-8") << "JSON is UTF-8: what is not becomes U+FFFD";
    EXPECT_EQ(again.fingerprint, card.fingerprint);
}

TEST_F(CheckpointTest, WeightsOfAnotherModelAreRefusedWhole) {
    expect_weights_refused(files().last(), "'dense/kernel' is (144, 8) f32 there, (144, 9) f32 here", other_net);
    expect_weights_refused(files().last(), "it has no tensor 'conv2d_1/kernel'", deeper_net);
    const auto surplus = changed(files().last(), [](auto& tensors, auto&) {
        tensors.push_back(tensors.front());
        tensors.back().name = "extra/kernel";
    });
    expect_weights_refused(surplus, "the model has no 'extra/kernel'", small_net);
    const auto missing = changed(files().last(), [](auto& tensors, auto&) {
        std::erase_if(tensors, [](const TensorView& t) { return t.name == "dense_1/kernel"; });
    });
    expect_weights_refused(missing, "it has no tensor 'dense_1/kernel'", small_net);
}

TEST_F(CheckpointTest, AFileWithoutACardIsNotOurs) {
    const auto bare = changed(files().last(), [](auto&, auto& metadata) { metadata.erase("fer.model"); });
    EXPECT_THAT(error_of<DataError>([&] { read_card(SafetensorsFile(bare), "bare"); }),
                HasSubstr("bare does not say which model it belongs to"));
    for (const char* text : {"{", "[]", "{}", R"({"format":1,"model":7})"}) {
        const auto odd = changed(files().last(), [&](auto&, auto& metadata) { metadata["fer.model"] = text; });
        EXPECT_THAT(error_of<DataError>([&] { read_card(SafetensorsFile(odd), "odd"); }),
                    HasSubstr("the description in odd cannot be read"))
            << text;
    }
}

TEST_F(CheckpointTest, AFileOfANewerProgramIsRefused) {
    std::map<std::string, std::string> metadata = card_metadata(SmallRun::card());
    std::string& card = metadata.at("fer.model");
    card.replace(card.find("\"format\":1"), 10, "\"format\":2");
    write_safetensors(folder_ / "newer", {}, metadata);
    EXPECT_THAT(error_of<DataError>([&] { read_card(SafetensorsFile(folder_ / "newer"), "newer"); }),
                HasSubstr("newer was written by a newer fer / it is of format 2"));
}

TEST_F(CheckpointTest, StateComesBack) {
    Config config = eventful_config();
    SmallRun run(config, folder_ / "eventful");
    run.watcher.stop_after = 6;
    ASSERT_EQ(run.run(), Outcome::kInterrupted);
    SmallRun other(config, folder_ / "eventful");
    other.resume();
    const auto want = contents(run.session());
    const auto got = contents(other.session());
    for (const auto& [name, entry] : run.session().variables().entries()) {
        if (entry.saved()) {
            EXPECT_TRUE(got.at(name) == want.at(name)) << name;
        }
    }
    const Progress& a = other.progress();
    const Progress& b = run.progress();
    EXPECT_EQ(std::tuple(a.epoch, a.images, a.finished, a.best.best_epoch, a.best.best),
              std::tuple(1, 32, false, b.best.best_epoch, b.best.best));
    EXPECT_EQ(std::tuple(a.early_stopping.wait, a.early_stopping.best, a.early_stopping.has_weights),
              std::tuple(b.early_stopping.wait, b.early_stopping.best, true));
    EXPECT_EQ(std::tuple(a.reduce_lr.wait, a.reduce_lr.cooldown, a.reduce_lr.best),
              std::tuple(b.reduce_lr.wait, b.reduce_lr.cooldown, b.reduce_lr.best));
    expect_same_history(a, b);
}

TEST_F(CheckpointTest, StateOfAnotherRunIsRefusedWhole) {
    Config sgd = small_config(1);
    sgd.optimizer.name = "sgd";
    expect_state_refused(files().state(), "this run has no 'adam/m/", sgd);
    sgd.optimizer.momentum = 0.9;
    expect_state_refused(files().state(), "it has no '", sgd);
    expect_state_refused(files().last(), "is not the state of a training run");
}

TEST_F(CheckpointTest, StateThatDoesNotFitIsRefusedWhole) {
    const auto rename = [](const char* from, const char* to) {
        return [=](auto& tensors, auto&) { std::ranges::find(tensors, from, &TensorView::name)->name = to; };
    };
    expect_state_refused(changed(files().state(), rename("clock", "clack")), "it has no 'clock'");
    const auto best = [](const char* name, const Shape& shape) {
        return [=](auto& tensors, auto&) {
            static const std::vector<float> zeros(4096);
            tensors.push_back({std::string("best/") + name, DType::kF32, shape, zeros.data()});
        };
    };
    expect_state_refused(changed(files().state(), best("dense/bias", {4096})),
                         "'best/dense/bias' is (4096,) f32 there, (8,) f32 here");
    expect_state_refused(changed(files().state(), best("nowhere", {4})), "this run has no 'best/nowhere'");
}

TEST_F(CheckpointTest, ProgressThatMakesNoSenseIsRefused) {
    const auto progress = [](const char* key, const nlohmann::json& value) {
        return [=](auto&, auto& metadata) {
            nlohmann::json json = nlohmann::json::parse(metadata.at("fer.progress"));
            json[key] = value;
            metadata["fer.progress"] = json.dump();
        };
    };
    expect_state_refused(changed(files().state(), progress("epoch", "one")), "the progress in");
    expect_state_refused(changed(files().state(), progress("epoch", 5)), "contradicts itself");
    expect_state_refused(changed(files().state(), progress("images", -1)), "contradicts itself");
    expect_state_refused(changed(files().state(), progress("best", {1.0, 3})), "contradicts itself");
    expect_state_refused(changed(files().state(), progress("history", nullptr)), "contradicts itself");
}

TEST_F(CheckpointTest, ADamagedFileIsRefused) {
    const std::string whole = read_file(files().last());
    struct Damage {
        const char* what;
        std::string bytes;
    };
    std::string flipped = whole;
    flipped[whole.size() - 5] = static_cast<char>(flipped[whole.size() - 5] ^ 1);
    const std::vector<Damage> damages{
        {"the data is damaged", flipped},
        {"does not lie in the file", whole.substr(0, whole.size() - 1)},
        {"truncated inside its header", whole.substr(0, 100)},
        {"shorter than its header length", whole.substr(0, 7)},
        {"it is empty", ""},
        {"Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"},
    };
    for (const Damage& damage : damages) {
        write_file(folder_ / "damaged", damage.bytes);
        EXPECT_THAT(error_of<DataError>([&] { SafetensorsFile file(folder_ / "damaged"); }), HasSubstr(damage.what));
    }
}

TEST_F(CheckpointTest, AFailedWriteLeavesTheOldFile) {
    const std::string before = read_file(files().best());
    ModelCard card = SmallRun::card();
    std::filesystem::create_directory(folder_ / "in the way");
    write_file(folder_ / "in the way" / "file", "x");
    EXPECT_THROW(write_weights(folder_ / "in the way", run_.session().variables(), run_.session().step(), card),
                 OutputError);
    EXPECT_THROW(write_weights(folder_ / "no folder" / "w", run_.session().variables(), run_.session().step(), card),
                 OutputError);
    EXPECT_EQ(read_file(files().best()), before);
    EXPECT_THAT(folder_.names(), ::testing::ElementsAre("in the way", "run")) << "no temporary file is left";
}

}  // namespace
}  // namespace fer::test
