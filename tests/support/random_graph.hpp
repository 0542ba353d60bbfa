// Random training steps over the real op set: a tree of image ops whose leaves all reach one loss, its backward pass,
// an optimizer and the counters. Small enough that 50 of them run in a second.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "engine/graph/fuse.hpp"
#include "engine/graph/gradient.hpp"
#include "engine/graph/graph.hpp"
#include "tests/support/numbers.hpp"

namespace fer::test {

class RandomGraph {
public:
    /// `fusions`: as of fuse(); empty: on or off, as it falls.
    explicit RandomGraph(std::uint64_t seed, std::string fusions = "") : random_(seed, 0, stream_of("graph")) {
        clock_ = graph.add("clock", Role::kState, {{kClockFields}, DType::kI64});
        rate_ = graph.add("learning_rate", Role::kState, {Shape{}, DType::kF32});
        batch_ = 1 + pick(3);
        const ValueId x =
            graph.add("input", Role::kInput, {{batch_, 3 + pick(6), 3 + pick(6), 1 + pick(3)}, DType::kF32});
        images_.push_back(pick(2) == 0 ? x : graph.apply1(OpKind::kRescale, "rescale", RescaleAttrs{}, {x}));
        const int ops = 5 + pick(9);
        for (int i = 0; i < ops; ++i) {
            grow(fmt::format("op{}", i));
        }
        loss();
        const bool fused = pick(2) == 0;
        if (fusions.empty()) {
            fusions = fused ? "on" : "off";
        }
        fuse(graph, fusions);
        update(fusions);
        prepare(graph, prepared, fusions);
    }

    Graph graph, prepared;
    std::int64_t batch() const { return batch_; }

private:
    int pick(int choices) { return static_cast<int>(random_.word(drawn_++) % static_cast<std::uint32_t>(choices)); }

    ValueId variable(const std::string& name, const Shape& shape) {
        const ValueId id = graph.add(name, Role::kParameter, {shape, DType::kF32});
        parameters_.push_back(id);
        return id;
    }
    ValueId state(const std::string& name, const Shape& shape) {
        return graph.add(name, Role::kState, {shape, DType::kF32});
    }

    /// Applies a random op to a random image; a value may get several readers, or none until the end.
    void grow(const std::string& name) {
        const ValueId x = images_[static_cast<std::size_t>(pick(static_cast<int>(images_.size())))];
        const Shape s = graph.value(x).info.shape;
        used_.insert(x);
        images_.push_back(apply(pick(13), name, x, s));
    }

    ValueId apply(int what, const std::string& name, ValueId x, const Shape& s) {
        const Padding padding = pick(2) == 0 ? Padding::kSame : Padding::kValid;
        const int smallest = static_cast<int>(std::min(s[1], s[2]));
        const int window = 1 + pick(std::min(3, smallest));
        switch (what) {
            case 0:
            case 1: {
                const ConvAttrs attrs{.stride = 1 + pick(2), .padding = padding};
                const ValueId w = variable(name + "/w", {window, window, s[3], 1 + pick(5)});
                kernels_.push_back(w);
                const ValueId y = graph.apply1(OpKind::kConv2d, name, attrs, {x, w});
                return pick(2) == 0 ? y : activation(name + "/a", bias(name + "/b", y));
            }
            case 2: {
                const ConvAttrs attrs{.stride = 1 + pick(2), .padding = padding};
                return graph.apply1(OpKind::kDepthwiseConv, name, attrs,
                                    {x, variable(name + "/w", {window, window, s[3], 1})});
            }
            case 3:
                return bias(name, x);
            case 4:
                return activation(name, x);
            case 5:
                return graph.apply1(OpKind::kBatchNorm, name, BatchNormAttrs{.momentum = 0.9},
                                    {x, variable(name + "/gamma", {s[3]}), variable(name + "/beta", {s[3]})},
                                    {state(name + "/mean", {s[3]}), state(name + "/variance", {s[3]})});
            case 6:
                return graph.apply1(OpKind::kBatchNormInference, name, BatchNormAttrs{},
                                    {x, state(name + "/gamma", {s[3]}), state(name + "/beta", {s[3]}),
                                     state(name + "/mean", {s[3]}), state(name + "/variance", {s[3]})});
            case 7:
                return graph.apply1(OpKind::kMaxPool, name, PoolAttrs{window, 1 + pick(2), padding, {}}, {x});
            case 8:
                return graph.apply1(OpKind::kAvgPool, name, PoolAttrs{window, 1 + pick(2), padding, {}}, {x});
            case 9:
                return graph.apply1(OpKind::kZeroPad, name, PadAttrs{pick(2), pick(2), pick(2), 1}, {x});
            case 10:
                return graph.apply1(OpKind::kDropout, name, DropoutAttrs{0.25f, stream_of(name)}, {x, clock_});
            default:
                return add_twin(name, x, s);
        }
    }

    /// x plus another value of its shape, or plus itself.
    ValueId add_twin(const std::string& name, ValueId x, const Shape& s) {
        ValueId other = x;
        for (const ValueId candidate : images_) {
            if (graph.value(candidate).info.shape == s && pick(2) == 0) {
                other = candidate;
            }
        }
        used_.insert(other);
        return graph.apply1(OpKind::kAdd, name, NoAttrs{}, {x, other});
    }

    ValueId bias(const std::string& name, ValueId x) {
        return graph.apply1(OpKind::kBias, name, NoAttrs{},
                            {x, variable(name + "/b", {graph.value(x).info.shape.back()})});
    }
    ValueId activation(const std::string& name, ValueId x) {
        return graph.apply1(pick(2) == 0 ? OpKind::kRelu : OpKind::kRelu6, name, NoAttrs{}, {x});
    }
    ValueId dense(const std::string& name, ValueId x, std::int64_t units) {
        const ValueId w = variable(name + "/w", {graph.value(x).info.shape[1], units});
        kernels_.push_back(w);
        return graph.apply1(OpKind::kDense, name, DenseAttrs{}, {x, w});
    }

    void loss() {
        std::vector<ValueId> heads;
        for (const ValueId x : std::vector<ValueId>(images_)) {
            if (!used_.contains(x)) {
                const std::string name = fmt::format("head{}", heads.size());
                const ValueId flat =
                    graph.apply1(pick(2) == 0 ? OpKind::kFlatten : OpKind::kGlobalAvgPool, name, NoAttrs{}, {x});
                heads.push_back(dense(name + "/dense", flat, 5));
            }
        }
        ValueId joined = heads.size() == 1 ? heads[0] : graph.apply1(OpKind::kAdd, "join", NoAttrs{}, heads);
        joined = activation("join/a", bias("join/b", joined));
        if (pick(3) == 0) {
            joined = graph.apply1(OpKind::kSoftmax, "join/softmax", NoAttrs{}, {joined});
        }
        const ValueId labels = graph.add("labels", Role::kInput, {{batch_}, DType::kI32});
        const ValueId weights = state("class_weights", {4});
        const auto xent = graph.apply(OpKind::kSoftmaxXent, "loss", XentAttrs{pick(2) == 0 ? 0.0f : 0.1f},
                                      {bias("logits/b", dense("logits", joined, 4)), labels, weights});
        const ValueId l2 = graph.apply1(OpKind::kL2Penalty, "l2", ScalarAttrs{0.01f}, kernels_);
        total_ = graph.apply1(OpKind::kAdd, "total", NoAttrs{}, {xent[0], l2});
        graph.keep(total_);
        graph.keep(xent[1]);
        if (pick(2) == 0) {
            graph.keep(images_[static_cast<std::size_t>(pick(static_cast<int>(images_.size())))]);
        }
        const ValueId metrics = graph.add("metrics", Role::kState, {{kMetricFields}, DType::kF64});
        graph.apply(OpKind::kMetrics, "metrics_update", NoAttrs{}, {total_, xent[2]}, {metrics});
    }

    void update(const std::string& fusions) {
        const auto gradients = differentiate(graph, total_, parameters_);
        fuse(graph, fusions, FusionStage::kStep);
        std::vector<ValueId> inputs{rate_, clock_};
        inputs.insert(inputs.end(), gradients.begin(), gradients.end());
        std::vector<ValueId> updated = parameters_;
        const int optimizer = pick(3);
        const int moments = optimizer == 0 ? 2 : 1;
        for (int m = 0; m < moments; ++m) {
            for (const ValueId p : parameters_) {
                updated.push_back(state(fmt::format("moment{}/{}", m, graph.value(p).name), graph.value(p).info.shape));
            }
        }
        if (optimizer == 0) {
            graph.apply(OpKind::kAdam, "optimizer", AdamAttrs{}, inputs, updated);
        } else if (optimizer == 1) {
            graph.apply(OpKind::kSgd, "optimizer", SgdAttrs{.momentum = 0.9, .nesterov = true}, inputs, updated);
        } else {
            graph.apply(OpKind::kRmsProp, "optimizer", RmsPropAttrs{}, inputs, updated);
        }
        graph.apply(OpKind::kAdvance, "advance", GatherAttrs{batch_}, {}, {clock_});
    }

    RandomStream random_;
    std::uint64_t drawn_ = 0;
    std::int64_t batch_ = 1;
    ValueId clock_ = kNoValue, rate_ = kNoValue, total_ = kNoValue;
    std::vector<ValueId> images_, parameters_, kernels_;
    std::set<ValueId> used_;
};

/// Starting numbers of a value nobody writes, by its role and name.
inline std::vector<double> starting_numbers(const Value& value) {
    const auto count = static_cast<std::size_t>(value.info.shape.count());
    if (value.name == "clock") {
        return {7, 3, 0, 0};
    }
    if (value.name == "labels") {
        std::vector<double> labels(count);
        for (std::size_t i = 0; i < count; ++i) {
            labels[i] = static_cast<double>(3 * i % 4);
        }
        return labels;
    }
    if (value.name == "metrics" || value.role == Role::kGradient) {
        return std::vector<double>(count, 0.0);
    }
    const std::uint64_t seed = stream_of(value.name);
    return value.role == Role::kState ? uniform(count, seed, 0.01, 1) : uniform(count, seed, -0.7, 0.7);
}

}  // namespace fer::test
