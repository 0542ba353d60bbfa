#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/run/tuner.hpp"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr std::size_t kMostBytes = std::size_t{64} << 20;

std::vector<Timing> candidates(const Json& list) {
    std::vector<Timing> all;
    for (const Json& pair : list) {
        const double us = pair.at(1).get<double>();
        if (!(us >= 0)) {
            throw DataError("a time below zero");
        }
        all.push_back({pair.at(0).get<std::string>(), us});
    }
    return all;
}

}  // namespace

TuneFile::TuneFile(std::filesystem::path path) : path_(std::move(path)) { read(); }

void TuneFile::read() {
    if (!std::filesystem::exists(path_)) {
        return;
    }
    try {
        const Json json = Json::parse(read_file(path_, kMostBytes));
        if (json.at("format").get<int>() != kFormat) {
            throw DataError(fmt::format("format {}, this version reads {}", json.at("format").get<int>(), kFormat));
        }
        std::map<std::string, Timings> all;
        for (const auto& [device, nodes] : json.at("devices").items()) {
            for (const auto& [node, list] : nodes.items()) {
                all[device][node] = candidates(list);
            }
        }
        all_ = std::move(all);
    } catch (const std::exception& error) {
        throw DataError(fmt::format("{} is not a tune cache of this version", path_.string()))
            .because(error.what())
            .try_this("delete it, or --no-tune");
    }
}

std::vector<std::string> TuneFile::devices() const {
    std::vector<std::string> names;
    for (const auto& [device, timings] : all_) {
        names.push_back(device);
    }
    return names;
}

Timings TuneFile::timings(const std::string& device) const {
    const auto found = all_.find(device);
    return found == all_.end() ? Timings{} : found->second;
}

void TuneFile::add(const std::string& device, const Timings& timings) {
    read();
    for (const auto& [node, list] : timings) {
        all_[device][node] = list;
    }
    Json json{{"format", kFormat}, {"devices", Json::object()}};
    for (const auto& [name, nodes] : all_) {
        Json& of_device = json["devices"][name];
        for (const auto& [node, list] : nodes) {
            Json& of_node = of_device[node] = Json::array();
            for (const Timing& timing : list) {
                of_node.push_back(Json::array({timing.implementation, timing.microseconds}));
            }
        }
    }
    if (path_.has_parent_path()) {
        make_folder(path_.parent_path());
    }
    write_file(path_, json.dump(1) + "\n");
}

}  // namespace fer
