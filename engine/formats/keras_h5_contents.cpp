#include "engine/formats/keras_h5_contents.hpp"

#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/core/error.hpp"

namespace fer {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kAlign = 64;
std::size_t aligned(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

void leave(const H5Contents& contents, SharedMemory& memory) {
    Json index{{"layout", static_cast<int>(contents.layout)},
               {"version", contents.keras_version},
               {"config", contents.config},
               {"groups", Json::array()}};
    std::size_t end = 0;
    for (const auto& group : contents.groups) {
        Json tensors = Json::array();
        for (const auto& tensor : group.tensors) {
            Json shape = Json::array();
            for (int i = 0; i < tensor.shape.rank(); ++i) {
                shape.push_back(tensor.shape[i]);
            }
            tensors.push_back({tensor.name, shape, end});
            end = aligned(end + static_cast<std::size_t>(tensor.shape.count()) * sizeof(float));
        }
        index["groups"].push_back({group.name, tensors});
    }
    const std::string text = index.dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::size_t begin = aligned(sizeof(std::uint64_t) + text.size());
    char* bytes = memory.resize(begin + end);
    const std::uint64_t length = text.size();
    std::memcpy(bytes, &length, sizeof length);
    std::memcpy(bytes + sizeof length, text.data(), text.size());
    std::size_t at = begin;
    for (const auto& group : contents.groups) {
        for (const auto& tensor : group.tensors) {
            if (H5Dread(tensor.dataset.id(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes + at) < 0) {
                throw DataError(fmt::format("the tensor '{}' cannot be read", tensor.name));
            }
            at = begin + aligned(at - begin + static_cast<std::size_t>(tensor.shape.count()) * sizeof(float));
        }
    }
}

KerasFile take(const IsolatedBytes& shared) {
    std::uint64_t length = 0;
    std::memcpy(&length, shared.data.get(), sizeof length);
    const Json index = Json::parse(shared.data.get() + sizeof length, shared.data.get() + sizeof length + length);
    const std::size_t begin = aligned(sizeof length + length);
    KerasFile file{.layout = static_cast<KerasLayout>(index.at("layout").get<int>()),
                   .keras_version = index.at("version"),
                   .config = index.at("config"),
                   .groups = {},
                   .storage = shared.data};
    for (const Json& group : index.at("groups")) {
        file.groups.push_back({group.at(0), {}});
        for (const Json& tensor : group.at(1)) {
            Shape shape;
            for (const Json& extent : tensor.at(1)) {
                shape.push_back(extent.get<std::int64_t>());
            }
            const auto* values =
                reinterpret_cast<const float*>(shared.data.get() + begin + tensor.at(2).get<std::size_t>());
            file.groups.back().tensors.push_back(
                {tensor.at(0), shape, {values, static_cast<std::size_t>(shape.count())}});
        }
    }
    return file;
}

}  // namespace fer
