#include <glob.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/data/image.hpp"
#include "engine/report/classification.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/loaded_model.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct PredictFlags {
    std::string run;
    DeviceFlags device;
    std::vector<std::string> inputs;
    int top = 3, batch = 256;
    bool json = false, jsonl = false, strict = false;
};

bool looks_like_image(const fs::path& path) {
    std::string suffix = path.extension().string();
    std::ranges::transform(suffix, suffix.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png";
}

void add_input(const std::string& input, std::vector<std::string>& files) {
    if (fs::is_directory(input)) {
        std::vector<std::string> found;
        for (const auto& entry :
             fs::recursive_directory_iterator(input, fs::directory_options::skip_permission_denied)) {
            if (entry.is_regular_file() && looks_like_image(entry.path())) {
                found.push_back(entry.path().string());
            }
        }
        std::ranges::sort(found);
        files.insert(files.end(), found.begin(), found.end());
        return;
    }
    glob_t matches{};
    if (!fs::exists(input) && ::glob(input.c_str(), 0, nullptr, &matches) == 0) {
        for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
            add_input(matches.gl_pathv[i], files);
        }
    } else {
        files.push_back(input);  // if it does not exist, its status will say so
    }
    ::globfree(&matches);
}

struct Item {
    std::string file;
    std::string status = "ok";  // ok | unreadable
    std::string reason;
    std::vector<float> scores;
};

/// What is wrong with a file, without its name: "FILE: what" or "cannot read FILE", why.
std::string reason_of(const DataError& error, const std::string& file) {
    const std::string_view what = error.what();
    if (what.starts_with(file + ": ")) {
        return std::string(what.substr(file.size() + 2));
    }
    return error.why().empty() ? std::string(what) : error.why();
}

/// Reads the images into a data set of the model's size; unreadable ones get their status.
Dataset read_images(std::vector<Item>& items, const ModelCard& card, bool strict) {
    Dataset data;
    data.height = card.height;
    data.width = card.width;
    data.classes = card.classes;
    for (Item& item : items) {
        try {
            const GrayImage image = resize_nearest(load_gray(item.file), card.height, card.width);
            data.pixels.insert(data.pixels.end(), image.pixels.begin(), image.pixels.end());
            data.labels.push_back(0);
            data.files.push_back(item.file);
        } catch (const DataError& error) {
            if (strict) {
                throw;
            }
            item.status = "unreadable";
            item.reason = reason_of(error, item.file);
        }
    }
    return data;
}

nlohmann::ordered_json item_json(const Item& item, const std::vector<std::string>& classes) {
    nlohmann::ordered_json json{{"file", item.file}, {"status", item.status}};
    if (item.status != "ok") {
        json["reason"] = item.reason;
        return json;
    }
    const int best = argmax(item.scores);
    json["label"] = classes[static_cast<std::size_t>(best)];
    json["score"] = item.scores[static_cast<std::size_t>(best)];
    for (std::size_t c = 0; c < classes.size(); ++c) {
        json["emotions"][classes[c]] = item.scores[c];
    }
    return json;
}

void print_items(const std::vector<Item>& items, const std::vector<std::string>& classes, const PredictFlags& flags) {
    if (flags.json || flags.jsonl) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const Item& item : items) {
            list.push_back(item_json(item, classes));
        }
        if (flags.json) {
            fmt::print("{}\n", list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
        } else {
            for (const auto& row : list) {
                fmt::print("{}\n", row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
            }
        }
        return;
    }
    std::size_t width = 4;
    for (const Item& item : items) {
        width = std::max(width, item.file.size());
    }
    for (const Item& item : items) {
        std::string text = fmt::format("{:<{}}", item.file, width);
        if (item.status != "ok") {
            fmt::print("{}  {}: {}\n", text, item.status, item.reason);
            continue;
        }
        std::vector<std::size_t> order(classes.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t c) { return item.scores[c]; });
        for (std::size_t k = 0; k < std::min(order.size(), static_cast<std::size_t>(flags.top)); ++k) {
            text += fmt::format("  {} {:.2f}", classes[order[k]], item.scores[order[k]]);
        }
        fmt::print("{}\n", text);
    }
}

int predict(const PredictFlags& flags) {
    open_runtime(find_device(flags.device.device));  // a device that is not there shows before the files are read
    const LoadedModel model(flags.run);
    std::vector<std::string> files;
    for (const std::string& input : flags.inputs) {
        add_input(input, files);
    }
    std::vector<Item> items;
    for (const std::string& file : files) {
        items.push_back({.file = file, .reason = {}, .scores = {}});
    }
    const Dataset data = read_images(items, model.card, flags.strict);
    if (data.size() > 0) {
        const auto session =
            model.open(data, static_cast<int>(std::min<std::int64_t>(flags.batch, data.size())), flags.device);
        std::vector<std::int32_t> indices(static_cast<std::size_t>(data.size()));
        std::iota(indices.begin(), indices.end(), 0);
        const std::vector<float> p = session->evaluate(indices).probabilities;
        const auto classes = static_cast<std::ptrdiff_t>(model.card.classes.size());
        auto row = p.begin();
        for (Item& item : items) {
            if (item.status == "ok") {
                item.scores.assign(row, row + classes);
                row += classes;
            }
        }
    }
    print_items(items, model.card.classes, flags);
    const auto bad = std::ranges::count_if(items, [](const Item& item) { return item.status != "ok"; });
    if (bad > 0) {
        warn(fmt::format("{} of {} images could not be read", bad, items.size()));
    }
    if (data.size() == 0) {
        throw DataError(items.empty() ? "there are no images in what was given" : "no image could be read")
            .try_this("JPEG and PNG files, folders of them, or patterns like 'faces/*.jpg'");
    }
    return 0;
}

}  // namespace

void add_predict(Program& program) {
    auto flags = std::make_shared<PredictFlags>();
    CLI::App* command = program.app.add_subcommand("predict", "emotions of face images");
    command->add_option("run", flags->run, "run folder or weights file")->required();
    command->add_option("inputs", flags->inputs, "images, folders, patterns")->required();
    command->add_option("--top", flags->top, "classes to show")->check(CLI::Range(1, 100))->capture_default_str();
    command->add_option("--batch", flags->batch, "images at a time")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    add_device_flags(command, flags->device);
    command->add_flag("--json", flags->json, "one JSON list");
    command->add_flag("--jsonl", flags->jsonl, "one JSON object a line");
    command->add_flag("--strict", flags->strict, "stop at the first unreadable image");
    command->callback([&program, flags] { program.run = [flags] { return predict(*flags); }; });
}

}  // namespace fer::tool
