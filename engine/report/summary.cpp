#include "engine/report/summary.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/core/text.hpp"
#include "engine/graph/op_table.hpp"

namespace fer {
namespace {

struct Row {
    std::string name, class_name, shape, connected;
    std::int64_t parameters = 0, trainable = 0, flops = 0, bytes = 0;
};

std::string keras_shape(const Shape& shape) {
    std::string text = "(None";
    for (int i = 1; i < shape.rank(); ++i) {
        text += fmt::format(", {}", shape[i]);
    }
    return text + ")";
}

/// A node belongs to the layer whose name it carries, alone or before a slash.
bool belongs(const Node& node, const Layer& layer) {
    return node.name == layer.name || node.name.starts_with(layer.name + "/");
}

std::vector<Row> rows_of(const Step& step) {
    std::vector<Row> rows;
    const std::int64_t batch = std::max<std::int64_t>(1, step.graph.value(step.input).info.shape[0]);
    for (const Layer& layer : step.layers) {
        Row row{layer.name, layer.class_name, keras_shape(step.graph.value(layer.output).info.shape),
                fmt::format("{}", fmt::join(layer.inputs, ", "))};
        for (const ValueId id : layer.variables) {
            const std::int64_t count = step.graph.value(id).info.shape.count();
            row.parameters += count;
            row.trainable += step.graph.value(id).role == Role::kParameter ? count : 0;
        }
        for (const Node& node : step.graph.nodes()) {
            if (belongs(node, layer)) {
                row.flops += flops_of(step.graph.describe(node)) / batch;
            }
        }
        const bool passes = layer.class_name == "Dropout" || layer.class_name == "Flatten";
        row.bytes = passes ? 0 : step.graph.value(layer.output).info.bytes() / batch;
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string size_text(std::int64_t count) {
    const double bytes = 4.0 * static_cast<double>(count);
    return bytes < 1024 * 1024 ? fmt::format("{:.2f} KB", bytes / 1024) : fmt::format("{:.2f} MB", bytes / 1024 / 1024);
}

std::string mega(std::int64_t number) {
    return number == 0 ? "-" : fmt::format("{:.2f} M", static_cast<double>(number) * 1e-6);
}
std::string kilo(std::int64_t bytes) {
    return bytes == 0 ? "-" : fmt::format("{:.1f} KB", static_cast<double>(bytes) / 1024);
}

}  // namespace

std::string summary_table(const Step& step, const std::string& model) {
    const std::vector<Row> rows = rows_of(step);
    const bool branches = std::ranges::any_of(step.layers, [](const Layer& l) { return l.inputs.size() > 1; });
    std::vector<std::vector<std::string>> cells{{"Layer (type)", "Output Shape", "Param #", "FLOPs", "Activations"}};
    if (branches) {
        cells[0].push_back("Connected to");
    }
    Row sum;
    for (const Row& row : rows) {
        cells.push_back({fmt::format("{} ({})", row.name, row.class_name), row.shape, thousands(row.parameters),
                         mega(row.flops), kilo(row.bytes)});
        if (branches) {
            cells.back().push_back(row.connected);
        }
        sum.parameters += row.parameters;
        sum.trainable += row.trainable;
        sum.flops += row.flops;
        sum.bytes += row.bytes;
    }
    std::vector<std::size_t> widths(cells[0].size(), 0);
    for (const auto& row : cells) {
        for (std::size_t c = 0; c < row.size(); ++c) {
            widths[c] = std::max(widths[c], row[c].size());
        }
    }
    const auto rule = [&](const char* left, const char* line, const char* middle, const char* right) {
        std::string text = left;
        for (std::size_t c = 0; c < widths.size(); ++c) {
            for (std::size_t i = 0; i < widths[c] + 2; ++i) {
                text += line;
            }
            text += c + 1 < widths.size() ? middle : right;
        }
        return text + "\n";
    };
    std::string text = fmt::format("Model: \"{}\"\n", model) + rule("┏", "━", "┳", "┓");
    for (std::size_t r = 0; r < cells.size(); ++r) {
        const char* bar = r == 0 ? "┃" : "│";
        for (std::size_t c = 0; c < widths.size(); ++c) {
            const bool number = c >= 2 && c <= 4;
            text += number ? fmt::format("{} {:>{}} ", bar, cells[r][c], widths[c])
                           : fmt::format("{} {:<{}} ", bar, cells[r][c], widths[c]);
        }
        text += fmt::format("{}\n", bar);
        text += r == 0 ? rule("┡", "━", "╇", "┩")
                       : (r + 1 < cells.size() ? rule("├", "─", "┼", "┤") : rule("└", "─", "┴", "┘"));
    }
    const auto line = [&](const char* name, std::int64_t count) {
        text += fmt::format(" {}: {} ({})\n", name, thousands(count), size_text(count));
    };
    line("Total params", sum.parameters);
    line("Trainable params", sum.trainable);
    line("Non-trainable params", sum.parameters - sum.trainable);
    text += fmt::format(" Forward FLOPs per image: {} ({:.3f} G)\n", thousands(sum.flops),
                        static_cast<double>(sum.flops) * 1e-9);
    text += fmt::format(" Activation bytes per image: {} ({:.2f} MB)\n", thousands(sum.bytes),
                        static_cast<double>(sum.bytes) / 1024 / 1024);
    return text;
}

std::string summary_json(const Step& step, const std::string& model) {
    nlohmann::ordered_json json{{"model", model}, {"layers", nlohmann::ordered_json::array()}};
    Row sum;
    for (const Row& row : rows_of(step)) {
        json["layers"].push_back({{"name", row.name},
                                  {"class", row.class_name},
                                  {"output_shape", row.shape},
                                  {"connected_to", row.connected},
                                  {"params", row.parameters},
                                  {"trainable", row.trainable},
                                  {"flops", row.flops},
                                  {"activation_bytes", row.bytes}});
        sum.parameters += row.parameters;
        sum.trainable += row.trainable;
        sum.flops += row.flops;
        sum.bytes += row.bytes;
    }
    json["total_params"] = sum.parameters;
    json["trainable_params"] = sum.trainable;
    json["non_trainable_params"] = sum.parameters - sum.trainable;
    json["flops_per_image"] = sum.flops;
    json["activation_bytes_per_image"] = sum.bytes;
    return json.dump(2) + "\n";
}

}  // namespace fer
