#include "engine/interchange/keras_config.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "engine/interchange/keras_layer.hpp"

namespace fer {
namespace {

constexpr std::size_t kMaxLayers = 4096;
constexpr int kMaxNesting = 16;

/// "SeparableConv2D" -> "separable_conv2d", as Keras names the containers of a .keras archive.
std::string snake_case(const std::string& name) {
    std::string text;
    const auto is = [&](std::size_t i, int (*what)(int)) {
        return i < name.size() && what(static_cast<unsigned char>(name[i])) != 0;
    };
    for (std::size_t i = 0; i < name.size(); ++i) {
        const bool word = i > 0 && is(i, std::isupper) && (is(i - 1, std::islower) || is(i + 1, std::islower));
        text += word && text.back() != '_' ? "_" : "";
        text += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
    }
    return text;
}

bool is_model(const std::string& class_name) {
    return class_name == "Sequential" || class_name == "Functional" || class_name == "Model";
}

/// Where a model lies in the outermost one.
struct Scope {
    std::string group;            // name of the outermost layer it is in; empty: it is the outermost
    std::string container;        // "layers/functional/"
    std::vector<std::string> in;  // what feeds it
    int depth = 0;
    bool frozen = false;     // a model around it is not trainable
    bool inference = false;  // it was called with training=False
};

/// Follows a model's layers into one description, with a scratch network that knows every shape.
class Flattener {
public:
    Flattener(std::string file, const Shape& input) : file_(std::move(file)), given_(input) {}

    KerasModel run(const Json& root) {
        const std::string output = model(root, {});
        Architecture& architecture = model_.architecture;
        if (architecture.layers.empty()) {
            fail("it has no layers");
        }
        architecture.softmax = softmax_of_.contains(output);
        const std::string last = architecture.softmax ? softmax_of_[output] : output;
        if (last != architecture.layers.back().name) {
            // The output is not the last layer: what follows it feeds nothing.
            fail(fmt::format("its output '{}' is not its last layer", last));
        }
        return std::move(model_);
    }

private:
    [[noreturn]] void fail(const std::string& why) const {
        throw DataError(fmt::format("the model in {} cannot be imported", file_)).because(why);
    }

    static std::string name_of(const Json& layer) {
        const Json config = layer.value("config", Json::object());
        return config.is_object() && config.contains("name") ? config["name"].get<std::string>()
                                                             : layer.value("name", std::string());
    }

    /// Returns the name of the value that a model gives.
    std::string model(const Json& json, const Scope& scope) {
        const std::string class_name = json.value("class_name", std::string());
        const Json config = json.value("config", Json());
        if (!is_model(class_name)) {
            fail(fmt::format("it is a '{}'; Sequential and functional models are supported", class_name));
        }
        if (scope.depth > kMaxNesting) {
            fail("its models are nested too deeply");
        }
        if (scope.depth == 0) {
            model_.architecture.name =
                config.is_object() && config.contains("name") ? config["name"].get<std::string>() : "model";
        }
        const Json layers = config.is_array() ? config : config.value("layers", Json::array());
        if (!layers.is_array() || layers.empty() || layers.size() > kMaxLayers) {
            fail("it has no layers, or too many");
        }
        return class_name == "Sequential" ? sequential(layers, scope) : functional(config, layers, scope);
    }

    std::string sequential(const Json& layers, const Scope& scope) {
        std::map<std::string, int> containers;
        std::string value = scope.in.empty() ? std::string() : scope.in.front();
        for (const Json& layer : layers) {
            const std::string class_name = layer.value("class_name", std::string());
            if (class_name == "InputLayer") {
                value = value.empty() ? input(layer) : value;
                continue;
            }
            if (value.empty()) {
                value = input(layer);
            }
            value = place(layer, class_name, {value}, scope, containers, false);
        }
        return value;
    }

    /// [name, node, tensor, ...], or a Keras 3 tensor with its history, anywhere in `json`.
    void sources(const Json& json, std::vector<std::string>& names, bool& inference) const {
        if (json.is_object()) {
            if (json.value("class_name", std::string()) == "__keras_tensor__") {
                names.push_back(json.at("config").at("keras_history").at(0));
                return;
            }
            for (const auto& [key, value] : json.items()) {
                if (key == "args") {
                    sources(value, names, inference);
                } else if (key == "kwargs") {
                    call_options(value, inference);
                }
            }
        } else if (json.is_array() && json.size() >= 3 && json[0].is_string() && json[1].is_number()) {
            names.push_back(json[0]);
            if (json.size() > 3) {
                call_options(json[3], inference);
            }
        } else if (json.is_array()) {
            for (const Json& item : json) {
                sources(item, names, inference);
            }
        }
    }

    void call_options(const Json& options, bool& inference) const {
        for (const auto& [key, value] : options.items()) {
            inference = inference || (key == "training" && value == false);
            if (!value.is_null() && !(key == "training" && value == false)) {
                fail(fmt::format("a layer is called with {} = {}", key, value.dump().substr(0, 80)));
            }
        }
    }

    std::string functional(const Json& config, const Json& layers, const Scope& scope) {
        std::map<std::string, std::string> values;  // own name -> value
        std::map<std::string, int> containers;
        const std::string output = single(config, "output_layers");
        const std::string entry = single(config, "input_layers");
        for (const Json& layer : layers) {
            const std::string class_name = layer.value("class_name", std::string());
            const std::string own = name_of(layer);
            if (class_name == "InputLayer") {
                if (own != entry) {
                    fail(fmt::format("it has a second input, '{}'", own));
                }
                ++containers["input_layer"];
                values[own] = scope.in.empty() ? input(layer) : scope.in.front();
                continue;
            }
            const Json nodes = layer.value("inbound_nodes", Json::array());
            if (nodes.size() != 1) {
                fail(
                    fmt::format("the layer '{}' is used {} times; shared layers are not supported", own, nodes.size()));
            }
            std::vector<std::string> inputs;
            bool inference = false;
            sources(nodes[0], inputs, inference);
            for (std::string& name : inputs) {
                const auto found = values.find(name);
                if (found == values.end()) {
                    fail(fmt::format("the layer '{}' reads '{}', which comes later or nowhere", own, name));
                }
                name = found->second;
            }
            values[own] = place(layer, class_name, inputs, scope, containers, inference);
        }
        const auto found = values.find(output);
        if (found == values.end()) {
            fail(fmt::format("its output '{}' is no layer of it", output));
        }
        return found->second;
    }

    /// [["name", 0, 0]] or ["name", 0, 0].
    std::string single(const Json& config, const char* key) const {
        std::vector<std::string> names;
        bool inference = false;
        sources(config.value(key, Json::array()), names, inference);
        if (names.size() != 1) {
            fail(fmt::format("it has {} {}; one is supported", names.size(), key));
        }
        return names.front();
    }

    /// The outermost input: its size, and the scratch network behind it.
    std::string input(const Json& layer) {
        const Json config = layer.value("config", Json::object());
        const Json shape =
            config.contains("batch_shape") ? config["batch_shape"] : config.value("batch_input_shape", Json());
        if (!shape.is_array() || shape.size() != 4) {
            fail(fmt::format("its input is {}; images (height, width, channels) are supported", shape.dump()));
        }
        Shape image{1, 0, 0, 0};
        for (int axis = 1; axis < 4; ++axis) {
            const Json& extent = shape[static_cast<std::size_t>(axis)];
            if (extent.is_null() && given_.rank() == 3) {
                image[axis] = given_[axis - 1];
            } else if (extent.is_number_integer() && extent.get<int>() > 0 && extent.get<int>() <= 4096) {
                image[axis] = extent.get<int>();
            } else {
                throw DataError(fmt::format("{} leaves its input size open: {}", file_, shape.dump()))
                    .try_this("--input HEIGHTxWIDTHxCHANNELS");
            }
        }
        Architecture& architecture = model_.architecture;
        architecture.height = static_cast<int>(image[1]);
        architecture.width = static_cast<int>(image[2]);
        architecture.channels = static_cast<int>(image[3]);
        if (image[3] != 1 && image[3] != 3) {
            fail(fmt::format("its input has {} channels; images of 1 or 3 are supported", image[3]));
        }
        const ValueId value = graph_.add("input", Role::kInput, {image, DType::kF32});
        const ValueId clock = graph_.add("clock", Role::kState, {{kClockFields}, DType::kI64});
        net_.emplace(graph_, value, clock, NetOptions{.mode = Mode::kInfer});
        used_.insert(architecture.input);
        values_[architecture.input] = value;
        return architecture.input;
    }

    /// Adds a layer, or all of a nested model. Returns the name of its value.
    std::string place(const Json& json, const std::string& class_name, const std::vector<std::string>& inputs,
                      const Scope& scope, std::map<std::string, int>& containers, bool inference) {
        const std::string own = name_of(json);
        const std::string base = snake_case(class_name == "Model" ? "Functional" : class_name);
        const int number = containers[base]++;
        const std::string container =
            fmt::format("{}layers/{}{}", scope.container, base, number > 0 ? fmt::format("_{}", number) : "");
        const std::string group = scope.group.empty() ? own : scope.group;
        for (const std::string& name : inputs) {
            if (softmax_of_.contains(name)) {
                fail(fmt::format("the layer '{}' reads a softmax; one is supported at the end", own));
            }
        }
        const Json config = json.value("config", Json::object());
        if (is_model(class_name)) {
            const bool frozen = config.is_object() && config.value("trainable", true) == false;
            return model(json, {.group = group,
                                .container = container + "/",
                                .in = inputs,
                                .depth = scope.depth + 1,
                                .frozen = scope.frozen || frozen,
                                .inference = scope.inference || inference});
        }
        return layer(LayerConfig(config, own, file_), class_name, inputs, scope,
                     {.own = own, .group = group, .container = container, .nested = scope.depth > 0});
    }

    std::string layer(const LayerConfig& config, const std::string& class_name, const std::vector<std::string>& inputs,
                      const Scope& scope, const KerasPlace& where) {
        if (inputs.empty() || (class_name != "Add" && inputs.size() != 1)) {
            config.refuse(fmt::format("it has {} inputs", inputs.size()));
        }
        const Shape shape = graph_.value(values_.at(inputs.front())).info.shape;
        ReadLayer read = read_keras_layer(class_name, config, shape, model_.notes);
        LayerSpec& spec = read.spec;
        if (read.softmax && spec.kind == LayerKind::kIdentity) {
            softmax_of_["softmax of " + inputs.front()] = inputs.front();
            return "softmax of " + inputs.front();
        }
        spec.inputs = inputs;
        spec.name = unique_name(where, config);
        const bool norm = spec.kind == LayerKind::kBatchNorm;
        spec.trainable = spec.trainable && !scope.frozen && !(norm && scope.inference);
        try {
            write_layer(*net_, spec, values_);
        } catch (const UsageError& error) {
            config.refuse(error.what());
        }
        model_.architecture.layers.push_back(spec);
        model_.places.push_back(where);
        if (model_.architecture.layers.size() > kMaxLayers) {
            fail("it has too many layers");
        }
        if (read.softmax) {
            softmax_of_["softmax of " + spec.name] = spec.name;
            return "softmax of " + spec.name;
        }
        return spec.name;
    }

    /// Its own name, or that behind the outermost layer's where two nested models use the same.
    std::string unique_name(const KerasPlace& where, const LayerConfig& config) {
        // Values of a step that are found by name.
        static const std::set<std::string> kTaken{"input", "images", "labels",     "order", "clock", "metrics",
                                                  "loss",  "batch",  "loss_scale", "adam",  "sgd",   "rmsprop"};
        std::string name = where.own;
        if (name.empty() || used_.contains(name) || kTaken.contains(name)) {
            name = where.group + "/" + where.own;
        }
        if (!used_.insert(name).second) {
            config.refuse("another layer has its name");
        }
        return name;
    }

    std::string file_;
    Shape given_;
    KerasModel model_;
    Graph graph_;
    std::optional<Net> net_;
    std::map<std::string, ValueId> values_;
    std::map<std::string, std::string> softmax_of_;  // the name of a softmaxed value -> the value before it
    std::set<std::string> used_;
};

std::string without_slashes(std::string name) {
    std::ranges::replace(name, '/', '_');
    return name;
}

Json inbound(const std::vector<std::string>& inputs) {
    Json node = Json::array();
    for (const std::string& name : inputs) {
        node.push_back({without_slashes(name), 0, 0, Json::object()});
    }
    return Json::array({node});
}

}  // namespace

KerasModel parse_keras_config(std::string_view json, const std::string& file, const Shape& input) {
    try {
        return Flattener(file, input).run(parse_json(json, file));
    } catch (const nlohmann::json::exception& error) {
        throw DataError(fmt::format("the description of the layers in {} is not Keras's", file)).because(error.what());
    }
}

namespace {

Json functional(const Architecture& architecture) {
    const std::string input = without_slashes(architecture.input);
    Json layers = Json::array();
    layers.push_back(
        {{"class_name", "InputLayer"},
         {"config",
          {{"batch_input_shape", {nullptr, architecture.height, architecture.width, architecture.channels}},
           {"dtype", "float32"},
           {"name", input}}},
         {"name", input},
         {"inbound_nodes", Json::array()}});
    for (const LayerSpec& layer : architecture.layers) {
        Json json = keras_layer_json(layer, without_slashes(layer.name));
        json["inbound_nodes"] = inbound(layer.inputs);
        layers.push_back(std::move(json));
    }
    std::string output = without_slashes(architecture.layers.back().name);
    if (architecture.softmax) {
        if (architecture.layers.back().kind == LayerKind::kDense &&
            architecture.layers.back().activation == Activation::kNone) {
            layers.back()["config"]["activation"] = "softmax";
        } else {
            Json json{{"class_name", "Activation"},
                      {"config", {{"name", "probabilities"}, {"activation", "softmax"}, {"dtype", "float32"}}},
                      {"name", "probabilities"}};
            json["inbound_nodes"] = inbound({output});
            layers.push_back(std::move(json));
            output = "probabilities";
        }
    }
    return {{"class_name", "Functional"},
            {"config",
             {{"name", without_slashes(architecture.name)},
              {"trainable", true},
              {"layers", layers},
              {"input_layers", {{input, 0, 0}}},
              {"output_layers", {{output, 0, 0}}}}}};
}

}  // namespace

std::string keras_config(const Architecture& architecture) { return functional(architecture).dump(); }

std::string keras_archive_config(const Architecture& architecture) {
    Json root = functional(architecture);
    root["class_name"] = "Model";  // the functional one lies in another module of each version
    root["module"] = "keras";
    root["registered_name"] = nullptr;
    for (Json& layer : root["config"]["layers"]) {
        layer["module"] = "keras.layers";
        layer["registered_name"] = nullptr;
    }
    return root.dump();
}

}  // namespace fer
