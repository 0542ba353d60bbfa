#include "engine/interchange/keras_json.hpp"

#include <cmath>

namespace fer {

Json parse_json(std::string_view text, const std::string& file) {
    constexpr std::size_t kMaxBytes = std::size_t{8} << 20;
    constexpr int kMaxDepth = 64;
    const auto fail = [&](const std::string& why) {
        throw DataError(fmt::format("the description of the layers in {} cannot be read", file)).because(why);
    };
    if (text.size() > kMaxBytes) {
        fail(fmt::format("it has {} bytes", text.size()));
    }
    const auto guard = [&](int depth, Json::parse_event_t, Json&) {
        if (depth > kMaxDepth) {
            fail("it is nested too deeply");
        }
        return true;
    };
    try {
        return Json::parse(text, guard);
    } catch (const nlohmann::json::exception& error) {
        throw DataError(fmt::format("the description of the layers in {} is not JSON", file)).because(error.what());
    }
}

std::string LayerConfig::text(const char* key, const std::string& otherwise) const {
    if (!has(key)) {
        return otherwise;
    }
    if (!json_[key].is_string()) {
        refuse(fmt::format("'{}' is {}, not a word", key, json_[key].dump().substr(0, 80)));
    }
    return json_[key];
}

bool LayerConfig::flag(const char* key, bool otherwise) const {
    if (!has(key)) {
        return otherwise;
    }
    if (!json_[key].is_boolean()) {
        refuse(fmt::format("'{}' is neither true nor false", key));
    }
    return json_[key];
}

double LayerConfig::number(const char* key, double otherwise) const {
    if (!has(key)) {
        return otherwise;
    }
    if (!json_[key].is_number()) {
        refuse(fmt::format("'{}' is {}, not a number", key, json_[key].dump().substr(0, 80)));
    }
    return json_[key];
}

int LayerConfig::whole(const Json& value, const char* key, int low, int high) const {
    // Keras 3 writes some whole numbers as 64.0.
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(number >= low && number <= high) || number != std::floor(number)) {
        refuse(fmt::format("'{}' is {}; it must lie between {} and {}", key, value.dump().substr(0, 80), low, high));
    }
    return static_cast<int>(number);
}

int LayerConfig::square(const char* key, int high) const {
    const Json& value = at(key);
    if (!value.is_array()) {
        return whole(value, key, 1, high);
    }
    if (value.size() != 2 || value[0] != value[1]) {
        refuse(fmt::format("'{}' is {}; only square ones are supported", key, value.dump().substr(0, 80)));
    }
    return whole(value[0], key, 1, high);
}

Padding LayerConfig::padding() const {
    const std::string name = text("padding", "valid");
    if (name != "same" && name != "valid") {
        refuse(fmt::format("'padding' is '{}'; same and valid are supported", name));
    }
    return name == "same" ? Padding::kSame : Padding::kValid;
}

std::string LayerConfig::activation() const {
    std::string name = text("activation", "linear");
    if (name != "relu" && name != "relu6" && name != "linear" && name != "softmax") {
        refuse(fmt::format("its activation is '{}'; relu, relu6, linear and softmax are supported", name));
    }
    return name;
}

float LayerConfig::l2(const char* key, std::vector<std::string>& notes) const {
    if (!has(key) || !json_[key].is_object()) {
        return 0;
    }
    const Json inner = json_[key].value("config", Json::object());
    const auto factor = [&](const char* name) {
        const auto found = inner.find(name);
        return found != inner.end() && found->is_number() ? found->get<double>() : 0.0;
    };
    const std::string kind = json_[key].value("class_name", "");
    if ((kind != "L2" && kind != "L1L2") || factor("l1") != 0 || !(factor("l2") >= 0)) {
        notes.push_back(fmt::format("{}: its regularizer {} is left out of training", layer_, kind));
        return 0;
    }
    return static_cast<float>(factor("l2"));
}

void LayerConfig::expect_plain_convolution() const {
    expect_channels_last();
    if (has("dilation_rate") && square("dilation_rate", 1024) != 1) {
        refuse(fmt::format("'dilation_rate' is {}; only 1 is supported", json_["dilation_rate"].dump()));
    }
    if (has("groups") && whole("groups", 1, 65536) != 1) {
        refuse("it is a grouped convolution");
    }
    if (has("depth_multiplier") && whole("depth_multiplier", 1, 65536) != 1) {
        refuse(fmt::format("'depth_multiplier' is {}; only 1 is supported", json_["depth_multiplier"].dump()));
    }
}

void LayerConfig::expect_channels_last() const {
    const std::string format = text("data_format", "channels_last");
    if (format != "channels_last") {
        refuse(fmt::format("its data format is {}; images here have their channels last", format));
    }
}

}  // namespace fer
