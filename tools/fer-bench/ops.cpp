// Every implementation of every layer shape against the others: handwritten, cuDNN, cuBLASLt, oneDNN, reference.
#include <algorithm>
#include <map>

#include "engine/core/file.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/measure/results.hpp"
#include "engine/run/node_bench.hpp"
#include "tools/fer-bench/case_flags.hpp"
#include "tools/fer-bench/commands.hpp"
#include "tools/fer-bench/rows.hpp"
#include "tools/fer-bench/table.hpp"
#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

struct OpsFlags {
    std::vector<std::string> models{"all"}, kinds;
    CaseFlags which;
    std::string json, markdown;
    bool reference = false;
};

/// A shape once, by all the layers that have it.
struct Shaped {
    OpDesc op;
    std::vector<std::string> layers;
};

std::vector<Shaped> shapes_of(const OpsFlags& flags, const Device& device) {
    std::vector<Shaped> all;
    std::map<std::string, std::size_t> known;
    for (const models::Model& model : models::all()) {
        if (flags.models[0] != "all" && std::ranges::count(flags.models, model.name) == 0) {
            continue;
        }
        const StepCase which = step_case(model, flags.which, device);
        StepOptions options = which.step;
        options.input.images = options.batch;
        options.fuse = fusions_for(device, options.fuse);
        const Step step = which.use == Session::Use::kTrain ? training_step(model.build, options)
                                                            : evaluation_step(model.build, options);
        for (const Node& node : step.graph.nodes()) {
            OpDesc op = step.graph.describe(node);
            const std::string key = node_key(op);
            const bool wanted = flags.kinds.empty() || std::ranges::count(flags.kinds, name_of(op.kind)) > 0;
            if (key.empty() || !wanted || !NodeBench::can_draw(op)) {
                continue;
            }
            const auto [at, fresh] = known.try_emplace(key, all.size());
            if (fresh) {
                all.push_back({op, {}});
            }
            all[at->second].layers.push_back(fmt::format("{}/{}", model.name, op.name));
        }
    }
    return all;
}

std::string shape_text(const OpDesc& op) {
    std::string text;
    for (const TensorInfo& info : op.in) {
        text += (text.empty() ? "" : " ") + info.shape.str();
    }
    return text;
}

int ops(const OpsFlags& flags) {
    for (const std::string& name : flags.models) {
        if (name != "all") {
            models::find(name);
        }
    }
    const Device& device = find_device(flags.which.device.device);
    Runtime& runtime = open_runtime(device);
    const std::vector<Shaped> shapes = shapes_of(flags, device);
    FER_CHECK(!shapes.empty(), "--op: no layer of these networks is one of {}", fmt::join(flags.kinds, ", "));
    Table table({"op", "layer", "shapes", "implementation", "ms", "GFLOP/s", "of best"}, 4);
    Json rows = Json::array();
    for (const Shaped& shaped : shapes) {
        std::vector<std::pair<std::string, double>> times;
        try {
            NodeBench bench(shaped.op, runtime);
            const auto candidates = accepting(device, shaped.op);
            for (const Implementation* how : candidates) {
                if (how->name == "reference" && !flags.reference && candidates.size() > 1) {
                    continue;
                }
                bench.set(*how);
                times.emplace_back(how->name, bench.seconds());
            }
        } catch (const MemoryError& error) {
            warn(fmt::format("{} is left out: {}", shaped.layers[0], error.what()));
            continue;
        }
        std::ranges::stable_sort(times, {}, &std::pair<std::string, double>::second);
        const std::string more = shaped.layers.size() > 1 ? fmt::format(" and {} more", shaped.layers.size() - 1) : "";
        for (const auto& [name, seconds] : times) {
            const auto flops = static_cast<double>(flops_of(shaped.op));
            table.add({std::string(name_of(shaped.op.kind)), shaped.layers[0] + more, shape_text(shaped.op), name,
                       fmt::format("{:.4f}", seconds * 1e3), figure(flops * 1e-9 / seconds),
                       fmt::format("{:.2f}", seconds / times[0].second)});
            rows.push_back({{"op", name_of(shaped.op.kind)},
                            {"layers", shaped.layers},
                            {"key", node_key(shaped.op)},
                            {"implementation", name},
                            {"ms", seconds * 1e3},
                            {"flops", flops_of(shaped.op)},
                            {"bytes", traffic_of(shaped.op)}});
        }
        if (!flags.json.empty()) {  // a sweep takes long: what is done is kept
            const Json file{{"schema", "fer-bench-ops/1"}, {"device", runtime.tuning_key()}, {"rows", rows}};
            write_file(flags.json, file.dump(1) + "\n");
        }
    }
    fmt::print("{}", table.text(Table::Style::kText));
    if (!flags.markdown.empty()) {
        write_file(flags.markdown, table.text(Table::Style::kMarkdown));
    }
    return 0;
}

}  // namespace

void add_ops(Program& program) {
    auto flags = std::make_shared<OpsFlags>();
    CLI::App* command = program.app.add_subcommand("ops", "each layer shape by every implementation that takes it");
    command->add_option("--models", flags->models, "networks, or all")->delimiter(',');
    command->add_option("--op", flags->kinds, "conv2d, conv2d_dgrad, conv2d_wgrad, dense, ...")->delimiter(',');
    command->add_option("--phase", flags->which.phase, "train | infer")->check(one_of({"train", "infer"}));
    command->add_option("--batch", flags->which.batch, "images per step")->check(CLI::Range(1, 65536));
    command->add_option("--width", flags->which.width, "factor on filters and hidden units");
    command->add_option("--fuse", flags->which.fuse, "on, off, or rules separated by commas");
    command->add_flag("--reference", flags->reference, "the naive implementation too, where there is another");
    command->add_option("--json", flags->json, "file of all rows, written anew after each shape");
    command->add_option("--markdown", flags->markdown, "file of the table");
    add_device_flags(command, flags->which.device);
    command->callback([&program, flags] { program.run = [flags] { return ops(*flags); }; });
}

}  // namespace fer::tool
