// The files that other programs read, byte for byte as Keras 2.15 and TensorFlow write them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/train/logs.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

const nlohmann::json& golden() {
    static const nlohmann::json file = nlohmann::json::parse(read_file(golden_path("logs.json")));
    return file;
}

std::vector<EpochRow> rows() {
    std::vector<EpochRow> history;
    for (const auto& row : golden()["rows"]) {
        const auto value = [&](const char* key) { return std::stod(row[key].get<std::string>()); };
        EpochRow r;
        r.epoch = static_cast<int>(history.size()) + 1;
        r.loss = value("loss");
        r.accuracy = value("accuracy");
        r.val_loss = value("val_loss");
        r.val_accuracy = value("val_accuracy");
        r.learning_rate = static_cast<float>(value("lr"));
        history.push_back(r);
    }
    return history;
}

TEST(TrainingLog, IsThatOfKeras) {
    EXPECT_EQ(keras_training_log(rows(), false), golden()["training_log"].get<std::string>());
    EXPECT_EQ(keras_training_log(rows(), true), golden()["training_log_lr"].get<std::string>());
}

std::string bytes_of(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    return bytes;
}

TEST(TensorBoard, RecordsAreThoseOfTensorFlow) {
    const auto& events = golden()["events"];
    const double time = events["wall_time"];
    const std::string png = bytes_of(events["png"]);
    const std::vector<std::string> ours{version_event(time), scalar_event(time, 0, "epoch_loss", 0.5f),
                                        scalar_event(time, 300, "epoch_learning_rate", 1e-4f),
                                        image_event(time, 0, "augmented", 3, 2, png)};
    ASSERT_EQ(events["records"].size(), ours.size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
        EXPECT_TRUE(tfrecord(ours[i]) == bytes_of(events["records"][i])) << "record " << i;
    }
}

TEST(TensorBoard, ChecksumIsCastagnoli) { EXPECT_EQ(crc32c("123456789"), 0xe3069283u); }

/// The events of the only file in a folder.
std::vector<std::string> events_in(const std::filesystem::path& folder) {
    std::vector<std::string> events;
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1) << folder;
    const std::string bytes = read_file(std::filesystem::directory_iterator(folder)->path());
    for (std::size_t at = 0; at < bytes.size();) {
        std::uint64_t size = 0;
        std::memcpy(&size, bytes.data() + at, sizeof size);
        events.push_back(bytes.substr(at + 12, size));
        EXPECT_EQ(tfrecord(events.back()), bytes.substr(at, size + 16));
        at += size + 16;
    }
    return events;
}

// A run that was taken up again has one file, which begins with the epochs before.
TEST(TensorBoard, AResumedRunHasItsWholeHistoryOnce) {
    const TemporaryFolder folder;
    const TensorBoardOptions options{.folder = folder.path(), .plateau = true, .updates_per_epoch = 7, .picture = {}};
    const std::vector<EpochRow> history = rows();
    TensorBoardLog(options, {}).add(history[0], 1700000000);
    std::filesystem::rename(std::filesystem::directory_iterator(folder / "tensorboard/train")->path(),
                            folder / "tensorboard/train/events.out.tfevents.1600000000.elsewhere.1.0.v2");
    TensorBoardLog(options, {history[0]}).add(history[1], 1700000001);
    const std::vector<std::string> train = events_in(folder / "tensorboard/train");
    ASSERT_EQ(train.size(), 1u + 2 * 3);
    EXPECT_EQ(train[6], scalar_event(1700000001, 1, "epoch_lr", 2e-4f));
    const std::vector<std::string> validation = events_in(folder / "tensorboard/validation");
    ASSERT_EQ(validation.size(), 1u + 2 * 4);
    EXPECT_EQ(validation[5], scalar_event(1700000001, 14, "evaluation_loss_vs_iterations", 1e-5f));
    EXPECT_EQ(validation[8], scalar_event(1700000001, 1, "epoch_accuracy", 1));
}

}  // namespace
}  // namespace fer::test
