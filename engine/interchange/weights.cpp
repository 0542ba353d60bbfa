#include "engine/interchange/weights.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "engine/graph/step.hpp"

namespace fer {
namespace {

[[noreturn]] void misfit(const std::string& file, const std::string& what, const std::string& why) {
    throw DataError(fmt::format("{} does not fit {}", file, what)).because(why);
}

std::string without_number(const std::string& name) {
    const std::size_t bar = name.rfind('_');
    const bool numbered = bar != std::string::npos && bar + 1 < name.size() &&
                          std::all_of(name.begin() + static_cast<std::ptrdiff_t>(bar) + 1, name.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
    return numbered ? name.substr(0, bar) : name;
}

/// One that Keras gave: conv2d, dense_3.
bool automatic(const std::string& name) {
    static const std::set<std::string> kBases{"conv2d", "dense", "batch_normalization", "separable_conv2d",
                                              "depthwise_conv2d"};
    return kBases.contains(without_number(name));
}

/// What one layer stores, by kind of variable.
struct Unit {
    std::string group, inner;
    std::map<std::string, const KerasTensor*> tensors;
    std::string name() const { return inner.empty() ? group : inner; }
};

/// "conv2d/kernel:0" -> "conv2d"; the last part of what stands before the kind.
std::string prefix_of(const std::string& weight) {
    const std::size_t end = weight.rfind('/');
    if (end == std::string::npos) {
        return {};
    }
    const std::size_t begin = weight.rfind('/', end - (end > 0 ? 1 : 0));
    return weight.substr(begin == std::string::npos || begin >= end ? 0 : begin + 1,
                         end - (begin == std::string::npos || begin >= end ? 0 : begin + 1));
}

/// Layers in Keras 2's layout, in the file's order; the layers of a nested model one by one.
std::vector<Unit> units_by_name(const KerasFile& file, const std::string& name) {
    std::vector<Unit> units;
    for (const KerasGroup& group : file.groups) {
        std::set<std::string> prefixes;
        for (const KerasTensor& tensor : group.tensors) {
            prefixes.insert(prefix_of(tensor.name));
        }
        const std::size_t first = units.size();
        for (const KerasTensor& tensor : group.tensors) {
            const std::string inner = prefixes.size() > 1 ? prefix_of(tensor.name) : std::string();
            auto unit = std::find_if(units.begin() + static_cast<std::ptrdiff_t>(first), units.end(),
                                     [&](const Unit& u) { return u.inner == inner; });
            if (unit == units.end()) {
                unit = units.insert(unit, {group.name, inner, {}});
            }
            const std::string kind = kind_of_weight(tensor.name);
            if (kind.empty() || !unit->tensors.emplace(kind, &tensor).second) {
                misfit(name, "any layer",
                       fmt::format("the tensor '{}' of '{}' is of no known kind", tensor.name, group.name));
            }
        }
    }
    return units;
}

/// The tensors "0", "1", ... of a container, by the order of variables in its class.
std::vector<std::string> kinds_of_class(const std::string& base, std::size_t count) {
    std::vector<std::string> kinds;
    if (base == "batch_normalization") {
        kinds = {"gamma", "beta", "moving_mean", "moving_variance"};
    } else if (base == "separable_conv2d") {
        kinds = {"depthwise_kernel", "pointwise_kernel", "bias"};
    } else if (base == "depthwise_conv2d") {
        kinds = {"depthwise_kernel", "bias"};
    } else {
        kinds = {"kernel", "bias"};
    }
    kinds.resize(std::min(count, kinds.size()));
    return kinds;
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::vector<Unit> units_by_container(const KerasFile& file) {
    std::vector<Unit> units;
    for (const KerasGroup& group : file.groups) {
        if (group.tensors.empty()) {
            continue;
        }
        Unit unit{group.name, last_part(group.name), {}};
        const auto kinds = kinds_of_class(without_number(unit.inner), group.tensors.size());
        for (std::size_t i = 0; i < group.tensors.size(); ++i) {
            unit.tensors.emplace(i < kinds.size() ? kinds[i] : std::to_string(i), &group.tensors[i]);
        }
        units.push_back(std::move(unit));
    }
    // conv2d_10 comes after conv2d_9.
    std::ranges::stable_sort(units, [](const Unit& a, const Unit& b) {
        return std::pair(a.inner.size(), a.inner) < std::pair(b.inner.size(), b.inner);
    });
    return units;
}

std::string source_name(const Unit& unit, const KerasTensor& tensor) { return unit.group + ": " + tensor.name; }

void take(ImportedWeights& into, const KerasTensor& tensor, const std::string& source, const std::string& target,
          const Shape& shape, const std::string& file) {
    if (tensor.shape != shape) {
        misfit(file, "this network",
               fmt::format("'{}' is {}, '{}' takes {}", source, tensor.shape.str(), target, shape.str()));
    }
    const float largest = checked_max(tensor.values, source, file);
    into.tensors.push_back({target, DType::kF32, shape, tensor.values.data()});
    into.table.push_back({source, target, shape, largest});
}

/// Ones for a gamma, zeros for a beta that the file's batch norm does not learn.
void make(ImportedWeights& into, const std::string& target, const Shape& shape, float value) {
    into.made.emplace_back(static_cast<std::size_t>(shape.count()), value);
    into.tensors.push_back({target, DType::kF32, shape, into.made.back().data()});
    into.table.push_back({"", target, shape, value, "not learned by this layer"});
}

/// All of a layer's variables from one unit.
void take_layer(ImportedWeights& into, const TargetLayer& layer, const Unit& unit, const std::string& file) {
    std::set<std::string> used;
    for (std::size_t i = 0; i < layer.kinds.size(); ++i) {
        const std::string target = layer.name + "/" + layer.kinds[i];
        auto found = unit.tensors.find(layer.kinds[i]);
        if (found == unit.tensors.end() && layer.kinds[i] == "depthwise_kernel") {
            found = unit.tensors.find("kernel");  // Keras 3's name of it
        }
        if (found != unit.tensors.end()) {
            used.insert(found->first);
            take(into, *found->second, source_name(unit, *found->second), target, layer.shapes[i], file);
        } else if (layer.kinds[i] == "gamma" || layer.kinds[i] == "beta") {
            make(into, target, layer.shapes[i], layer.kinds[i] == "gamma" ? 1.0f : 0.0f);
        } else {
            misfit(file, "this network", fmt::format("it has no {} for the layer '{}'", layer.kinds[i], layer.name));
        }
    }
    for (const auto& [kind, tensor] : unit.tensors) {
        if (!used.contains(kind)) {
            misfit(file, "this network", fmt::format("the layer '{}' has no place for '{}'", layer.name, tensor->name));
        }
    }
}

/// The classifier of ImageNet behind a trunk, which transfer learning replaces.
bool is_imagenet_classifier(const std::string& name) {
    return name == "predictions" || name == "probs" || name == "fc1" || name == "fc2" || name == "fc1000";
}

void leave_out(ImportedWeights& into, const Unit& unit, const std::string& file) {
    for (const auto& [kind, tensor] : unit.tensors) {
        const std::string source = source_name(unit, *tensor);
        into.table.push_back({source, "", tensor->shape, checked_max(tensor->values, source, file),
                              "left out: the classifier of ImageNet"});
    }
}

void refuse_old_resnet(const std::vector<Unit>& units, const std::string& file) {
    for (const Unit& unit : units) {
        if (unit.name().starts_with("res2a_branch")) {
            throw DataError(fmt::format("{} is the ResNet50 of the first Keras versions", file))
                .because("its batch norms have another epsilon (1e-3): in today's ResNet50 it computes something else")
                .try_this("fer weights get resnet50-notop");
        }
    }
}

/// Classes in the order of the network; within one, units in theirs.
std::vector<std::size_t> order_for(const std::vector<Unit>& units, const std::vector<std::size_t>& left,
                                   const std::vector<const TargetLayer*>& targets, KerasLayout layout) {
    if (layout == KerasLayout::kByName) {
        return left;
    }
    std::vector<std::size_t> order, pool = left;
    for (const TargetLayer* target : targets) {
        const auto found = std::ranges::find_if(
            pool, [&](std::size_t u) { return without_number(units[u].inner) == without_number(target->name); });
        if (found != pool.end()) {
            order.push_back(*found);
            pool.erase(found);
        }
    }
    order.insert(order.end(), pool.begin(), pool.end());
    return order;
}

}  // namespace

std::string kind_of_weight(std::string name) {
    name = last_part(name);
    name = name.substr(0, name.find(':'));
    static const std::set<std::string> kKinds{"kernel", "bias", "depthwise_kernel", "pointwise_kernel",
                                              "gamma",  "beta", "moving_mean",      "moving_variance"};
    if (kKinds.contains(name)) {
        return name;
    }
    const std::string plain = without_number(name);
    for (const auto& [ending, kind] : {std::pair{"_W", "kernel"},
                                       {"_b", "bias"},
                                       {"_gamma", "gamma"},
                                       {"_beta", "beta"},
                                       {"_running_mean", "moving_mean"},
                                       {"_running_std", "moving_variance"}}) {
        if (plain.ends_with(ending)) {
            return kind;
        }
    }
    return kKinds.contains(plain) ? plain : std::string();
}

float checked_max(std::span<const float> values, const std::string& tensor, const std::string& name) {
    // A sum of absolute differences is infinite or NaN if one of them is; the maximum alone would pass over NaN.
    float largest = 0;
    float poison = 0;
    for (const float v : values) {
        largest = std::max(largest, std::abs(v));
        poison += v * 0.0f;
    }
    if (!(poison == 0)) {
        throw DataError(fmt::format("{} is damaged", name))
            .because(fmt::format("the tensor '{}' holds values that are not finite", tensor));
    }
    return largest;
}

std::vector<TargetLayer> target_layers(const Step& step) {
    std::vector<TargetLayer> targets;
    for (const Layer& layer : step.layers) {
        if (layer.variables.empty()) {
            continue;
        }
        TargetLayer target{layer.name, layer.class_name, {}, {}};
        for (const ValueId id : layer.variables) {
            target.kinds.push_back(step.graph.value(id).name.substr(layer.name.size() + 1));
            target.shapes.push_back(step.graph.value(id).info.shape);
        }
        targets.push_back(std::move(target));
    }
    return targets;
}

ImportedWeights take_weights(const KerasModel& model, const KerasFile& file, const std::string& name) {
    ImportedWeights result;
    result.storage = file.storage;
    const Step step = evaluation_step_of(model.architecture);
    std::map<std::string, const TargetLayer*> by_name;
    const std::vector<TargetLayer> targets = target_layers(step);
    for (const TargetLayer& target : targets) {
        by_name[target.name] = &target;
    }
    std::map<std::string, const KerasGroup*> groups;
    for (const KerasGroup& group : file.groups) {
        groups[group.name] = &group;
    }
    std::set<const KerasTensor*> used;
    for (std::size_t i = 0; i < model.places.size(); ++i) {
        const LayerSpec& layer = model.architecture.layers[i];
        const KerasPlace& place = model.places[i];
        const std::vector<std::string> kinds = variables_of(layer);
        if (kinds.empty()) {
            continue;
        }
        const bool by_container = file.layout == KerasLayout::kByContainer;
        const auto found = groups.find(by_container ? place.container : place.group);
        if (found == groups.end()) {
            misfit(name, "its own description", fmt::format("it holds no weights of the layer '{}'", layer.name));
        }
        Unit unit{found->first, by_container ? "" : place.own, {}};
        std::size_t index = 0;
        for (const KerasTensor& tensor : found->second->tensors) {
            const bool own = by_container || !place.nested || prefix_of(tensor.name) == place.own;
            const std::string kind = by_container ? (index < kinds.size() ? kinds[index] : std::to_string(index))
                                                  : kind_of_weight(tensor.name);
            ++index;
            if (own) {
                used.insert(&tensor);
                unit.tensors.emplace(kind.empty() ? tensor.name : kind, &tensor);
            }
        }
        take_layer(result, *by_name.at(layer.name), unit, name);
    }
    for (const KerasGroup& group : file.groups) {
        for (const KerasTensor& tensor : group.tensors) {
            const std::string container = last_part(group.name);
            if (!used.contains(&tensor) && !container.starts_with("seed_generator")) {
                misfit(name, "its own description",
                       fmt::format("no layer takes the tensor '{}' of '{}'", tensor.name, group.name));
            }
        }
    }
    return result;
}

ImportedWeights match_weights(const std::vector<TargetLayer>& targets, const KerasFile& file, const std::string& name,
                              const std::string& network) {
    ImportedWeights result;
    result.storage = file.storage;
    const std::vector<Unit> units =
        file.layout == KerasLayout::kByName ? units_by_name(file, name) : units_by_container(file);
    refuse_old_resnet(units, name);
    std::vector<std::size_t> left;
    std::vector<const TargetLayer*> rest;
    std::map<const TargetLayer*, std::size_t> chosen;
    std::set<std::size_t> taken;
    for (const TargetLayer& target : targets) {
        const auto found = std::ranges::find_if(
            units, [&](const Unit& u) { return u.inner == target.name || u.group == target.name; });
        if (!automatic(target.name) && found != units.end()) {
            const auto index = static_cast<std::size_t>(found - units.begin());
            chosen[&target] = index;
            taken.insert(index);
        } else {
            rest.push_back(&target);
        }
    }
    for (std::size_t u = 0; u < units.size(); ++u) {
        if (taken.contains(u) || units[u].tensors.empty()) {
            continue;
        }
        if (is_imagenet_classifier(units[u].name()) && !chosen.empty()) {
            leave_out(result, units[u], name);
        } else {
            left.push_back(u);
        }
    }
    const bool head_alone = std::ranges::all_of(rest, [](const TargetLayer* t) { return automatic(t->name); });
    if (left.empty() && head_alone && !chosen.empty() && !rest.empty()) {
        result.complete = false;
        for (const TargetLayer* target : rest) {
            for (std::size_t i = 0; i < target->kinds.size(); ++i) {
                result.table.push_back({"", target->name + "/" + target->kinds[i], target->shapes[i], 0,
                                        "not in the file: drawn when the network is trained"});
            }
        }
        rest.clear();
    }
    if (left.size() != rest.size()) {
        misfit(name, network,
               fmt::format("it has {} layers with weights, {} has {}", taken.size() + left.size(), network,
                           targets.size()));
    }
    const auto order = order_for(units, left, rest, file.layout);
    for (std::size_t i = 0; i < rest.size(); ++i) {
        chosen[rest[i]] = order[i];
    }
    for (const TargetLayer& target : targets) {
        if (const auto found = chosen.find(&target); found != chosen.end()) {
            take_layer(result, target, units[found->second], name);
        }
    }
    return result;
}

}  // namespace fer
