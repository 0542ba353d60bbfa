// Run folders that are whole, partly missing, damaged, or of somebody else.
#include "engine/report/run_record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/core/file.hpp"
#include "engine/report/ledger.hpp"
#include "tests/report/sample_run.hpp"
#include "tests/support/expect_error.hpp"

namespace fer::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(RunRecord, ReadsAWholeFolder) {
    const SampleRun sample;
    const RunRecord run = read_run(sample.folder());
    EXPECT_EQ(run.name, "sample");
    EXPECT_EQ(run.history.size(), 6u);
    EXPECT_EQ(run.history[*run.best()].epoch, 4) << "as run.json says";
    EXPECT_THAT(run.rate_drops(), ElementsAre(3, 5));
    ASSERT_EQ(run.splits.size(), 1u);
    EXPECT_EQ(run.splits[0].split, "test");
    EXPECT_EQ(run.splits[0].loss, 1.25);
    EXPECT_EQ(run.splits[0].looks, 0);
    EXPECT_THAT(run.missing, IsEmpty());
    const auto epochs = std::ranges::find(run.settings, "train.epochs", &SettingRecord::key);
    ASSERT_NE(epochs, run.settings.end());
    EXPECT_EQ(epochs->value, "6");
    EXPECT_EQ(epochs->origin, "flag");
}

TEST(RunRecord, WhatIsNotThereIsMissing) {
    for (const char* name : {"run.json", "config.toml", "results.csv", "eval", "eval/test/metrics.json"}) {
        SCOPED_TRACE(name);
        const SampleRun sample;
        std::filesystem::remove_all(sample.folder() / name);
        const RunRecord run = read_run(sample.folder());
        EXPECT_EQ(run.missing.size(), std::string_view(name).starts_with("eval/") ? 0u : 1u);
    }
    const SampleRun sample;
    std::filesystem::remove(sample.folder() / "run.json");
    EXPECT_EQ(read_run(sample.folder()).history[*read_run(sample.folder()).best()].epoch, 5) << "by the least val_loss";
}

TEST(RunRecord, FilesThatContradictEachOther) {
    const SampleRun sample;
    write_file(sample.folder() / "eval/test/metrics.json", R"({"images": 6, "hits": 6})");
    EXPECT_THAT(error_of<DataError>([&] { read_run(sample.folder()); }),
                HasSubstr("metrics.json has 6 of 6 right, predictions.csv 4 of 6"));
}

TEST(RunRecord, NoRunFolder) {
    const TemporaryFolder folder;
    EXPECT_THAT(error_of<DataError>([&] { read_run(folder / "nothing"); }), HasSubstr("no such run folder"));
    EXPECT_THAT(error_of<DataError>([&] { read_run(folder.path()); }), HasSubstr("is not a run folder"));
    write_file(folder / "run.json", "[1, 2");
    EXPECT_THAT(error_of<DataError>([&] { read_run(folder.path()); }), HasSubstr("run.json: not a JSON object"));
}

TEST(RunRecord, ResultsByTheNamesOfTheirColumns) {
    const auto rows = parse_results("val_loss,epoch,new_column\n1.5,1,x\nNA,2,y\n,3\ncut", "r.csv");
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].val_loss, 1.5);
    EXPECT_TRUE(std::isnan(rows[1].val_loss));
    EXPECT_TRUE(std::isnan(rows[0].loss));
    EXPECT_THAT(error_of<DataError>([] { parse_results("a,b\n1,2\n", "r.csv"); }),
                HasSubstr("r.csv: no column 'epoch'"));
}

TEST(RunRecord, AScheduleHasNoDrops) {
    RunRecord run;
    for (int epoch = 1; epoch <= 6; ++epoch) {
        EpochRow row;
        row.epoch = epoch;
        row.learning_rate = 1.0f / static_cast<float>(epoch);
        run.history.push_back(row);
    }
    EXPECT_THAT(run.rate_drops(), IsEmpty());
}

TEST(Ledger, CountsWholeLinesOfASplit) {
    const TemporaryFolder folder;
    EXPECT_EQ(looks_at(folder.path(), "test"), 0);
    LedgerEntry entry;
    entry.command = "fer evaluate \xFF";
    entry.split = "test";
    append_to_ledger(folder.path(), entry);
    entry.split = "train";
    append_to_ledger(folder.path(), entry);
    const std::string before = read_file(ledger_of(folder.path()));
    write_file(ledger_of(folder.path()), before + R"({"split": "te)");  // a crash in the middle of a line
    entry.split = "test";
    append_to_ledger(folder.path(), entry);
    EXPECT_EQ(looks_at(folder.path(), "test"), 2);
    EXPECT_EQ(looks_at(folder.path(), "train"), 1);
    EXPECT_TRUE(read_file(ledger_of(folder.path())).starts_with(before)) << "nothing is rewritten";
    EXPECT_THAT(error_of<OutputError>([&] { append_to_ledger(folder / "nowhere", entry); }),
                HasSubstr("evaluations.jsonl"));
}

}  // namespace
}  // namespace fer::test
