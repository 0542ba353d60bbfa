// Run folders: never overwritten unasked, and found again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/train/run_folder.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RunFolder, NumbersRatherThanOverwrites) {
    const TemporaryFolder folder;
    const fs::path out = folder / "runs/train";
    EXPECT_EQ(make_run_folder(out, "cnn", false), out / "cnn");
    EXPECT_EQ(make_run_folder(out, "cnn", false), out / "cnn-2");
    EXPECT_EQ(make_run_folder(out, "cnn", false), out / "cnn-3");
    EXPECT_EQ(fs::read_symlink(out / "latest"), "cnn-3");
    fs::remove_all(out / "cnn-2");
    EXPECT_EQ(make_run_folder(out, "cnn", false), out / "cnn-2");
    EXPECT_EQ(fs::read_symlink(out / "latest"), "cnn-2");
    EXPECT_EQ(make_run_folder(out, "cnn", true), out / "cnn");
    EXPECT_EQ(fs::read_symlink(out / "latest"), "cnn");
}

TEST(RunFolder, AFolderNamedLatestStaysWhatItIs) {
    const TemporaryFolder folder;
    fs::create_directories(folder / "latest");
    write_file(folder / "latest/mine", "mine");
    make_run_folder(folder.path(), "cnn", false);
    EXPECT_THAT(folder.names(), ElementsAre("cnn", "latest"));
    EXPECT_EQ(read_file(folder / "latest/mine"), "mine");
}

TEST(RunFolder, AFileInTheWayIsAnOutputError) {
    const TemporaryFolder folder;
    write_file(folder / "file", "x");
    EXPECT_THAT(error_of<OutputError>([&] { make_run_folder(folder / "file", "cnn", false); }),
                HasSubstr("cannot create the folder"));
    EXPECT_THAT(error_of<OutputError>([&] { make_run_folder(folder.path(), "file", true); }),
                HasSubstr("cannot create the folder"));
    EXPECT_EQ(read_file(folder / "file"), "x");
}

TEST(RunFolder, FindsWeights) {
    const TemporaryFolder folder;
    EXPECT_THAT(error_of<DataError>([&] { find_weights(folder / "nowhere"); }),
                HasSubstr("no such run or weights file"));
    EXPECT_THAT(error_of<DataError>([&] { find_weights(folder.path()); }), HasSubstr("holds no weights"));
    fs::create_directories(folder / "weights");
    write_file(folder / "weights/last.safetensors", "");
    EXPECT_EQ(find_weights(folder.path()), folder / "weights/last.safetensors");
    write_file(folder / "weights/best.safetensors", "");
    EXPECT_EQ(find_weights(folder.path()), folder / "weights/best.safetensors");
    EXPECT_EQ(find_weights(folder.path(), "last"), folder / "weights/last.safetensors");
    EXPECT_EQ(find_weights(folder / "weights/last.safetensors"), folder / "weights/last.safetensors");
}

TEST(RunFolder, TheManifestIsJsonWhateverTheCommandLineWas) {
    const TemporaryFolder folder;
    Manifest manifest;
    manifest.command = "fer train --data caf\xE9";
    Config config;
    config.data.path = "caf\xE9";
    write_manifest(folder.path(), manifest, config, Progress{});
    const auto json = nlohmann::json::parse(read_file(folder / "run.json"));
    EXPECT_EQ(json["data"]["path"], "caf\xEF\xBF\xBD");
    EXPECT_EQ(json["exit_reason"], "running");
    EXPECT_EQ(json["epochs_done"], 0);
}

}  // namespace
}  // namespace fer::test
