#include "engine/graph/fuse.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "engine/core/text.hpp"
#include "engine/graph/fuse_rules.hpp"

namespace fer {
namespace {

constexpr auto kForward = FusionStage::kForward;
constexpr auto kStep = FusionStage::kStep;
constexpr auto kPrepare = FusionStage::kPrepare;

// In this order: a norm must be gone before the activation behind it can follow, a bias inside before that, and what
// can be hoisted stands only when all else is done.
// clang-format off
constexpr std::array kRules{
    FusionRule{"fold",       "a batch norm with fixed statistics into the weights of the convolution or dense layer before it", kForward, rewrite::fuse_fold, nullptr},
    FusionRule{"bias",       "a bias into the convolution or dense layer before it",                                     kForward, rewrite::fuse_bias, nullptr},
    FusionRule{"activation", "a ReLU or ReLU6 into the convolution or dense layer before it",                            kForward, rewrite::fuse_activation, nullptr},
    FusionRule{"pad",        "zeros around an image into the convolution behind them, where they are those of `same` padding",  kForward, rewrite::fuse_pad, nullptr},
    FusionRule{"depthwise",  "a batch norm with fixed statistics, a bias and a ReLU or ReLU6 into the depthwise convolution before them", kForward, rewrite::fuse_depthwise, nullptr},
    FusionRule{"fixed_norm", "a ReLU into the batch norm with fixed statistics before it",                               kForward, rewrite::fuse_fixed_norm, nullptr},
    FusionRule{"norm",       "a residual sum, a ReLU or ReLU6, or both into the batch norm before them",                 kForward, rewrite::fuse_norm, nullptr},
    FusionRule{"residual",   "a residual sum, with a ReLU or ReLU6 behind it, into the convolution before it",           kForward, rewrite::fuse_residual, nullptr},
    FusionRule{"norm_pool",  "a 2x2 max pool into the batch norm before it",                                             kForward, rewrite::fuse_norm_pool, nullptr},
    FusionRule{"norm_mask",  "the gradient of a ReLU before a batch norm into the gradient of that",                     kStep,    rewrite::fuse_norm_mask, nullptr},
    FusionRule{"norm_sums",  "the statistics of a batch norm into the convolution before it",                            kStep,    rewrite::fuse_norm_sums, nullptr},
    FusionRule{"loss",       "the gradient of the softmax cross-entropy into the loss",                                  kStep,    rewrite::fuse_loss, nullptr},
    FusionRule{"l2",         "the gradient of an L2 penalty added onto the other gradient of its kernel",                kStep,    rewrite::fuse_l2, nullptr},
    FusionRule{"gray",       "three equal channels into a first convolution of one, its weights summed over them",       kStep,    rewrite::fuse_gray, nullptr},
    FusionRule{"input",      "augmentation, scaling and casts into the gather of the batch, or into its resizing",       kStep,    rewrite::fuse_input, nullptr},
    FusionRule{"image_conv", "the making of a batch's images into the first convolution, if they have one channel",      kStep,    rewrite::fuse_image_conv, nullptr},
    FusionRule{"shadow",     "the casts of trained weights into the optimizer, which writes both",                       kPrepare, nullptr, rewrite::prepare_shadow},
    FusionRule{"hoist",      "what no step changes out of the step",                                                     kPrepare, nullptr, rewrite::prepare_hoist},
    FusionRule{"early_update", "not fused but split off: a large layer's update, to run beside the backward pass",       kPrepare, nullptr, rewrite::prepare_early_update},
};
// clang-format on

/// The rules of a stage that `choice` names, in the order of the table.
std::vector<const FusionRule*> chosen(const std::string& choice, FusionStage stage) {
    std::vector<std::string> wanted;
    if (choice != "on" && choice != "off") {
        std::istringstream words(choice);
        for (std::string word; std::getline(words, word, ',');) {
            if (std::ranges::none_of(kRules, [&](const FusionRule& rule) { return rule.name == word; })) {
                std::vector<std::string> names{"on", "off"};
                for (const FusionRule& rule : kRules) {
                    names.emplace_back(rule.name);
                }
                const std::string near = nearest(word, names);
                throw UsageError(fmt::format("unknown fusion rule '{}'", word))
                    .try_this(near.empty() ? fmt::format("one of: {}", fmt::join(names, ", "))
                                           : fmt::format("did you mean '{}'?", near));
            }
            wanted.push_back(word);
        }
    }
    std::vector<const FusionRule*> rules;
    for (const FusionRule& rule : kRules) {
        if (rule.stage == stage && (choice == "on" || std::ranges::count(wanted, rule.name) > 0)) {
            rules.push_back(&rule);
        }
    }
    return rules;
}

}  // namespace

std::span<const FusionRule> fusion_rules() { return kRules; }

std::string without_rule(const std::string& choice, std::string_view rule) {
    if (choice == "off") {
        return choice;
    }
    std::vector<std::string_view> names;
    for (const FusionStage stage : {kForward, kStep, kPrepare}) {
        for (const FusionRule* chosen_rule : chosen(choice, stage)) {
            if (chosen_rule->name != rule) {
                names.push_back(chosen_rule->name);
            }
        }
    }
    return names.empty() ? "off" : fmt::format("{}", fmt::join(names, ","));
}

std::vector<FusionCount> fuse(Graph& graph, const std::string& choice, FusionStage stage) {
    FER_ASSERT(stage != FusionStage::kPrepare, "these rules take two graphs");
    std::vector<FusionCount> counts;
    for (const FusionRule* rule : chosen(choice, stage)) {
        counts.push_back({rule->name, rule->apply(graph)});
    }
    return counts;
}

std::vector<FusionCount> prepare(Graph& step, Graph& prepared, const std::string& choice) {
    std::vector<FusionCount> counts;
    for (const FusionRule* rule : chosen(choice, FusionStage::kPrepare)) {
        counts.push_back({rule->name, rule->prepare(step, prepared)});
    }
    return counts;
}

namespace rewrite {

int only_reader(const Graph& graph, ValueId value) {
    if (std::ranges::count(graph.kept(), value) > 0) {
        return -1;
    }
    int reader = -1;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        for (const ValueId input : graph.nodes()[i].inputs) {
            if (input == value) {
                if (reader >= 0) {
                    return -1;
                }
                reader = static_cast<int>(i);
            }
        }
    }
    return reader;
}

std::vector<char> fixed_values(const Graph& step) {
    std::vector<char> fixed;
    for (const Value& value : step.values()) {
        fixed.push_back(value.role == Role::kParameter || value.role == Role::kState ? 1 : 0);
    }
    for (const Node& node : step.nodes()) {
        for (const ValueId id : node.state) {
            fixed[static_cast<std::size_t>(id)] = 0;
        }
    }
    return fixed;
}

void number_writers(Graph& graph) {
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        for (const ValueId out : graph.nodes()[i].outputs) {
            graph.value(out).writer = static_cast<int>(i);
        }
    }
}

void absorb(Graph& graph, std::size_t heir, std::size_t index) {
    auto& nodes = graph.nodes();
    nodes[heir].outputs[0] = nodes[index].outputs[0];
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(index));
    number_writers(graph);
}

ValueId insert(Graph& graph, std::size_t at, OpKind kind, std::string name, Attributes attrs,
               std::vector<ValueId> inputs) {
    const ValueId out = graph.apply1(kind, std::move(name), std::move(attrs), std::move(inputs));
    auto& nodes = graph.nodes();
    std::rotate(nodes.begin() + static_cast<std::ptrdiff_t>(at), nodes.end() - 1, nodes.end());
    number_writers(graph);
    return out;
}

}  // namespace rewrite
}  // namespace fer
