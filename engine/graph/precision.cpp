#include "engine/graph/precision.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "engine/core/text.hpp"
#include "engine/graph/op_table.hpp"

namespace fer {
namespace {

constexpr std::array<std::string_view, 4> kNames{"fp32", "tf32", "bf16", "fp16"};

/// How an op wants its inputs.
enum class Wish : std::uint8_t { kAsItComes, kCompute, kFloat32 };

Wish wish_of(OpKind kind) {
    switch (kind) {
        case OpKind::kConv2d:
        case OpKind::kDepthwiseConv:
        case OpKind::kDense:
        case OpKind::kZeroPad:  // of the image before the first convolution: zeros stay zeros
            return Wish::kCompute;
        case OpKind::kSoftmax:
        case OpKind::kSoftmaxXent:
        case OpKind::kL2Penalty:
            return Wish::kFloat32;
        default:
            return Wish::kAsItComes;
    }
}

void allow_tf32(Graph& graph) {
    for (Node& node : graph.nodes()) {
        if (auto* conv = std::get_if<ConvAttrs>(&node.attrs)) {
            conv->tf32 = true;
        }
        if (auto* dense = std::get_if<DenseAttrs>(&node.attrs)) {
            dense->tf32 = true;
        }
    }
}

class Rewriter {
public:
    Rewriter(Graph& graph, DType compute) : graph_(graph), compute_(compute) {}

    int run() {
        std::vector<Node> nodes;
        nodes.swap(graph_.nodes());
        for (Node& node : nodes) {
            switch (wish_of(node.kind)) {
                case Wish::kCompute:
                    for (const std::size_t i : {0, 1, 3}) {  // data, weights, residual; a bias is float32
                        if (i < node.inputs.size()) {
                            node.inputs[i] = as(node.inputs[i], compute_);
                        }
                    }
                    break;
                case Wish::kFloat32:
                    node.inputs[0] = as(node.inputs[0], DType::kF32);
                    break;
                case Wish::kAsItComes:
                    break;
            }
            append(std::move(node));
        }
        return static_cast<int>(casts_.size());
    }

private:
    ValueId as(ValueId id, DType dtype) {
        if (graph_.value(id).info.dtype == dtype) {
            return id;
        }
        const auto [at, added] = casts_.try_emplace({id, dtype}, kNoValue);
        if (added) {
            const std::string name = fmt::format("{}/{}", graph_.value(id).name, name_of(dtype));
            at->second = graph_.apply1(OpKind::kCast, name, CastAttrs{dtype}, {id});
        }
        return at->second;
    }

    /// The node as it was, its outputs of the types that its inputs now give.
    void append(Node node) {
        const std::vector<TensorInfo> infos = spec_of(node.kind).infer(graph_.describe(node));
        for (std::size_t i = 0; i < node.outputs.size(); ++i) {
            Value& value = graph_.value(node.outputs[i]);
            value.info = infos[i];
            value.writer = static_cast<int>(graph_.nodes().size());
        }
        graph_.nodes().push_back(std::move(node));
    }

    Graph& graph_;
    DType compute_;
    std::map<std::pair<ValueId, DType>, ValueId> casts_;
};

}  // namespace

std::string_view name_of(Precision precision) { return kNames[static_cast<std::size_t>(precision)]; }

Precision precision_named(std::string_view name) {
    const auto* found = std::ranges::find(kNames, name);
    if (found == kNames.end()) {
        const std::string near = nearest(name, kNames);
        throw UsageError(fmt::format("unknown precision '{}'", name))
            .try_this(near.empty() ? fmt::format("one of {}", fmt::join(kNames, ", "))
                                   : fmt::format("did you mean '{}'?", near));
    }
    return static_cast<Precision>(found - kNames.begin());
}

int apply_precision(Graph& graph, Precision precision) {
    switch (precision) {
        case Precision::kTf32:
            allow_tf32(graph);
            return 0;
        case Precision::kBf16:
            return Rewriter(graph, DType::kBF16).run();
        case Precision::kFp16:
            return Rewriter(graph, DType::kF16).run();
        case Precision::kFp32:
            break;
    }
    return 0;
}

}  // namespace fer
