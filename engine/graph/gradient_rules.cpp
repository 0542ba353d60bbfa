// Gradient rules of the op table. d(x) stands for d(loss)/dx.
#include "engine/graph/gradient.hpp"
#include "engine/graph/rules.hpp"

namespace fer::rules {
namespace {

std::string sub(const Node& node, const char* what) { return node.name + "/" + what; }

/// d(y) before the fused activation of a convolution or dense layer, whose output is y = activation(...).
ValueId before_activation(Gradients& g, const Node& node, Activation activation) {
    const ValueId dy = g.of_output(node);
    switch (activation) {
        case Activation::kNone:
            return dy;
        case Activation::kRelu:
            return g.graph().apply1(OpKind::kReluGrad, sub(node, "drelu"), NoAttrs{}, {dy, node.outputs[0]});
        case Activation::kRelu6:
            return g.graph().apply1(OpKind::kRelu6Grad, sub(node, "drelu6"), NoAttrs{}, {dy, node.outputs[0]});
    }
    return dy;
}

void give_weight_gradients(Gradients& g, const Node& node, const std::vector<ValueId>& outputs) {
    g.give(node, 1, outputs[0]);
    if (outputs.size() > 1) {
        g.give(node, 2, outputs[1]);
    }
}

}  // namespace

void grad_conv2d(Gradients& g, const Node& node) {
    ConvAttrs attrs = std::get<ConvAttrs>(node.attrs);
    FER_CHECK(!attrs.statistics, "conv2d '{}': statistics are fused after the gradients are known", node.name);
    const ValueId dy = before_activation(g, node, attrs.activation);
    attrs.activation = Activation::kNone;
    if (node.inputs.size() == 4) {
        g.give(node, 3, dy);
    }
    if (g.wanted(node, 1)) {
        ConvAttrs w = attrs;
        w.kernel = g.graph().value(node.inputs[1]).info.shape;
        w.bias = node.inputs.size() >= 3;
        give_weight_gradients(g, node, g.graph().apply(OpKind::kConv2dWgrad, sub(node, "dw"), w, {node.inputs[0], dy}));
    }
    if (g.wanted(node, 0)) {
        attrs.input = g.graph().value(node.inputs[0]).info.shape;
        g.give(node, 0, g.graph().apply1(OpKind::kConv2dDgrad, sub(node, "dx"), attrs, {dy, node.inputs[1]}));
    }
}

void grad_depthwise_conv(Gradients& g, const Node& node) {
    ConvAttrs attrs = std::get<ConvAttrs>(node.attrs);
    const ValueId dy = before_activation(g, node, attrs.activation);
    attrs.activation = Activation::kNone;
    if (node.inputs.size() == 3 && g.wanted(node, 2)) {
        g.give(node, 2, g.graph().apply1(OpKind::kBiasGrad, sub(node, "db"), NoAttrs{}, {dy}));
    }
    if (g.wanted(node, 1)) {
        ConvAttrs w = attrs;
        w.kernel = g.graph().value(node.inputs[1]).info.shape;
        g.give(node, 1, g.graph().apply1(OpKind::kDepthwiseWgrad, sub(node, "dw"), w, {node.inputs[0], dy}));
    }
    if (g.wanted(node, 0)) {
        ConvAttrs x = attrs;
        x.input = g.graph().value(node.inputs[0]).info.shape;
        g.give(node, 0, g.graph().apply1(OpKind::kDepthwiseDgrad, sub(node, "dx"), x, {dy, node.inputs[1]}));
    }
}

void grad_dense(Gradients& g, const Node& node) {
    const DenseAttrs attrs = std::get<DenseAttrs>(node.attrs);
    const ValueId dy = before_activation(g, node, attrs.activation);
    if (g.wanted(node, 1)) {
        const DenseAttrs w{.bias = node.inputs.size() == 3, .tf32 = attrs.tf32};
        give_weight_gradients(g, node, g.graph().apply(OpKind::kDenseWgrad, sub(node, "dw"), w, {node.inputs[0], dy}));
    }
    if (g.wanted(node, 0)) {
        const DenseAttrs x{.tf32 = attrs.tf32};
        g.give(node, 0, g.graph().apply1(OpKind::kDenseDgrad, sub(node, "dx"), x, {dy, node.inputs[1]}));
    }
}

void grad_bias(Gradients& g, const Node& node) {
    const ValueId dy = g.of_output(node);
    g.give(node, 0, dy);
    if (g.wanted(node, 1)) {
        g.give(node, 1, g.graph().apply1(OpKind::kBiasGrad, sub(node, "db"), NoAttrs{}, {dy}));
    }
}

void grad_batch_norm(Gradients& g, const Node& node) {
    BatchNormAttrs attrs = std::get<BatchNormAttrs>(node.attrs);
    attrs.residual = node.inputs.size() == 4;
    std::vector<ValueId> inputs{g.of_output(node), node.inputs[0], node.inputs[1], node.outputs[1], node.outputs[2]};
    if (attrs.residual || attrs.activation != Activation::kNone) {
        inputs.insert(inputs.end(), {node.inputs[2], node.outputs[0]});
    }
    const auto outputs = g.graph().apply(OpKind::kBatchNormGrad, sub(node, "dx"), attrs, inputs);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        g.give(node, i, outputs[i]);
    }
}

void grad_batch_norm_pool(Gradients& g, const Node& node) {
    const auto outputs = g.graph().apply(OpKind::kBatchNormPoolGrad, sub(node, "dx"), node.attrs,
                                         {g.of_output(node), node.outputs[0], node.outputs[1], node.inputs[0],
                                          node.inputs[1], node.outputs[2], node.outputs[3], node.inputs[2]});
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        g.give(node, i, outputs[i]);
    }
}

void grad_batch_norm_inference(Gradients& g, const Node& node) {
    FER_CHECK(!g.wanted(node, 1) && !g.wanted(node, 2),
              "batch_norm_inference '{}': gamma and beta cannot be trained with frozen statistics", node.name);
    const ValueId dy = before_activation(g, node, std::get<BatchNormAttrs>(node.attrs).activation);
    g.give(node, 0,
           g.graph().apply1(OpKind::kBatchNormInferenceGrad, sub(node, "dx"), node.attrs,
                            {dy, node.inputs[1], node.inputs[4]}));
    if (node.inputs.size() == 6) {
        g.give(node, 5, dy);
    }
}

// dx = dy * gamma / sqrt(variance + epsilon) is linear in dy: fused norms scale the weights before them by it.
void grad_batch_norm_inference_grad(Gradients& g, const Node& node) {
    g.give(node, 0,
           g.graph().apply1(OpKind::kBatchNormInferenceGrad, sub(node, "dx"), node.attrs,
                            {g.of_output(node), node.inputs[1], node.inputs[2]}));
}

void grad_relu(Gradients& g, const Node& node) {
    g.give(node, 0,
           g.graph().apply1(OpKind::kReluGrad, sub(node, "dx"), NoAttrs{}, {g.of_output(node), node.outputs[0]}));
}

void grad_relu6(Gradients& g, const Node& node) {
    g.give(node, 0,
           g.graph().apply1(OpKind::kRelu6Grad, sub(node, "dx"), NoAttrs{}, {g.of_output(node), node.outputs[0]}));
}

void grad_softmax(Gradients& g, const Node& node) {
    g.give(node, 0,
           g.graph().apply1(OpKind::kSoftmaxGrad, sub(node, "dx"), NoAttrs{}, {g.of_output(node), node.outputs[0]}));
}

void grad_softmax_xent(Gradients& g, const Node& node) {
    std::vector<ValueId> inputs{node.outputs[1], node.inputs[1], node.inputs[2], g.of_output(node)};
    inputs.insert(inputs.end(), node.inputs.begin() + 3, node.inputs.end());  // what mixup adds
    g.give(node, 0, g.graph().apply1(OpKind::kSoftmaxXentGrad, sub(node, "dx"), node.attrs, inputs));
}

void grad_max_pool(Gradients& g, const Node& node) {
    PoolAttrs attrs = std::get<PoolAttrs>(node.attrs);
    attrs.input = g.graph().value(node.inputs[0]).info.shape;
    g.give(node, 0,
           g.graph().apply1(OpKind::kMaxPoolGrad, sub(node, "dx"), attrs, {g.of_output(node), node.outputs[1]}));
}

void grad_avg_pool(Gradients& g, const Node& node) {
    PoolAttrs attrs = std::get<PoolAttrs>(node.attrs);
    attrs.input = g.graph().value(node.inputs[0]).info.shape;
    g.give(node, 0, g.graph().apply1(OpKind::kAvgPoolGrad, sub(node, "dx"), attrs, {g.of_output(node)}));
}

void grad_global_avg_pool(Gradients& g, const Node& node) {
    const ShapeAttrs attrs{g.graph().value(node.inputs[0]).info.shape};
    g.give(node, 0, g.graph().apply1(OpKind::kGlobalAvgPoolGrad, sub(node, "dx"), attrs, {g.of_output(node)}));
}

void grad_zero_pad(Gradients& g, const Node& node) {
    g.give(node, 0, g.graph().apply1(OpKind::kCrop, sub(node, "dx"), node.attrs, {g.of_output(node)}));
}

void grad_add(Gradients& g, const Node& node) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        g.give(node, i, g.of_output(node));
    }
}

void grad_flatten(Gradients& g, const Node& node) {
    const ShapeAttrs attrs{g.graph().value(node.inputs[0]).info.shape};
    g.give(node, 0, g.graph().apply1(OpKind::kUnflatten, sub(node, "dx"), attrs, {g.of_output(node)}));
}

void grad_unflatten(Gradients& g, const Node& node) {
    g.give(node, 0, g.graph().apply1(OpKind::kFlatten, sub(node, "dx"), NoAttrs{}, {g.of_output(node)}));
}

// The same stream at the same step draws the same mask.
void grad_dropout(Gradients& g, const Node& node) {
    g.give(node, 0,
           g.graph().apply1(OpKind::kDropout, sub(node, "dx"), node.attrs, {g.of_output(node), node.inputs[1]}));
}

void grad_l2_penalty(Gradients& g, const Node& node) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        if (g.wanted(node, i)) {
            g.give(node, i,
                   g.graph().apply1(OpKind::kL2Grad, sub(node, "d") + g.graph().value(node.inputs[i]).name, node.attrs,
                                    {node.inputs[i], g.of_output(node)}));
        }
    }
}

void grad_cast(Gradients& g, const Node& node) {
    const CastAttrs back{g.graph().value(node.inputs[0]).info.dtype};
    const ValueId dy = g.of_output(node);  // that of weights is float32 already, whatever the products take
    const bool there = g.graph().value(dy).info.dtype == back.to;
    g.give(node, 0, there ? dy : g.graph().apply1(OpKind::kCast, sub(node, "dx"), back, {dy}));
}

}  // namespace fer::rules
