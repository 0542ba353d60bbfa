#include "bench/kernels/case.hpp"

#include <algorithm>
#include <set>

namespace fer::FER_PORT {

namespace {

/// What disappears in the epilogue of another node wherever a fusion rule applies.
bool is_often_fused(OpKind kind) {
    constexpr OpKind kKinds[] = {OpKind::kBias,  OpKind::kBiasGrad, OpKind::kRelu,
                                 OpKind::kRelu6, OpKind::kReluGrad, OpKind::kRelu6Grad};
    return std::ranges::find(kKinds, kind) != std::end(kKinds);
}

}  // namespace

void Cases::add(Case c) {
    const auto same = [&](const Case& other) {
        return other.family == c.family && other.arithmetic.name == c.arithmetic.name && other.shape == c.shape;
    };
    if (std::ranges::any_of(cases_, same)) {
        return;
    }
    const std::string where = c.where;
    const auto taken = [&](const Case& other) { return other.name() == c.name(); };
    for (int i = 2; std::ranges::any_of(cases_, taken); ++i) {
        c.where = fmt::format("{}#{}", where, i);
    }
    cases_.push_back(std::move(c));
}

Layers::Layers(std::int64_t batch, float width, bool trunks) : batch_(batch), width_(width) {
    shapes_ = bench::layer_shapes(batch, trunks, bench::kLayerFusions, width);
    for (bench::LayerShape& shape : bench::layer_shapes(batch, trunks, "off", width)) {
        if (is_often_fused(shape.op.kind)) {
            shapes_.push_back(std::move(shape));
        }
    }
    std::set<std::string> seen;
    for (const bench::LayerShape& layer : shapes_) {
        const std::string network = layer.where.substr(0, layer.where.find('/'));
        if (layer.op.kind == OpKind::kAdam && seen.insert(network).second) {
            std::int64_t parameters = 0;
            for (std::size_t i = 2; i < layer.op.in.size(); ++i) {
                parameters += layer.op.in[i].shape.count();
            }
            blocks_.push_back({network, parameters});
        }
    }
}

std::vector<bench::LayerShape> Layers::of(OpKind kind) const {
    std::vector<bench::LayerShape> found;
    std::ranges::copy_if(shapes_, std::back_inserter(found), [&](const auto& s) { return s.op.kind == kind; });
    return found;
}

std::string text_of(const Shape& shape) {
    std::string text;
    for (int i = 0; i < shape.rank(); ++i) {
        text += fmt::format("{}{}", i > 0 ? "x" : "", shape[i]);
    }
    return text;
}

}  // namespace fer::FER_PORT
