#include "engine/train/checkpoint.hpp"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/text.hpp"

namespace fer {
namespace {

using Json = nlohmann::json;
constexpr const char* kBestPrefix = "best/";
constexpr int kFormat = 1;

Json to_json(const ModelCard& card) {
    return {{"format", kFormat},          {"model", card.model},
            {"classes", card.classes},    {"input", {card.height, card.width, card.channels}},
            {"rescale", card.rescale},    {"offset", card.offset},
            {"bilinear", card.bilinear},  {"complete", card.complete},
            {"width", card.width_factor}, {"recipe", card.recipe},
            {"data", card.data},          {"fingerprint", card.fingerprint}};
}

std::vector<std::string> weight_names(const Step& step) {
    std::vector<std::string> names;
    for (const Variable& variable : step.variables) {
        names.push_back(step.graph.value(variable.id).name);
    }
    return names;
}

/// A path need not be UTF-8; JSON must be.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// JSON has no NaN: "none yet" is null.
Json number(double value) { return std::isnan(value) ? Json() : Json(value); }
double number(const Json& json) { return json.is_null() ? std::nan("") : json.get<double>(); }

Json to_json(const Progress& p) {
    Json history = Json::array();
    for (const EpochRow& r : p.history) {
        history.push_back({r.epoch, r.seconds, number(r.loss), number(r.accuracy), number(r.val_loss),
                           number(r.val_accuracy), r.learning_rate, r.images_per_s});
    }
    return {{"epoch", p.epoch},
            {"images", p.images},
            {"seconds", p.seconds},
            {"finished", p.finished},
            {"early_stopping",
             {p.early_stopping.wait, number(p.early_stopping.best), p.early_stopping.best_epoch,
              p.early_stopping.has_weights}},
            {"reduce_lr", {p.reduce_lr.wait, p.reduce_lr.cooldown, number(p.reduce_lr.best)}},
            {"best", {number(p.best.best), p.best.best_epoch}},
            {"history", history}};
}

Progress to_progress(const Json& j) {
    Progress p;
    p.epoch = j.at("epoch");
    p.images = j.at("images");
    p.seconds = j.at("seconds");
    p.finished = j.at("finished");
    const Json& stop = j.at("early_stopping");
    p.early_stopping = {stop.at(0), number(stop.at(1)), stop.at(2), stop.at(3)};
    const Json& reduce = j.at("reduce_lr");
    p.reduce_lr = {reduce.at(0), reduce.at(1), number(reduce.at(2))};
    p.best = {number(j.at("best").at(0)), j.at("best").at(1)};
    for (const Json& r : j.at("history")) {
        p.history.push_back(
            {r.at(0), r.at(1), number(r.at(2)), number(r.at(3)), number(r.at(4)), number(r.at(5)), r.at(6), r.at(7)});
    }
    return p;
}

Progress read_progress(const std::string& text, const std::string& path) {
    try {
        Progress p = to_progress(Json::parse(text));
        const auto epochs = static_cast<int>(p.history.size());
        if (p.epoch != epochs || p.images < 0 || p.best.best_epoch >= epochs) {
            throw DataError(fmt::format("the progress in {} contradicts itself", path))
                .because(fmt::format("{} epochs done, {} recorded, the best is number {}", p.epoch, epochs,
                                     p.best.best_epoch + 1));
        }
        return p;
    } catch (const nlohmann::json::exception& error) {
        throw DataError(fmt::format("the progress in {} cannot be read", path)).because(error.what());
    }
}

/// The tensors of a state file are those of this run, one for one, and the best weights are some of them.
void check_state(const SafetensorsFile& file, const std::string& path, const Variables& variables) {
    const auto fail = [&](const std::string& why) {
        throw DataError(fmt::format("{} does not fit this run", path)).because(why);
    };
    for (const auto& [name, entry] : variables.entries()) {
        if (entry.saved() && file.find(name) == nullptr) {
            fail(fmt::format("it has no '{}'", name));
        }
    }
    for (const auto& entry : file.entries()) {
        const std::string name =
            entry.name.starts_with(kBestPrefix) ? entry.name.substr(std::strlen(kBestPrefix)) : entry.name;
        if (!variables.has(name) || !variables.at(name).saved()) {
            fail(fmt::format("this run has no '{}'", entry.name));
        }
        const TensorInfo& info = variables.at(name).info;
        if (entry.shape != info.shape || entry.dtype != info.dtype) {
            fail(fmt::format("'{}' is {} {} there, {} {} here", entry.name, entry.shape.str(), name_of(entry.dtype),
                             info.shape.str(), name_of(info.dtype)));
        }
    }
}

/// Copies of variables, as a file takes them.
class Snapshot {
public:
    void take(const std::string& name, const Variables& variables) {
        const Variables::Entry& entry = variables.at(name);
        bytes_.push_back(variables.read_bytes(entry));
        tensors_.push_back({name, entry.info.dtype, entry.info.shape, bytes_.back().data()});
    }
    const std::vector<TensorView>& tensors() const { return tensors_; }

private:
    std::vector<std::vector<char>> bytes_;
    std::vector<TensorView> tensors_;
};

}  // namespace

double EpochRow::monitored(const std::string& name) const {
    if (name == "loss") {
        return loss;
    }
    if (name == "accuracy") {
        return accuracy;
    }
    return name == "val_loss" ? val_loss : val_accuracy;
}

std::map<std::string, std::string> card_metadata(const ModelCard& card) {
    std::map<std::string, std::string> metadata{{"fer.model", dump(to_json(card))}};
    if (!card.architecture.empty()) {
        metadata["fer.architecture"] = card.architecture;
    }
    return metadata;
}

void write_weights(const std::filesystem::path& path, const Variables& variables, const Step& step,
                   const ModelCard& card) {
    Snapshot snapshot;
    for (const std::string& name : weight_names(step)) {
        snapshot.take(name, variables);
    }
    write_safetensors(path, snapshot.tensors(), card_metadata(card));
}

ModelCard read_card(const SafetensorsFile& file, const std::string& path) {
    const auto found = file.metadata().find("fer.model");
    if (found == file.metadata().end()) {
        throw DataError(fmt::format("{} does not say which model it belongs to", path))
            .because("it is a safetensors file, but not one written by fer train");
    }
    try {
        const Json j = Json::parse(found->second);
        if (const int format = j.value("format", kFormat); format > kFormat) {
            throw DataError(fmt::format("{} was written by a newer fer", path))
                .because(fmt::format("it is of format {}, and this program reads up to {}", format, kFormat))
                .try_this("the fer that wrote it; run.json beside its folder names the version");
        }
        const auto architecture = file.metadata().find("fer.architecture");
        return {.model = j.at("model"),
                .classes = j.at("classes"),
                .height = j.at("input").at(0),
                .width = j.at("input").at(1),
                .channels = j.at("input").at(2),
                .rescale = j.at("rescale"),
                .offset = j.value("offset", std::array<float, 3>{}),
                .bilinear = j.value("bilinear", true),
                .architecture = architecture == file.metadata().end() ? std::string() : architecture->second,
                .complete = j.value("complete", true),
                .width_factor = j.at("width"),
                .recipe = j.at("recipe"),
                .data = j.at("data"),
                .fingerprint = j.at("fingerprint")};
    } catch (const nlohmann::json::exception& error) {
        throw DataError(fmt::format("the description in {} cannot be read", path)).because(error.what());
    }
}

void load_weights(const SafetensorsFile& file, const std::string& path, const Variables& variables, const Step& step) {
    const std::vector<std::string> names = weight_names(step);
    const std::set<std::string> wanted(names.begin(), names.end());
    for (const std::string& name : names) {
        const auto* entry = file.find(name);
        const TensorInfo& info = variables.at(name).info;
        if (entry == nullptr || entry->shape != info.shape || entry->dtype != info.dtype) {
            throw DataError(fmt::format("{} does not fit this model", path))
                .because(entry == nullptr ? fmt::format("it has no tensor '{}'", name)
                                          : fmt::format("'{}' is {} {} there, {} {} here", name, entry->shape.str(),
                                                        name_of(entry->dtype), info.shape.str(), name_of(info.dtype)));
        }
    }
    for (const auto& entry : file.entries()) {
        if (!wanted.contains(entry.name)) {
            throw DataError(fmt::format("{} does not fit this model", path))
                .because(fmt::format("the model has no '{}'", entry.name));
        }
    }
    for (const std::string& name : names) {
        const auto* entry = file.find(name);
        variables.write_bytes(variables.at(name), file.data(*entry));
    }
}

int load_known_weights(const SafetensorsFile& file, const std::string& path, const Variables& variables,
                       const Step& step) {
    const std::vector<std::string> names = weight_names(step);
    const std::set<std::string> wanted(names.begin(), names.end());
    for (const auto& entry : file.entries()) {
        const bool known = wanted.contains(entry.name);
        if (!known || entry.shape != variables.at(entry.name).info.shape ||
            entry.dtype != variables.at(entry.name).info.dtype) {
            throw DataError(fmt::format("{} does not fit this model", path))
                .because(known ? fmt::format("'{}' is {} there, {} here", entry.name, entry.shape.str(),
                                             variables.at(entry.name).info.shape.str())
                               : fmt::format("the model has no '{}'", entry.name));
        }
    }
    for (const auto& entry : file.entries()) {
        variables.write_bytes(variables.at(entry.name), file.data(entry));
    }
    return static_cast<int>(file.entries().size());
}

void write_state(const std::filesystem::path& path, const Variables& variables,
                 const std::map<std::string, std::vector<char>>& best_weights, const Progress& progress,
                 const ModelCard& card) {
    Snapshot snapshot;
    for (const auto& [name, entry] : variables.entries()) {
        // The doubles of the metrics travel as they are: an interrupted epoch goes on summing.
        if (entry.saved()) {
            snapshot.take(name, variables);
        }
    }
    std::vector<TensorView> tensors = snapshot.tensors();
    for (const auto& [name, bytes] : best_weights) {
        const TensorInfo& info = variables.at(name).info;
        tensors.push_back({kBestPrefix + name, info.dtype, info.shape, bytes.data()});
    }
    std::map<std::string, std::string> metadata = card_metadata(card);
    metadata["fer.progress"] = dump(to_json(progress));
    write_safetensors(path, tensors, std::move(metadata));
}

Progress read_state(const std::filesystem::path& path, const Variables& variables,
                    std::map<std::string, std::vector<char>>& best_weights) {
    const SafetensorsFile file(path);
    const auto text = file.metadata().find("fer.progress");
    if (text == file.metadata().end()) {
        throw DataError(fmt::format("{} is not the state of a training run", path.string()));
    }
    check_state(file, path.string(), variables);
    Progress progress = read_progress(text->second, path.string());
    for (const auto& [name, entry] : variables.entries()) {
        if (entry.saved()) {
            const auto* stored = file.find(name);
            variables.write_bytes(entry, file.data(*stored));
        }
    }
    for (const auto& entry : file.entries()) {
        if (entry.name.starts_with(kBestPrefix)) {
            best_weights[entry.name.substr(std::strlen(kBestPrefix))] =
                std::vector<char>(file.data(entry), file.data(entry) + (entry.end - entry.begin));
        }
    }
    return progress;
}

}  // namespace fer
