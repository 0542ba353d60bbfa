// Rewrites of what stands between the stored images and the first convolution.
#include <algorithm>
#include <functional>

#include "engine/graph/fuse_rules.hpp"
#include "engine/graph/op_table.hpp"

namespace fer::rewrite {
namespace {

/// The nodes, by place, that lead from the repeated channels to a convolution and from it nowhere else; empty if there
/// is more between than scaling alike, padding and casts.
std::vector<int> way_to_convolution(const Graph& graph, ValueId from) {
    std::vector<int> way;
    for (int reader = only_reader(graph, from); reader >= 0; reader = only_reader(graph, from)) {
        const Node& node = graph.nodes()[static_cast<std::size_t>(reader)];
        way.push_back(reader);
        if (node.kind == OpKind::kConv2d && node.inputs[0] == from) {
            return way;
        }
        if (const auto* scale = std::get_if<RescaleAttrs>(&node.attrs)) {
            if (scale->offset[1] != scale->offset[0] || scale->offset[2] != scale->offset[0]) {
                return {};
            }
        } else if (node.kind != OpKind::kCast && node.kind != OpKind::kZeroPad) {
            return {};
        }
        from = node.outputs[0];
    }
    return {};
}

/// Sums over the input channels: a depthwise convolution over the axis they lie on, with weights of one.
ValueId sum_channels(Graph& graph, std::size_t& at, ValueId weights) {
    const Value w = graph.value(weights);
    const ValueId ones = insert(graph, at++, OpKind::kConstant, w.name + "/ones",
                                ScalarAttrs{1, {1, w.info.shape[2], w.info.shape[3], 1}}, {});
    graph.value(ones).info.dtype = w.info.dtype;
    return insert(graph, at++, OpKind::kDepthwiseConv, w.name + "/gray", ConvAttrs{.padding = Padding::kValid},
                  {weights, ones});
}

/// What `node` writes now that its input has another shape.
void infer_again(Graph& graph, const Node& node) {
    const std::vector<TensorInfo> infos = spec_of(node.kind).infer(graph.describe(node));
    for (std::size_t i = 0; i < infos.size(); ++i) {
        graph.value(node.outputs[i]).info = infos[i];
    }
}

}  // namespace

int fuse_gray(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Node repeat = graph.nodes()[i];
        const std::vector<int> way =
            repeat.kind == OpKind::kGrayToRgb ? way_to_convolution(graph, repeat.outputs[0]) : std::vector<int>{};
        if (way.empty()) {
            continue;
        }
        auto at = static_cast<std::size_t>(way.back());
        const ValueId w = graph.nodes()[at].inputs[1];
        const Node* cast = writer_of(graph, w);
        ValueId sum = kNoValue;
        if (cast == nullptr || cast->kind != OpKind::kCast) {
            sum = sum_channels(graph, at, w);
        } else {
            const Attributes to = cast->attrs;
            sum = sum_channels(graph, at, cast->inputs[0]);
            const std::string name = fmt::format("{}/{}", graph.value(sum).name, name_of(std::get<CastAttrs>(to).to));
            sum = insert(graph, at++, OpKind::kCast, name, to, {sum});
        }
        graph.nodes()[at].inputs[1] = sum;
        graph.nodes()[static_cast<std::size_t>(way.front())].inputs[0] = repeat.inputs[0];
        for (std::size_t k = 0; k + 1 < way.size(); ++k) {
            infer_again(graph, graph.nodes()[static_cast<std::size_t>(way[k])]);
        }
        graph.nodes().erase(graph.nodes().begin() + static_cast<std::ptrdiff_t>(i--));
        number_writers(graph);
        ++count;
    }
    return count;
}

namespace {

/// Takes one node after another that alone reads what the last one wrote.
class Chain {
public:
    Chain(Graph& graph, ValueId end) : graph_(graph), end_(end) {}

    /// The next node if it is a `kind`, else null. It belongs to the chain then.
    const Node* take(OpKind kind) {
        const int reader = only_reader(graph_, end_);
        if (reader < 0 || graph_.nodes()[static_cast<std::size_t>(reader)].kind != kind) {
            return nullptr;
        }
        const Node& node = graph_.nodes()[static_cast<std::size_t>(reader)];
        end_ = node.outputs[0];
        taken_.push_back(reader);
        return &node;
    }
    /// The type that a cast to 16 bits gives; float32 without one.
    DType take_cast() {
        const int reader = only_reader(graph_, end_);
        const CastAttrs* cast =
            reader < 0 ? nullptr : std::get_if<CastAttrs>(&graph_.nodes()[static_cast<std::size_t>(reader)].attrs);
        if (cast == nullptr || !is_16_bit(cast->to)) {
            return DType::kF32;
        }
        take(OpKind::kCast);
        return cast->to;
    }
    ValueId end() const { return end_; }
    int length() const { return static_cast<int>(taken_.size()); }
    /// Takes the nodes out of the graph, which must not have changed meanwhile.
    void remove() {
        std::ranges::sort(taken_, std::greater{});
        for (const int place : taken_) {
            graph_.nodes().erase(graph_.nodes().begin() + place);
        }
        number_writers(graph_);
    }

private:
    Graph& graph_;
    ValueId end_;
    std::vector<int> taken_;
};

/// Scaling, and a cast behind it, of what a chain ends in.
int take_scaling(Chain& chain, RescaleAttrs& rescale, DType& to) {
    const int before = chain.length();
    if (const Node* scale = chain.take(OpKind::kRescale)) {
        rescale = std::get<RescaleAttrs>(scale->attrs);
        to = chain.take_cast();
    }
    return chain.length() - before;
}

int fuse_into_gather(Graph& graph, std::size_t i) {
    const Node gather = graph.nodes()[i];
    ImageBatchAttrs attrs;
    attrs.batch = std::get<GatherAttrs>(gather.attrs).batch;
    Chain chain(graph, gather.outputs[0]);
    if (const Node* augment = chain.take(OpKind::kAugment)) {
        attrs.augment = std::get<AugmentAttrs>(augment->attrs);
    }
    take_scaling(chain, attrs.rescale, attrs.to);
    if (chain.length() == 0) {
        return 0;
    }
    Node& node = graph.nodes()[i];
    node.kind = OpKind::kImageBatch;
    node.attrs = attrs;
    node.outputs[0] = chain.end();
    chain.remove();
    return chain.length();
}

int fuse_into_resize(Graph& graph, std::size_t i) {
    const Node resize = graph.nodes()[i];
    auto attrs = std::get<ResizeAttrs>(resize.attrs);
    if (attrs.gray_to_rgb || attrs.rescale != RescaleAttrs{.scale = 1} ||
        is_16_bit(graph.value(resize.inputs[0]).info.dtype)) {
        return 0;
    }
    Chain chain(graph, resize.outputs[0]);
    attrs.gray_to_rgb = chain.take(OpKind::kGrayToRgb) != nullptr;
    take_scaling(chain, attrs.rescale, attrs.to);
    if (chain.length() == 0) {
        return 0;
    }
    Node& node = graph.nodes()[i];
    node.attrs = attrs;
    node.outputs[0] = chain.end();
    chain.remove();
    return chain.length();
}

}  // namespace

int fuse_input(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        if (graph.nodes()[i].kind == OpKind::kGather) {
            count += fuse_into_gather(graph, i);
        } else if (graph.nodes()[i].kind == OpKind::kResize) {
            count += fuse_into_resize(graph, i);
        }
    }
    return count;
}

namespace {

/// The place of the one convolution that reads images of one channel, if a kernel can make them as it goes: a same
/// convolution of stride 1, whose tiles of outputs part the pixels among them. Others may read them, or the labels,
/// only later.
int first_convolution(const Graph& graph, const Node& images) {
    int found = -1;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Node& node = graph.nodes()[i];
        if (std::ranges::find_first_of(node.inputs, images.outputs) == node.inputs.end()) {
            continue;
        }
        const auto* attrs = std::get_if<ConvAttrs>(&node.attrs);
        const bool first = node.kind == OpKind::kConv2d && attrs->stride == 1 && attrs->padding == Padding::kSame &&
                           !attrs->tf32 && node.inputs.size() <= 3 && graph.value(node.inputs[1]).info.shape[0] <= 7 &&
                           graph.value(node.inputs[1]).info.shape[1] <= 7;
        if ((found < 0) != first) {
            return -1;
        }
        found = first ? static_cast<int>(i) : found;
    }
    return found;
}

}  // namespace

int fuse_image_conv(Graph& graph) {
    int count = 0;
    for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
        const Node images = graph.nodes()[i];
        const int at = images.kind == OpKind::kImageBatch ? first_convolution(graph, images) : -1;
        if (at < 0) {
            continue;
        }
        Node& conv = graph.nodes()[static_cast<std::size_t>(at)];
        conv.kind = OpKind::kImageConv;
        conv.attrs = ImageConvAttrs{std::get<ImageBatchAttrs>(images.attrs), std::get<ConvAttrs>(conv.attrs)};
        conv.inputs.erase(conv.inputs.begin());
        conv.inputs.insert(conv.inputs.begin(), images.inputs.begin(), images.inputs.end());
        conv.outputs.insert(conv.outputs.begin(), images.outputs.begin(), images.outputs.end());
        graph.nodes().erase(graph.nodes().begin() + static_cast<std::ptrdiff_t>(i));
        number_writers(graph);
        ++count;
    }
    return count;
}

}  // namespace fer::rewrite
