// fer-bench as a performance engineer uses it, on narrow networks.
#include <csignal>

#include "engine/core/error.hpp"
#include "tests/cli/program.hpp"
#include "tests/support/expect_error.hpp"
#include "tools/fer-bench/apart.hpp"

namespace fer::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kNarrow = " --width 0.05 ";
const std::string kQuick = kNarrow + "--duration 0.02 --warmup-ms 0 ";

class Bench : public ProgramTest {
protected:
    static Start bench(const std::map<std::string, std::string>& environment = {}) {
        return {.environment = environment, .program = FER_BENCH};
    }
    Outcome measured(const std::string& line) const { return ok(line, bench()); }
    Outcome refused(int status, const std::string& line, const std::string& what) const {
        return fails(status, line, what, bench());
    }
    bool has_emulated() const { return measured("--version").out.find("emulated") != std::string::npos; }

    /// A result file of rows with these times, repetition by repetition.
    void results(const std::string& name, const std::map<std::string, std::vector<double>>& times,
                 const std::string& device = "a CPU", const std::string& framework = "fer") const {
        json all{{"schema", "fer-bench/1"}, {"context", {{"fer", json::object()}}}, {"benchmarks", json::array()}};
        for (const auto& [row, list] : times) {
            for (const double ms : list) {
                all["benchmarks"].push_back({{"name", row},
                                             {"run_name", row},
                                             {"run_type", "iteration"},
                                             {"time_unit", "ms"},
                                             {"real_time", ms},
                                             {"cpu_time", ms},
                                             {"iterations", 1},
                                             {"device", device},
                                             {"framework", framework},
                                             {"items_per_second", 1e3 / ms}});
            }
        }
        write(name, all.dump());
    }
};

TEST_F(Bench, RunMeasuresEveryCase) {
    const Outcome outcome = measured("run --models simpler_cnn --batch 1,2 --device cpu" + kQuick +
                                     "--json a.json --csv a.csv --markdown a.md");
    const json all = read_json("a.json");
    std::map<std::string, int> rows;
    for (const json& row : all["benchmarks"]) {
        ++rows[row["name"]];
        EXPECT_GT(row["real_time"], 0) << row["name"];
        EXPECT_GT(row["limit_ms"], 0) << row["name"];
    }
    for (const char* phase : {"train", "infer"}) {
        for (const char* batch : {"b1", "b2"}) {
            const std::string name = fmt::format("{}/simpler_cnn/{}/fp32/cpu/width0.05", phase, batch);
            EXPECT_GE(rows[name], 1) << name;
            EXPECT_LE(rows[name], 9) << name;
            EXPECT_EQ(rows[name + "_median"], 1);
            EXPECT_EQ(rows["cold/" + name], 1);
            EXPECT_EQ(rows["plan/" + name], 1);
        }
    }
    const std::vector<std::string> table = lines(outcome.out);
    ASSERT_EQ(table.size(), 5u) << outcome.out;
    EXPECT_THAT(table[0], AllOf(HasSubstr("img/s"), HasSubstr("% limit"), HasSubstr("peak MB"), HasSubstr("J/img")));
    EXPECT_EQ(lines(read("a.csv")).size(), 5u);
    EXPECT_EQ(lines(read("a.md"))[1].substr(0, 4), "|---");
    EXPECT_GT(all["context"]["fer"]["devices"]["cpu"]["peaks"]["fp32"]["flops_per_s"], 0);
}

TEST_F(Bench, RunCountsExactly) {
    measured("run --models simpler_cnn --batch 2 --phase train --steps 3 --device cpu" + kNarrow + "--json a.json");
    const json row = read_json("a.json")["benchmarks"][0];
    EXPECT_EQ(row["iterations"], 3);
    EXPECT_EQ(row["samples_ms"].size(), 3u);
    double sum = 0;
    for (const double ms : row["samples_ms"]) {
        sum += ms;
    }
    EXPECT_LE(sum, 3 * row["real_time"].get<double>() * 1.001) << "steps take no longer than all of them together";
    EXPECT_NEAR(row["items_per_second"].get<double>() * row["real_time"].get<double>(), 2000, 1);
}

#ifndef FER_CHECKED  // whose plans have canaries and are not recorded
TEST_F(Bench, RunOnTheEmulatorRecordsStepsAndKnowsEnergy) {
    if (!has_emulated()) {
        GTEST_SKIP() << "this build has no device `emulated`";
    }
    ok("run --models simpler_cnn --batch 1 --phase infer --steps 2 --device emulated --precision fp32,bf16 --capture "
       "on,off "
       "--streamed --json a.json" +
           kNarrow,
       bench({{"FER_NVML", FAKE_NVML}}));
    std::set<std::pair<std::string, bool>> seen;
    const json benchmarks = read_json("a.json")["benchmarks"];
    for (const json& row : benchmarks) {
        if (row["run_type"] == "aggregate") {
            seen.emplace(row["precision"].get<std::string>(), row["capture"].get<bool>());
            EXPECT_GT(row["joules_per_image"], 0);
            EXPECT_GT(row["pieces_ms"]["upload"], 0);
            EXPECT_GT(row["pieces_ms"]["download"], 0);
            EXPECT_GT(row["pieces_ms"]["compute"], 0);
        }
    }
    EXPECT_EQ(seen.size(), 4u);
}
#endif

TEST_F(Bench, RunRefusesWhatIsNotThere) {
    refused(2, "run --models simple_cnn", "unknown model 'simple_cnn'");
    EXPECT_THAT(refused(2, "run --models simple_cnn", "unknown").err, HasSubstr("did you mean 'simpler_cnn'?"));
    refused(2, "run --models simpler_cnn --batch 0", "--batch");
    refused(2, "run --models simpler_cnn --phase trian", "did you mean 'train'?");
    refused(2, "run --models simpler_cnn --device gpu", "unknown value 'gpu'");
    refused(2, "run --models simpler_cnn --device cpu --precision bf16", "the cpu computes in fp32");
    refused(3, "run --models simpler_cnn --device cpu --steps 1 --data none.zip", "none.zip");
}

// The row before it is kept; what is told is the batch, the need and what there is.
TEST_F(Bench, RunKeepsWhatItHasWhenMemoryRunsOut) {
    const Outcome outcome = fer(
        words("run --models vgg16_tl --width 0.25 --batch 1,65536 --phase infer --steps 1 --device cpu --json a.json"),
        bench());
    EXPECT_EQ(outcome.status, 5);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: out of memory: batch 65536 needs"), HasSubstr("are available")));
    const json all = read_json("a.json");
    ASSERT_EQ(all["errors"].size(), 1u);
    ASSERT_FALSE(all["benchmarks"].empty());
    EXPECT_EQ(all["benchmarks"][0]["batch"], 1);
    EXPECT_EQ(all["errors"][0]["status"], 5);
}

TEST_F(Bench, ProfileAccountsForTheWholeStep) {
    const Outcome outcome = measured(
        "profile simpler_cnn --batch 2 --steps 2 --device cpu --json p.json --export-profile e.json "
        "--chrome-trace t.json" +
        kNarrow);
    EXPECT_THAT(outcome.out,
                AllOf(HasSubstr("conv2d_1/dw"), HasSubstr("conv2d.onednn"), HasSubstr("limit layer by layer")));
    const json profile = read_json("p.json");
    double sum = 0;
    for (const json& node : profile["nodes"]) {
        sum += node["ms"].get<double>();
    }
    EXPECT_NEAR(sum, profile["step_ms"].get<double>(), 1e-6 * sum);
    const json exported = read_json("e.json");
    EXPECT_EQ(exported[0]["count"], 2);
    EXPECT_EQ(exported.size(), profile["nodes"].size() + 1);
    double share = 0;
    for (std::size_t i = 1; i < exported.size(); ++i) {
        share += exported[i]["percentage"].get<double>();
    }
    EXPECT_NEAR(share, 100, 1e-6);
    std::map<int, double> end;  // by lane: nothing begins before what stands before it has ended
    const json traceEvents = read_json("t.json")["traceEvents"];
    for (const json& event : traceEvents) {
        EXPECT_EQ(event["ph"], "X");
        EXPECT_GE(event["ts"].get<double>(), end[event["tid"]] - 1e-6);
        end[event["tid"]] = event["ts"].get<double>() + event["dur"].get<double>();
    }
    EXPECT_NEAR(end[1], end[2], 1e-3);
    EXPECT_EQ(lines(measured("profile simpler_cnn --batch 1 --steps 1 --top 3 --device cpu" + kNarrow).out).at(4), "");
    refused(2, "profile simpler_cnn --sort tim", "did you mean 'time'?");
}

#ifndef FER_CHECKED  // whose plans have canaries and are not recorded
// Every node of the recording belongs to one node of the plan, and every node of the plan has some.
TEST_F(Bench, ProfileMapsTheGraphToTheNodes) {
    if (!has_emulated()) {
        GTEST_SKIP() << "this build has no device `emulated`";
    }
    measured("profile simpler_cnn --batch 1 --steps 1 --device emulated --json p.json" + kNarrow);
    std::vector<std::pair<int, int>> spans;
    const json nodes = read_json("p.json")["nodes"];
    for (const json& node : nodes) {
        spans.emplace_back(node["graph_nodes"][0], node["graph_nodes"][1]);
        EXPECT_LT(spans.back().first, spans.back().second) << node["node"];
    }
    std::ranges::sort(spans);
    EXPECT_EQ(spans[0].first, 0);
    for (std::size_t i = 1; i < spans.size(); ++i) {
        EXPECT_EQ(spans[i].first, spans[i - 1].second);
    }
}
#endif

TEST_F(Bench, LayerRunsOneNode) {
    EXPECT_THAT(measured("layer simpler_cnn conv2d_1 --batch 2 --iters 3 --device cpu" + kNarrow).out,
                AllOf(HasSubstr("conv2d_1 conv2d.onednn (2, 48, 48, 3): "), HasSubstr("of 3")));
    EXPECT_THAT(measured("layer simpler_cnn adam --batch 2 --iters 1 --device cpu" + kNarrow).out, HasSubstr("adam."));
    const Outcome wrong =
        refused(2, "layer simpler_cnn conv2d_11 --device cpu --batch 1" + kNarrow, "no node 'conv2d_11'");
    EXPECT_THAT(wrong.err, HasSubstr("did you mean 'conv2d_1'?"));
}

TEST_F(Bench, OpsComparesTheImplementations) {
    const Outcome outcome = measured(
        "ops --models simpler_cnn --op conv2d,dense_dgrad --batch 1 --device cpu --reference --json o.json" + kNarrow);
    std::map<std::string, std::set<std::string>> by_op;
    const json rows = read_json("o.json")["rows"];
    for (const json& row : rows) {
        by_op[row["op"]].insert(row["implementation"]);
        EXPECT_GT(row["ms"], 0);
    }
    EXPECT_THAT(by_op["conv2d"], ElementsAre("onednn", "reference"));
    EXPECT_EQ(by_op.size(), 2u) << outcome.out;
    refused(2, "ops --models simpler_cnn --op conv --device cpu" + kNarrow,
            "no layer of these networks is one of conv");
}

TEST_F(Bench, CompareTellsNoiseFromChange) {
    results("a.json", {{"x", {10, 10.1, 9.9, 10.2, 9.8, 10, 10.1, 9.9, 10}}, {"y", {5, 9, 4, 8, 5, 7, 6, 4, 9}}});
    results("b.json", {{"x", {11, 11.1, 10.9, 11.2, 10.8, 11, 11.1, 10.9, 11}}, {"y", {6, 9, 4, 7, 5, 8, 6, 5, 9}}});
    const Outcome outcome = measured("compare a.json b.json --json c.json");
    EXPECT_THAT(lines(outcome.out).at(1), AllOf(HasSubstr("1.100"), HasSubstr("slower"), Not(HasSubstr("(!"))));
    EXPECT_THAT(lines(outcome.out).at(2), AllOf(HasSubstr("same"), HasSubstr("(! ")));
    EXPECT_LT(read_json("c.json")["rows"][0]["p"], 0.05);
    EXPECT_THAT(lines(measured("compare b.json a.json").out).at(1), HasSubstr("faster"));
    measured("compare a.json b.json --fail-above 15");
    measured("compare b.json a.json --fail-above 0");
    const Outcome gate = fer(words("compare a.json b.json --fail-above 3"), bench());
    EXPECT_EQ(gate.status, 7);
    EXPECT_THAT(gate.err, AllOf(HasSubstr("1 of 2 rows slower by more than 3 %"), HasSubstr("x by 10.0 %")));
    measured("compare a.json b.json --metric items_per_second --fail-above 15");
    EXPECT_EQ(fer(words("compare a.json b.json --metric items_per_second --fail-above 3"), bench()).status, 7);
}

TEST_F(Bench, CompareRefusesWhatCannotBeCompared) {
    results("a.json", {{"x", {10, 11}}});
    results("gpu.json", {{"x", {1, 2}}}, "a GPU");
    results("other.json", {{"z", {1, 2}}});
    write("google.json", R"({"context": {}, "benchmarks": []})");
    EXPECT_THAT(refused(2, "compare a.json gpu.json", "x was measured on two devices").err,
                HasSubstr("gpu.json: a GPU"));
    refused(3, "compare a.json other.json", "have no row in common");
    EXPECT_THAT(refused(3, "compare a.json google.json", "is not a result of fer-bench").err, HasSubstr("no 'schema'"));
    refused(3, "compare a.json none.json", "none.json");
    refused(2, "compare a.json a.json --metric time", "--metric: unknown value 'time'");
}

TEST_F(Bench, ImportExternalPutsRowsBesideOurs) {
    results("a1.json", {{"x", {10}}});
    results("a2.json", {{"x", {11}}});
    results("torch.json", {{"x", {20, 21}}}, "a CPU", "PyTorch");
    measured("import-external a1.json a2.json --out ours.json");
    const json ours = read_json("ours.json")["benchmarks"];
    ASSERT_EQ(ours.size(), 2u);
    EXPECT_EQ(ours[1]["repetition_index"], 1);
    EXPECT_EQ(ours[1]["repetitions"], 2);
    const Outcome outcome = measured("import-external torch.json --label 'PyTorch-2.15' --out labelled.json");
    EXPECT_EQ(read_json("labelled.json")["benchmarks"][0]["name"], "x/pytorch-2.15");
    EXPECT_THAT(lines(measured("compare torch.json ours.json").out).at(0),
                AllOf(HasSubstr("PyTorch ms"), HasSubstr("fer ms")));
    write("rows.json", R"([{"name": "x"}])");
    refused(3, "import-external rows.json", "is not a result of fer-bench");
}

TEST_F(Bench, CommandsForNsight) {
    EXPECT_THAT(measured("nsys-cmd simpler_cnn --precision bf16").out,
                AllOf(HasSubstr("--capture-range=cudaProfilerApi"), HasSubstr("fer train simpler_cnn --batch 64"),
                      HasSubstr("--precision bf16"), HasSubstr("--profile-steps 20:40")));
    if (has_emulated()) {
        EXPECT_THAT(measured("ncu-cmd simpler_cnn conv2d_1").out,
                    AllOf(HasSubstr("--nvtx-include \"fer@conv2d_1/\""), HasSubstr("--profile-from-start off"),
                          HasSubstr("fer-bench layer simpler_cnn --batch 64 --phase train --device cuda conv2d_1")));
        refused(2, "ncu-cmd simpler_cnn conv2d_7", "no node 'conv2d_7'");
    }
    refused(2, "nsys-cmd simple_cnn", "unknown model");
}

TEST(Apart, ReturnsWhatTheChildSays) {
    EXPECT_EQ(tool::apart([] { return nlohmann::ordered_json{{"pid", ::getpid()}}; })["pid"].is_number(), true);
    EXPECT_NE(tool::apart([] { return nlohmann::ordered_json(::getpid()); }), ::getpid());
    const std::string long_text(1 << 20, 'x');  // more than a pipe holds
    EXPECT_EQ(tool::apart([&] { return nlohmann::ordered_json(long_text); }), long_text);
}

Fault fault_of(const std::function<nlohmann::ordered_json()>& work, const std::string& text) {
    try {
        tool::apart(work);
    } catch (const Error& error) {
        EXPECT_THAT(std::string(error.what()) + " / " + error.why() + " / " + error.hint(), HasSubstr(text));
        return error.fault();
    }
    ADD_FAILURE() << "no error";
    return Fault::kInternal;
}

TEST(Apart, ErrorsComeOutAsTheyWereThrown) {
    const auto vanished = []() -> nlohmann::ordered_json {
        throw DeviceError("node 'conv2d': cudaErrorDeviceUnavailable")
            .because("it fell off the bus")
            .try_this("fer doctor");
    };
    EXPECT_EQ(fault_of(vanished, "node 'conv2d': cudaErrorDeviceUnavailable / it fell off the bus / fer doctor"),
              Fault::kDevice);
    EXPECT_EQ(fault_of([]() -> nlohmann::ordered_json { throw std::bad_alloc(); }, "out of memory"), Fault::kMemory);
    EXPECT_EQ(fault_of([]() -> nlohmann::ordered_json { throw std::runtime_error("odd"); }, "odd"), Fault::kInternal);
}

TEST(Apart, AChildThatDiesIsAnError) {
    EXPECT_EQ(fault_of(
                  [] {
                      ::raise(SIGKILL);
                      return nlohmann::ordered_json();
                  },
                  "memory runs out"),
              Fault::kMemory);
    EXPECT_EQ(fault_of([]() -> nlohmann::ordered_json { ::_exit(3); }, "its status was 3"), Fault::kInternal);
}

}  // namespace
}  // namespace fer::test
