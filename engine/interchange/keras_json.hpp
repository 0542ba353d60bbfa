// Reading fields of a layer's configuration; whatever is missing or odd is told with the layer's name.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/error.hpp"
#include "engine/graph/op.hpp"

namespace fer {

using Json = nlohmann::json;

/// JSON of at most 8 MiB and 64 levels. DataError with `file` and the place.
Json parse_json(std::string_view text, const std::string& file);

/// The configuration of one layer.
class LayerConfig {
public:
    LayerConfig(const Json& json, std::string layer, std::string file)
        : json_(json), layer_(std::move(layer)), file_(std::move(file)) {}

    [[noreturn]] void refuse(const std::string& why) const {
        throw DataError(fmt::format("{}: layer '{}' cannot be imported", file_, layer_)).because(why);
    }
    bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
    const Json& at(const char* key) const {
        if (!json_.contains(key)) {
            refuse(fmt::format("its configuration lacks '{}'", key));
        }
        return json_[key];
    }
    std::string text(const char* key, const std::string& otherwise = {}) const;
    bool flag(const char* key, bool otherwise) const;
    double number(const char* key, double otherwise) const;
    /// A whole number from `low` to `high`.
    int whole(const char* key, int low, int high) const { return whole(at(key), key, low, high); }
    int whole(const Json& value, const char* key, int low, int high) const;
    /// One number, or two equal ones: our windows and strides are square.
    int square(const char* key, int high) const;
    Padding padding() const;
    /// relu, relu6, linear or softmax.
    std::string activation() const;
    /// The L2 factor of a kernel regularizer; L1 and other kinds add a note.
    float l2(const char* key, std::vector<std::string>& notes) const;
    /// Options that must have the one value we compute with.
    void expect_plain_convolution() const;
    void expect_channels_last() const;

private:
    const Json& json_;
    std::string layer_, file_;
};

}  // namespace fer
