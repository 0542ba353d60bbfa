// A network of the golden files, ready to run: inference with loss, and training with Adam, on shared variables.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/formats/safetensors.hpp"
#include "engine/graph/gradient.hpp"
#include "engine/graph/step.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "engine/run/executor.hpp"
#include "models/models.hpp"
#include "tests/support/golden.hpp"

namespace fer::test {

struct NetworkGraph {
    Graph graph;
    std::vector<Variable> variables;
    std::vector<ValueId> trained, gradients;
    ValueId probabilities = kNoValue, loss = kNoValue;
};

/// The model behind a float input, its loss with L2 terms and, in training, backward pass and Adam.
inline NetworkGraph network_graph(const models::Model& model, Mode mode, DType real, const std::string& fusions) {
    NetworkGraph n;
    Graph& g = n.graph;
    const ValueId clock = g.add(kClock, Role::kState, {{kClockFields}, DType::kI64});
    const ValueId rate = g.add(kLearningRate, Role::kState, {Shape{}, DType::kF32});
    const ValueId weights = g.add(kClassWeights, Role::kState, {{models::kClasses}, real});
    const ValueId labels = g.add(kLabels, Role::kInput, {{kGoldenBatch}, DType::kI32});
    const ValueId x = g.add("input", Role::kInput, {{kGoldenBatch, model.height, model.width, model.channels}, real});
    Net net(g, x, clock, {.mode = mode, .dropout = false});
    model.build(net);
    n.variables = net.variables();

    const auto outputs = g.apply(OpKind::kSoftmaxXent, "loss", XentAttrs{}, {net.here(), labels, weights});
    n.probabilities = outputs[1];
    std::vector<ValueId> terms{outputs[0]};
    for (const auto& [factor, kernels] : net.l2()) {
        terms.push_back(g.apply1(OpKind::kL2Penalty, "l2", ScalarAttrs{factor}, kernels));
    }
    n.loss = terms.size() == 1 ? terms[0] : g.apply1(OpKind::kAdd, "total_loss", NoAttrs{}, terms);
    g.keep(n.loss);
    g.keep(n.probabilities);
    fuse(g, fusions);
    if (mode == Mode::kInfer) {
        return n;
    }
    for (const Variable& v : n.variables) {
        if (v.trainable) {
            n.trained.push_back(v.id);
        }
    }
    n.gradients = differentiate(g, n.loss, n.trained);
    std::vector<ValueId> inputs{rate, clock};
    inputs.insert(inputs.end(), n.gradients.begin(), n.gradients.end());
    std::vector<ValueId> state = n.trained;
    for (const char* moment : {"m", "v"}) {
        for (const ValueId p : n.trained) {
            state.push_back(g.add(fmt::format("adam/{}/{}", moment, g.value(p).name), Role::kState, g.value(p).info));
        }
    }
    g.apply(OpKind::kAdam, "adam", AdamAttrs{}, inputs, state);
    g.apply(OpKind::kAdvance, "advance", GatherAttrs{0}, {}, {clock});
    return n;
}

inline PlanOptions with_canaries() {
    PlanOptions options;
    options.gap = kCanaryBytes;
    return options;
}

template <class T>
class GoldenNetwork {
public:
    GoldenNetwork(const models::Model& model, const Device& device, const std::string& fusions = "on")
        : golden_(golden_path("networks/" + std::string(model.name) + ".safetensors")),
          tensors_(nlohmann::json::parse(golden_.metadata().at("tensors"))),
          inference_(network_graph(model, Mode::kInfer, DTypeOf<T>::value, fusions_for(device, fusions))),
          training_(network_graph(model, Mode::kTrain, DTypeOf<T>::value, fusions_for(device, fusions))),
          images_(as_type(golden_images({model.height, model.width, model.channels}))),
          labels_(golden_labels()) {
        const Graph* graphs[] = {&training_.graph, &inference_.graph};
        variables_.emplace(graphs);
        fill();
        Plan infer = make_plan(inference_.graph, device, with_canaries());
        Plan train = make_plan(training_.graph, device, with_canaries());
        arena_.reserve(std::max(infer.arena_bytes, train.arena_bytes));
        const std::map<std::string, const void*> inputs{{"input", images_.data()}, {kLabels, labels_.data()}};
        infer_.emplace(std::move(infer), *variables_, arena_, inputs);
        train_.emplace(std::move(train), *variables_, arena_, inputs);
    }

    const SafetensorsFile& golden() const { return golden_; }
    const nlohmann::json& tensors() const { return tensors_; }

    void infer() { infer_->run(); }
    void train() { train_->run(); }

    std::vector<T> probabilities(bool training) const {
        return training ? train_->template read<T>(training_.probabilities)
                        : infer_->template read<T>(inference_.probabilities);
    }
    double loss(bool training) const {
        return static_cast<double>(training ? train_->template read<T>(training_.loss)[0]
                                            : infer_->template read<T>(inference_.loss)[0]);
    }
    std::span<const T> variable(std::size_t i) const { return variables_->template get<T>(name_of_variable(i)); }
    /// Of the i-th variable, which must be trainable.
    std::vector<T> gradient(std::size_t i) const {
        const auto at = std::ranges::find(training_.trained, training_.variables[i].id) - training_.trained.begin();
        return train_->template read<T>(training_.gradients[static_cast<std::size_t>(at)]);
    }
    const std::vector<double>& initial(std::size_t i) const { return initial_[i]; }
    std::string name_of_variable(std::size_t i) const { return training_.graph.value(training_.variables[i].id).name; }
    std::size_t variable_count() const { return training_.variables.size(); }
    bool trainable(std::size_t i) const { return training_.variables[i].trainable; }

private:
    static std::vector<T> as_type(const std::vector<double>& values) { return {values.begin(), values.end()}; }

    void fill() {
        for (std::size_t i = 0; i < training_.variables.size(); ++i) {
            const TensorInfo& info = training_.graph.value(training_.variables[i].id).info;
            initial_.push_back(golden_tensor(tensors_[i]["kind"].template get<std::string>(),
                                             static_cast<std::uint32_t>(i), info.shape));
            std::ranges::transform(initial_.back(), variables_->template get<T>(name_of_variable(i)).begin(),
                                   [](double v) { return static_cast<T>(v); });
        }
        std::ranges::fill(variables_->template get<T>(kClassWeights), T{1});
        variables_->template get<float>(kLearningRate)[0] = 1e-3f;
    }

    SafetensorsFile golden_;
    nlohmann::json tensors_;
    NetworkGraph inference_, training_;
    std::vector<T> images_;
    std::vector<std::int32_t> labels_;
    std::vector<std::vector<double>> initial_;
    std::optional<Variables> variables_;
    Arena arena_;
    std::optional<Executor> infer_, train_;
};

}  // namespace fer::test
