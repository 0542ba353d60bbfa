// From training to evaluation to prediction, with every figure counted again from the files.
#include "engine/data/image.hpp"
#include "tests/cli/program.hpp"

namespace fer::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

/// A run to look at, trained once per test.
class Results : public ProgramTest {
protected:
    Results() { ok(kTiny + " --epochs 2 --name run --quiet"); }

    void face(const std::string& name, int side = 48) const {
        fs::create_directories((*this / name).parent_path());
        write_png(*this / name, side, side, 1,
                  std::vector<std::uint8_t>(static_cast<std::size_t>(side) * static_cast<std::size_t>(side), 100));
    }
    const std::string run_ = "runs/train/run";
};

struct Count {
    std::int64_t rows = 0, hits = 0;
    std::map<std::pair<std::string, std::string>, int> confusion;
};

/// predictions.csv counted again; the winner must be the column of the largest probability, and rows must add up to 1.
Count recount(const std::string& csv) {
    const std::vector<std::string> rows = lines(csv);
    EXPECT_EQ(rows.front(), "file,true,pred,p_angry,p_disgust,p_fear,p_happy,p_neutral,p_sad,p_surprise");
    const std::vector<std::string> names{"angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"};
    Count count;
    for (std::size_t r = 1; r < rows.size(); ++r) {
        std::vector<std::string> fields;
        std::istringstream stream(rows[r]);
        for (std::string field; std::getline(stream, field, ',');) {
            fields.push_back(field);
        }
        EXPECT_EQ(fields.size(), 10u) << rows[r];
        std::vector<float> p;
        for (std::size_t c = 3; c < fields.size(); ++c) {
            p.push_back(std::stof(fields[c]));
        }
        EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1.0, 1e-5) << rows[r];
        const auto best = static_cast<std::size_t>(std::ranges::max_element(p) - p.begin());
        EXPECT_EQ(fields[2], names[best]) << rows[r];
        ++count.rows;
        count.hits += fields[1] == fields[2] ? 1 : 0;
        ++count.confusion[{fields[1], fields[2]}];
    }
    return count;
}

TEST_F(Results, EvaluateAgreesWithItsFiles) {
    for (const auto& [split, images] : std::map<std::string, int>{{"test", 14}, {"validation", 14}, {"train", 56}}) {
        SCOPED_TRACE(split);
        const Outcome evaluation = ok(fmt::format("evaluate {} --split {}", run_, split));
        const std::string folder = fmt::format("{}/eval/{}/", run_, split);
        const Count count = recount(read(folder + "predictions.csv"));
        EXPECT_EQ(count.rows, images);
        const auto metrics = read_json(folder + "metrics.json");
        EXPECT_EQ(metrics["images"], images);
        EXPECT_EQ(metrics["hits"], count.hits);
        EXPECT_EQ(metrics["accuracy"], static_cast<double>(count.hits) / images);
        EXPECT_THAT(evaluation.out,
                    HasSubstr(fmt::format("\naccuracy {:.4f} ({} of {}), 95 % interval ",
                                          static_cast<double>(count.hits) / images, count.hits, images)));
        EXPECT_THAT(evaluation.out, HasSubstr(read(folder + "classification_report.txt")));
        EXPECT_THAT(evaluation.out, HasSubstr(fmt::format("\nsaved {}/eval/{} ", run_, split)));
        const std::vector<std::string> matrix = lines(read(folder + "confusion_matrix.csv"));
        ASSERT_EQ(matrix.size(), 8u);
        EXPECT_THAT(matrix[1], HasSubstr(fmt::format("angry,{},", count.confusion.contains({"angry", "angry"})
                                                                      ? count.confusion.at({"angry", "angry"})
                                                                      : 0)));
        EXPECT_EQ(evaluation.err, "");
    }
}

// Printed, in metrics.json, in report.json, in the page, counted from predictions.csv: one number.
TEST_F(Results, ThereIsOneAccuracy) {
    const Outcome evaluation = ok("evaluate " + run_);
    const Count count = recount(read(run_ + "/eval/test/predictions.csv"));
    const double accuracy = static_cast<double>(count.hits) / static_cast<double>(count.rows);
    EXPECT_EQ(ok("report " + run_).out, fmt::format("saved {0}/report.html, {0}/report.md, {0}/report.json\n", run_));
    const auto report = read_json(run_ + "/report.json")["runs"][0]["evaluations"]["test"];
    EXPECT_EQ(report["accuracy"], accuracy);
    EXPECT_EQ(report["hits"], count.hits);
    EXPECT_EQ(read_json(run_ + "/eval/test/metrics.json")["accuracy"], accuracy);
    EXPECT_EQ(read_json(run_ + "/eval/test/classification_report.json")["accuracy"], accuracy);
    EXPECT_THAT(evaluation.out, HasSubstr(fmt::format("\naccuracy {:.4f} ({} of 14)", accuracy, count.hits)));
    EXPECT_THAT(read(run_ + "/report.html"), HasSubstr(fmt::format("<b>{:.2f} %</b>", 100 * accuracy)));
    EXPECT_THAT(read(run_ + "/report.md"),
                HasSubstr(fmt::format("Accuracy **{:.4f}** ({} of 14)", accuracy, count.hits)));
}

TEST_F(Results, EveryEvaluationIsRecorded) {
    EXPECT_THAT(ok("evaluate " + run_).out,
                HasSubstr("look 1 at these test images  (" + run_ + "/evaluations.jsonl)\n"));
    ok("evaluate " + run_ + " --split validation");
    EXPECT_THAT(ok("evaluate " + run_ + "/weights/last.safetensors --out there").out,
                HasSubstr("look 2 at these test images"));
    ok("predict " + run_ + " --sample 4 --grid grid.png");
    const std::vector<std::string> rows = lines(read(run_ + "/evaluations.jsonl"));
    ASSERT_EQ(rows.size(), 3u) << "a sample is of validation images and is no look";
    const auto last = nlohmann::json::parse(rows[2]);
    EXPECT_EQ(last["split"], "test");
    EXPECT_EQ(last["images"], 14);
    EXPECT_EQ(last["usage"], "PublicTest and PrivateTest");
    EXPECT_EQ(last["chose_best_epoch"], false);
    EXPECT_EQ(nlohmann::json::parse(rows[1])["chose_best_epoch"], true);
    EXPECT_EQ(last["weights"], run_ + "/weights/last.safetensors");
    EXPECT_EQ(last["weights_hash"].get<std::string>().size(), 16u);
    EXPECT_EQ(read_json("there/metrics.json")["images"], 14);
}

TEST_F(Results, EvaluateGivesTheTrainersOwnFigures) {
    ok("evaluate " + run_ + " --split validation");
    const auto metrics = read_json(run_ + "/eval/validation/metrics.json");
    const auto best = read_json(run_ + "/run.json")["best"]["epoch"].get<std::size_t>();
    std::vector<std::string> row;
    std::istringstream stream(lines(read(run_ + "/results.csv"))[best]);
    for (std::string field; std::getline(stream, field, ',');) {
        row.push_back(field);
    }
    EXPECT_EQ(std::stod(row[5]), metrics["accuracy"]);
    EXPECT_NEAR(std::stod(row[4]), metrics["loss"].get<double>(), 1e-5);
}

TEST_F(Results, EvaluateAsJson) {
    const Outcome evaluation = ok("evaluate " + run_ + " --json");
    EXPECT_EQ(nlohmann::json::parse(evaluation.out), read_json(run_ + "/eval/test/metrics.json"));
    EXPECT_EQ(evaluation.err, "");
}

TEST_F(Results, EvaluateAWeightsFileIntoAnotherFolder) {
    const Outcome evaluation = ok("evaluate " + run_ + "/weights/last.safetensors --data synthetic:35 --out there");
    EXPECT_EQ(recount(read("there/predictions.csv")).rows, 7);
    EXPECT_FALSE(fs::exists(*this / (run_ + "/eval")));
    fails(9, "evaluate " + run_ + " --out " + run_ + "/run.json", "cannot create the folder");
}

TEST_F(Results, ViewsAreAveraged) {
    const auto one = nlohmann::json::parse(ok("evaluate " + run_ + " --json --tta none").out);
    EXPECT_FALSE(one.contains("tta"));
    ok("evaluate " + run_ + " --tta flip_shift");
    const Count count = recount(read(run_ + "/eval/test/predictions.csv"));
    EXPECT_EQ(count.rows, 14);
    const auto ten = read_json(run_ + "/eval/test/metrics.json");
    EXPECT_EQ(ten["hits"], count.hits);
    EXPECT_EQ(ten["tta"], "flip_shift");
    EXPECT_NE(ten["loss"], one["loss"]);
    fails(2, "evaluate " + run_ + " --tta flop", "did you mean 'flip'?");
}

TEST_F(Results, BatchSizeDoesNotMatter) {
    const auto whole = nlohmann::json::parse(ok("evaluate " + run_ + " --json --batch 14").out);
    const auto single = nlohmann::json::parse(ok("evaluate " + run_ + " --json --batch 1").out);
    EXPECT_EQ(whole["hits"], single["hits"]);
    EXPECT_NEAR(whole["loss"].get<double>(), single["loss"].get<double>(), 1e-5);
}

TEST_F(Results, PredictAgreesWithEvaluate) {
    ok("data export synthetic:70 --out faces --count 84");
    ok("evaluate " + run_ + " --split train --quiet");
    const auto list = nlohmann::json::parse(ok("predict " + run_ + " faces --json").out);
    ASSERT_EQ(list.size(), 84u);
    // Exported images are named by their number: 00000.png is the first of the data set and of no split but train.
    std::map<std::string, nlohmann::json> by_name;
    for (const auto& item : list) {
        EXPECT_EQ(item["status"], "ok");
        EXPECT_EQ(item["emotions"][item["label"].get<std::string>()], item["score"]);
        by_name[fs::path(item["file"].get<std::string>()).filename()] = item;
    }
    EXPECT_EQ(by_name.size(), 84u);
    const std::vector<std::string> rows = lines(read(run_ + "/eval/train/predictions.csv"));
    std::vector<std::string> fields;
    std::istringstream stream(rows[1]);
    for (std::string field; std::getline(stream, field, ',');) {
        fields.push_back(field);
    }
    EXPECT_EQ(fields[0], "train/angry/synthetic_000014") << "the first two of ten validate";
    EXPECT_EQ(by_name.at("00002.png")["label"], fields[2]);
    EXPECT_NEAR(by_name.at("00002.png")["emotions"]["angry"].get<double>(), std::stod(fields[3]), 1e-6);
}

TEST_F(Results, PredictTakesFilesFoldersAndPatterns) {
    for (const char* name : {"faces/b.png", "faces/a.PNG", "faces/sub/c.png", "more/d.png", "more/[x].png"}) {
        face(name);
    }
    write("faces/notes.txt", "no image");
    const auto files = [&](const std::vector<std::string>& inputs) {
        std::vector<std::string> arguments{"predict", run_, "--jsonl"};
        arguments.insert(arguments.end(), inputs.begin(), inputs.end());
        const Outcome outcome = fer(arguments);
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        std::vector<std::string> names;
        for (const std::string& line : lines(outcome.out)) {
            names.push_back(nlohmann::json::parse(line)["file"]);
        }
        return names;
    };
    EXPECT_THAT(files({"faces"}), ElementsAre("faces/a.PNG", "faces/b.png", "faces/sub/c.png"));
    EXPECT_THAT(files({"*/?.png"}), ElementsAre("faces/b.png", "more/d.png"));
    EXPECT_THAT(files({"more/d.png", "faces/b.png", "more/d.png"}),
                ElementsAre("more/d.png", "faces/b.png", "more/d.png"));
    EXPECT_THAT(files({"more/[x].png"}), ElementsAre("more/[x].png")) << "a file of that very name comes first";
}

TEST_F(Results, PredictResizesWhatHasAnotherSize) {
    face("small.png", 8);
    face("large.png", 300);
    face("same.png");
    const auto list =
        nlohmann::json::parse(ok("predict " + run_ + " small.png large.png same.png --json --detector none").out);
    EXPECT_EQ(list[0]["emotions"], list[2]["emotions"]);
    EXPECT_EQ(list[1]["emotions"], list[2]["emotions"]);
}

TEST_F(Results, PredictGoesOnAfterABadImage) {
    face("good.png");
    write("text.png", "hello");
    write("empty.png", "");
    write("cut.png", read("good.png").substr(0, 60));
    const Outcome table = ok("predict " + run_ + " good.png text.png empty.png cut.png missing.png --top 1");
    const std::vector<std::string> rows = lines(table.out);
    ASSERT_EQ(rows.size(), 5u);
    EXPECT_THAT(rows[0], MatchesRegex("good.png +[a-z]+ [01]\\.[0-9][0-9]"));
    EXPECT_EQ(rows[1], "text.png     unreadable: not a JPEG or PNG image but text");
    EXPECT_EQ(rows[2], "empty.png    unreadable: not a JPEG or PNG image but empty (0 bytes)");
    EXPECT_THAT(rows[3], HasSubstr("cut.png      unreadable: damaged PNG"));
    EXPECT_EQ(rows[4], "missing.png  unreadable: No such file or directory");
    EXPECT_EQ(table.err, "fer: warning: 4 of 5 images could not be read\n");

    const auto list = nlohmann::json::parse(ok("predict " + run_ + " text.png good.png --json").out);
    EXPECT_EQ(list[0],
              (nlohmann::json{
                  {"file", "text.png"}, {"status", "unreadable"}, {"reason", "not a JPEG or PNG image but text"}}));
    EXPECT_EQ(list[1]["status"], "ok");
    fails(3, "predict " + run_ + " good.png text.png --strict", "text.png: not a JPEG or PNG image but text");
}

TEST_F(Results, PredictWithNothingReadableIsExitThree) {
    write("text.png", "hello");
    fs::create_directories(*this / "nothing");
    const Outcome bad = fer("predict " + run_ + " text.png missing.png");
    EXPECT_EQ(bad.status, 3);
    EXPECT_EQ(lines(bad.out).size(), 2u) << "the table still says what was wrong with each";
    EXPECT_THAT(bad.err, HasSubstr("fer: error: no image could be read\n"));
    fails(3, "predict " + run_ + " nothing", "there are no images in what was given");
    const Outcome json = fer("predict " + run_ + " text.png --json");
    EXPECT_EQ(json.status, 3);
    EXPECT_EQ(nlohmann::json::parse(json.out)[0]["status"], "unreadable");
}

TEST_F(Results, PredictASampleAsAGrid) {
    const Outcome sample = ok("predict " + run_ + " --sample 7 --grid grid.png");
    const std::vector<std::string> rows = lines(sample.out);
    ASSERT_EQ(rows.size(), 9u);
    int right = 0;
    for (int i = 0; i < 7; ++i) {
        EXPECT_THAT(
            rows[static_cast<std::size_t>(i)],
            MatchesRegex("train/[a-z]+/synthetic_[0-9]+  true [a-z]+  predicted [a-z]+ [01]\\.[0-9][0-9](  wrong)?"));
        right += rows[static_cast<std::size_t>(i)].ends_with("wrong") ? 0 : 1;
    }
    EXPECT_EQ(rows[7], fmt::format("{} of 7 right", right));
    const GrayImage grid = load_gray(*this / "grid.png");
    EXPECT_GT(grid.width, 5 * 144);
    EXPECT_GT(grid.height, 2 * 144);
    EXPECT_EQ(ok("predict " + run_ + " --sample 7 --grid again.png").out.substr(0, 80), sample.out.substr(0, 80));
    EXPECT_EQ(read("again.png"), read("grid.png"));
    EXPECT_NE(ok("predict " + run_ + " --sample 7 --seed 1").out, sample.out);
    fails(2, "predict " + run_ + " --sample 7 a.png", "leave 'a.png' out");
    fails(2, "predict " + run_ + " --grid a.png", "nothing to look at");
    fails(2, "predict " + run_, "nothing to look at");
    fails(9, "evaluate " + run_ + " --out /proc/fer", "cannot create the folder");
}

TEST_F(Results, PredictNamesFilesThatAreNotUtf8) {
    face("caf\xE9.png");
    for (const char* format : {"--json", "--jsonl"}) {
        const Outcome outcome = fer({"predict", run_, "caf\xE9.png", format});
        EXPECT_EQ(outcome.status, 0) << outcome.err;
        EXPECT_THAT(outcome.out, HasSubstr("caf\xEF\xBF\xBD.png"));
        EXPECT_NO_THROW(nlohmann::json::parse(outcome.out));
    }
}

TEST_F(Results, OutputIsPlainAndOnItsOwnStream) {
    face("a.png");
    for (const std::string& line : {"evaluate " + run_, "predict " + run_ + " a.png"}) {
        const Outcome outcome = ok(line);
        EXPECT_FALSE(has_escape_codes(outcome.out + outcome.err)) << line;
        EXPECT_EQ(outcome.err, "") << line;
    }
}

using Data = ProgramTest;

TEST_F(Data, Info) {
    const Outcome info = ok("data info synthetic:70");
    const std::vector<std::string> rows = lines(info.out);
    ASSERT_EQ(rows.size(), 10u);
    EXPECT_THAT(rows[0], MatchesRegex("synthetic:70: 84 images 48x48, fingerprint [0-9a-f]{16}"));
    EXPECT_EQ(rows[2], "angry               8           2        2");
    EXPECT_EQ(rows[9], "total              56          14       14");
    EXPECT_EQ(info.err, "");
    EXPECT_EQ(ok("data info --data synthetic:70").out, info.out);
    EXPECT_NE(ok("data info synthetic:70 --seed 1").out, info.out);
}

TEST_F(Data, PreviewIsAPng) {
    EXPECT_EQ(ok("data preview synthetic:70").out, "saved preview.png\n");
    const GrayImage sheet = load_gray(*this / "preview.png");
    EXPECT_GT(sheet.width, 7 * 48 * 2);
    EXPECT_GT(sheet.height, 5 * 48 * 2);
    ok("data preview synthetic:70 --out one.png --count 1 --columns 1 --scale 1");
    EXPECT_LT(load_gray(*this / "one.png").width, sheet.width / 4);
    fails(9, "data preview synthetic:70 --out nowhere/p.png", "cannot write nowhere/p.png");
    fails(2, "data preview synthetic:70 --count 0", "--count");
}

TEST_F(Data, ExportedFacesAreTheFaces) {
    EXPECT_EQ(ok("data export synthetic:70 --out faces --count 84").out, "saved faces\n");
    EXPECT_EQ(tree().size(), 1 + 7 + 84u);
    // A data set made of the exported files, the last two of each class as test.
    for (const auto& folder : fs::directory_iterator(*this / "faces")) {
        std::vector<fs::path> files;
        for (const auto& entry : fs::directory_iterator(folder)) {
            files.push_back(entry.path());
        }
        std::ranges::sort(files);
        ASSERT_EQ(files.size(), 12u);
        for (std::size_t i = 0; i < files.size(); ++i) {
            const fs::path to = *this / (i < 10 ? "set/train" : "set/test") / folder.path().filename();
            fs::create_directories(to);
            fs::rename(files[i], to / files[i].filename());
        }
    }
    const std::string want = ok("data info synthetic:70").out;
    const std::string got = ok("data info set").out;
    EXPECT_EQ(got.substr(got.find('\n')), want.substr(want.find('\n'))) << "counts";
}

}  // namespace
}  // namespace fer::test
