#include "engine/interchange/torch_weights.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "engine/graph/step.hpp"
#include "engine/interchange/transposed.hpp"

namespace fer {
namespace {

constexpr float kMean[] = {0.485f, 0.456f, 0.406f};
constexpr float kDeviation[] = {0.229f, 0.224f, 0.225f};
constexpr BatchNormAttrs kNorm{.momentum = 0.9, .epsilon = 1e-5};

/// Writes layers in a row and remembers which tensors of the state dict are theirs.
class Writer {
public:
    Architecture architecture;
    std::vector<std::pair<std::string, std::string>> modules;  // layer -> module of the state dict

    explicit Writer(const std::string& name) {
        architecture.name = name;
        architecture.height = architecture.width = 224;
        architecture.channels = 3;
    }

    const std::string& here() const { return here_; }
    void from(std::string layer) { here_ = std::move(layer); }

    LayerSpec& add(LayerKind kind, const std::string& name) {
        LayerSpec& layer = architecture.layers.emplace_back();
        layer.kind = kind;
        layer.name = name;
        layer.inputs = {here_};
        here_ = name;
        return layer;
    }
    /// `pad` on all sides, as PyTorch pads, then a window without padding.
    void pad(const std::string& name, int pad) {
        if (pad > 0) {
            add(LayerKind::kZeroPad, name + "_pad").pad = {pad, pad, pad, pad};
        }
    }
    void conv(const std::string& module, const std::string& name, int units, int window, int stride, bool bias) {
        const bool same = stride == 1;  // then symmetric padding and Keras's are one
        pad(name, same ? 0 : window / 2);
        LayerSpec& layer = add(LayerKind::kConv2d, name);
        layer.units = units;
        layer.window = window;
        layer.stride = stride;
        layer.padding = same ? Padding::kSame : Padding::kValid;
        layer.bias = bias;
        modules.emplace_back(name, module);
    }
    void depthwise(const std::string& module, const std::string& name, int stride) {
        pad(name, stride == 1 ? 0 : 1);
        LayerSpec& layer = add(LayerKind::kDepthwiseConv2d, name);
        layer.window = 3;
        layer.stride = stride;
        layer.padding = stride == 1 ? Padding::kSame : Padding::kValid;
        layer.bias = false;
        modules.emplace_back(name, module);
    }
    void norm(const std::string& module, const std::string& name) {
        add(LayerKind::kBatchNorm, name).norm = kNorm;
        modules.emplace_back(name, module);
    }
    void relu(const std::string& name, Activation activation = Activation::kRelu) {
        add(LayerKind::kActivation, name).activation = activation;
    }
    void max_pool(const std::string& name, int window, int stride) {
        LayerSpec& layer = add(LayerKind::kMaxPool, name);
        layer.window = window;
        layer.stride = stride;
    }
    void dense(const std::string& module, const std::string& name, int units, bool activate) {
        LayerSpec& layer = add(LayerKind::kDense, name);
        layer.units = units;
        layer.activation = activate ? Activation::kRelu : Activation::kNone;
        modules.emplace_back(name, module);
    }
    void dropout(const std::string& name, float rate) { add(LayerKind::kDropout, name).rate = rate; }
    void sum(const std::string& name, const std::string& other) { add(LayerKind::kAdd, name).inputs.push_back(other); }

private:
    std::string here_ = "input";
};

int rows_of(const SafetensorsFile& file, const std::string& tensor) {
    const auto* entry = file.find(tensor);
    return entry == nullptr || entry->shape.rank() == 0 ? 0 : static_cast<int>(entry->shape[0]);
}

Writer vgg16(const SafetensorsFile& file) {
    Writer net("vgg16");
    const bool timm = file.find("pre_logits.fc1.weight") != nullptr;
    int module = 0;
    constexpr int kConvolutions[] = {2, 2, 3, 3, 3};
    constexpr int kFilters[] = {64, 128, 256, 512, 512};
    for (int block = 0; block < 5; ++block) {
        for (int i = 0; i < kConvolutions[block]; ++i, module += 2) {
            net.conv(fmt::format("features.{}", module), fmt::format("block{}_conv{}", block + 1, i + 1),
                     kFilters[block], 3, 1, true);
            net.architecture.layers.back().activation = Activation::kRelu;
        }
        ++module;
        net.max_pool(fmt::format("block{}_pool", block + 1), 2, 2);
    }
    net.add(LayerKind::kFlatten, "flatten");
    net.dense(timm ? "pre_logits.fc1" : "classifier.0", "fc1", 4096, true);
    net.dropout("dropout", 0.5f);
    net.dense(timm ? "pre_logits.fc2" : "classifier.3", "fc2", 4096, true);
    net.dropout("dropout_1", 0.5f);
    const std::string last = timm ? "head.fc" : "classifier.6";
    net.dense(last, "predictions", rows_of(file, last + ".weight"), false);
    return net;
}

void bottleneck(Writer& net, const std::string& module, const std::string& name, int filters, int stride,
                bool projects) {
    const std::string input = net.here();
    net.conv(module + ".conv1", name + "_1_conv", filters, 1, 1, false);
    net.norm(module + ".bn1", name + "_1_bn");
    net.relu(name + "_1_relu");
    net.conv(module + ".conv2", name + "_2_conv", filters, 3, stride, false);
    net.norm(module + ".bn2", name + "_2_bn");
    net.relu(name + "_2_relu");
    net.conv(module + ".conv3", name + "_3_conv", 4 * filters, 1, 1, false);
    net.norm(module + ".bn3", name + "_3_bn");
    const std::string main = net.here();
    std::string shortcut = input;
    if (projects) {
        net.from(input);
        net.conv(module + ".downsample.0", name + "_0_conv", 4 * filters, 1, stride, false);
        net.norm(module + ".downsample.1", name + "_0_bn");
        shortcut = net.here();
        net.from(main);
    }
    net.sum(name + "_add", shortcut);
    net.relu(name + "_out");
}

Writer resnet50(const SafetensorsFile& file) {
    Writer net("resnet50");
    net.conv("conv1", "conv1_conv", 64, 7, 2, false);
    net.norm("bn1", "conv1_bn");
    net.relu("conv1_relu");
    net.pad("pool1", 1);  // zeros: what stands there has passed a ReLU
    net.max_pool("pool1_pool", 3, 2);
    constexpr int kBlocks[] = {3, 4, 6, 3};
    for (int stack = 0; stack < 4; ++stack) {
        for (int block = 0; block < kBlocks[stack]; ++block) {
            bottleneck(net, fmt::format("layer{}.{}", stack + 1, block),
                       fmt::format("conv{}_block{}", stack + 2, block + 1), 64 << stack,
                       block == 0 && stack > 0 ? 2 : 1, block == 0);
        }
    }
    net.add(LayerKind::kGlobalAvgPool, "avg_pool");
    net.dense("fc", "predictions", rows_of(file, "fc.weight"), false);
    return net;
}

void inverted_residual(Writer& net, const std::string& module, int block, int in, int out, int expansion, int stride) {
    const std::string name = fmt::format("block_{}", block);
    const std::string input = net.here();
    int at = 0;
    if (expansion > 1) {
        net.conv(fmt::format("{}.conv.0.0", module), name + "_expand", in * expansion, 1, 1, false);
        net.norm(fmt::format("{}.conv.0.1", module), name + "_expand_BN");
        net.relu(name + "_expand_relu", Activation::kRelu6);
        at = 1;
    }
    net.depthwise(fmt::format("{}.conv.{}.0", module, at), name + "_depthwise", stride);
    net.norm(fmt::format("{}.conv.{}.1", module, at), name + "_depthwise_BN");
    net.relu(name + "_depthwise_relu", Activation::kRelu6);
    net.conv(fmt::format("{}.conv.{}", module, at + 1), name + "_project", out, 1, 1, false);
    net.norm(fmt::format("{}.conv.{}", module, at + 2), name + "_project_BN");
    if (stride == 1 && in == out) {
        net.sum(name + "_add", input);
    }
}

Writer mobilenet_v2(const SafetensorsFile& file) {
    Writer net("mobilenet_v2");
    net.conv("features.0.0", "Conv1", 32, 3, 2, false);
    net.norm("features.0.1", "bn_Conv1");
    net.relu("Conv1_relu", Activation::kRelu6);
    struct Group {
        int expansion, filters, blocks, stride;
    };
    constexpr Group kGroups[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                 {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    int block = 0;
    int channels = 32;
    for (const Group& group : kGroups) {
        for (int i = 0; i < group.blocks; ++i, ++block) {
            inverted_residual(net, fmt::format("features.{}", block + 1), block, channels, group.filters,
                              group.expansion, i == 0 ? group.stride : 1);
            channels = group.filters;
        }
    }
    net.conv("features.18.0", "Conv_1", 1280, 1, 1, false);
    net.norm("features.18.1", "Conv_1_bn");
    net.relu("out_relu", Activation::kRelu6);
    net.add(LayerKind::kGlobalAvgPool, "avg_pool");
    net.dropout("dropout", 0.2f);
    net.dense("classifier.1", "predictions", rows_of(file, "classifier.1.weight"), false);
    return net;
}

[[noreturn]] void misfit(const std::string& name, const std::string& network, const std::string& why) {
    throw DataError(fmt::format("{} is not PyTorch's {}", name, network)).because(why);
}

/// Converts the tensors of one layer after another.
class Converter {
public:
    Converter(const SafetensorsFile& file, std::string name, const Writer& net, ImportedWeights& into)
        : file_(file), name_(std::move(name)), network_(net.architecture.name), into_(into) {}

    void take(const TargetLayer& layer, const std::string& module) {
        static const std::map<std::string, std::string> kNames{{"kernel", "weight"},
                                                               {"depthwise_kernel", "weight"},
                                                               {"bias", "bias"},
                                                               {"gamma", "weight"},
                                                               {"beta", "bias"},
                                                               {"moving_mean", "running_mean"},
                                                               {"moving_variance", "running_var"}};
        for (std::size_t i = 0; i < layer.kinds.size(); ++i) {
            const std::string source = module + "." + kNames.at(layer.kinds[i]);
            const auto* entry = file_.find(source);
            if (entry == nullptr) {
                misfit(name_, network_, fmt::format("it has no tensor '{}'", source));
            }
            used_.insert(source);
            add(source, *entry, layer.name + "/" + layer.kinds[i], layer.shapes[i]);
        }
    }
    void check_all_used() const {
        for (const auto& entry : file_.entries()) {
            if (!used_.contains(entry.name) && !entry.name.ends_with("num_batches_tracked")) {
                misfit(name_, network_, fmt::format("the tensor '{}' has no place in it", entry.name));
            }
        }
    }

private:
    void add(const std::string& source, const SafetensorsFile::Entry& entry, const std::string& target,
             const Shape& shape) {
        if (entry.dtype != DType::kF32) {
            misfit(name_, network_, fmt::format("'{}' is {}; save it in float32", source, fer::name_of(entry.dtype)));
        }
        const auto in = file_.get<float>(source);
        std::vector<float> values(in.begin(), in.end());
        Shape found = entry.shape;
        if (entry.shape.rank() == 4 && shape.rank() == 4) {
            const bool depthwise = target.ends_with("/depthwise_kernel");
            values = transposed(in, entry.shape, depthwise ? std::vector{2, 3, 0, 1} : std::vector{2, 3, 1, 0});
            found = depthwise ? Shape{found[2], found[3], found[0], found[1]}
                              : Shape{found[2], found[3], found[1], found[0]};
        } else if (shape.rank() == 2) {
            found = dense(in, entry.shape, shape, values);
        }
        if (found != shape) {
            misfit(name_, network_,
                   fmt::format("'{}' is {}, which gives {} and not {}", source, entry.shape.str(), found.str(),
                               shape.str()));
        }
        if (first_) {
            first_ = false;
            for (std::size_t i = 0; i < values.size(); ++i) {
                values[i] /= kDeviation[i / static_cast<std::size_t>(shape[3]) % 3];
            }
        }
        const float largest = checked_max(values, source, name_);
        into_.made.push_back(std::move(values));
        into_.tensors.push_back({target, DType::kF32, shape, into_.made.back().data()});
        into_.table.push_back({source, target, shape, largest});
    }

    /// (out, in) or (out, c, h, w) -> (in, out). Behind a flatten the inputs are c, h, w there and h, w, c here.
    static Shape dense(std::span<const float> in, const Shape& shape, const Shape& wanted, std::vector<float>& values) {
        const std::int64_t inputs = shape.rank() > 0 ? shape.count() / std::max<std::int64_t>(shape[0], 1) : 0;
        constexpr std::int64_t kSide = 7;  // of VGG16's last feature map
        if (inputs == wanted[0] && inputs == 512 * kSide * kSide) {
            values = transposed(in, {shape[0], 512, kSide, kSide}, {2, 3, 1, 0});
        } else if (inputs == wanted[0]) {
            values = transposed(in, {shape[0], inputs}, {1, 0});
        }
        return {inputs, shape.rank() > 0 ? shape[0] : 0};
    }

    const SafetensorsFile& file_;
    std::string name_, network_;
    ImportedWeights& into_;
    std::set<std::string> used_;
    bool first_ = true;
};

Writer recognise(const SafetensorsFile& file, const std::string& name) {
    if (file.find("layer1.0.conv3.weight") != nullptr) {
        return resnet50(file);
    }
    if (file.find("features.18.0.weight") != nullptr) {
        return mobilenet_v2(file);
    }
    if (file.find("features.28.weight") != nullptr) {
        return vgg16(file);
    }
    throw DataError(fmt::format("{} holds tensors of no network that fer knows", name))
        .because("state dicts of vgg16, resnet50 and mobilenet_v2 as torchvision names them are supported")
        .try_this("fer import --list shows its tensors");
}

}  // namespace

TorchModel read_torch_weights(const SafetensorsFile& file, const std::string& name) {
    const Writer net = recognise(file, name);
    if (net.architecture.layers.back().units == 0) {
        misfit(name, net.architecture.name, "it has no classifier");
    }
    TorchModel model;
    model.architecture = net.architecture;
    for (std::size_t c = 0; c < 3; ++c) {
        model.offset[c] = -kMean[c];
    }
    const Step step = evaluation_step_of(model.architecture);
    std::map<std::string, std::string> modules(net.modules.begin(), net.modules.end());
    Converter converter(file, name, net, model.weights);
    for (const TargetLayer& layer : target_layers(step)) {
        converter.take(layer, modules.at(layer.name));
    }
    converter.check_all_used();
    model.notes.emplace_back("the division by ImageNet's deviations is part of the first kernel now");
    return model;
}

}  // namespace fer
