// Runs a case of tests/golden/ops.safetensors: forward and gradient ops one by one.
#pragma once

#include <map>
#include <string>

#include "tests/support/golden.hpp"
#include "tests/support/op_runner.hpp"

namespace fer::test {

/// Named as in the file: y, dx, dkernel, dbias, penalty, dgamma, dbeta, moving_mean, probabilities, loss, dlogits.
using Results = std::map<std::string, Tensor>;

class GoldenOp {
public:
    /// `device`: whose first accepting implementation runs; `real`: the type everything is computed in.
    GoldenOp(const nlohmann::json& c, const Device& device, DType real) : case_(c), device_(device), real_(real) {}

    Results run() const {
        const auto op = case_["op"].get<std::string>();
        if (op.starts_with("conv2d") || op == "depthwise_conv") {
            return convolution(op == "depthwise_conv");
        }
        if (op.starts_with("dense")) {
            return dense();
        }
        if (op == "max_pool" || op == "average_pool") {
            return pool(op == "max_pool");
        }
        if (op == "global_average_pool") {
            return global_average_pool();
        }
        if (op == "batch_norm") {
            return case_["mode"] == "training" ? batch_norm() : batch_norm_inference();
        }
        if (op == "softmax_xent") {
            return softmax_xent();
        }
        throw InternalError("no such op: " + op);
    }

private:
    Tensor input(const char* name) const {
        const auto& spec = case_["inputs"][name];
        return {shape_of(spec["shape"]), golden_input(spec), real_};
    }
    Tensor scalar(double value) const { return {Shape{}, {value}, real_}; }

    OpResult op(OpKind kind, const Attributes& attrs, const std::vector<Tensor>& in,
                const std::vector<Tensor>& state = {}) const {
        const OpDesc desc = describe_op(kind, attrs, in, state);
        return run_op(desc, first_accepting(device_, desc), in, state);
    }

    /// Adds the gradient of the L2 term and notes the penalty, in the cases that have one.
    void regularize(Results& results, const Tensor& kernel) const {
        if (!case_.contains("l2")) {
            return;
        }
        const ScalarAttrs factor{case_["l2"].get<float>()};
        results["penalty"] = op(OpKind::kL2Penalty, factor, {kernel}).out[0];
        const Tensor extra = op(OpKind::kL2Grad, factor, {kernel, scalar(1)}).out[0];
        results["dkernel"] = op(OpKind::kAdd, NoAttrs{}, {results["dkernel"], extra}).out[0];
    }

    Results convolution(bool depthwise) const {
        const Tensor x = input("x"), kernel = input("kernel"), bias = input("bias"), dy = input("dy");
        ConvAttrs attrs{.stride = case_["stride"].get<int>(),
                        .padding = case_["padding"] == "same" ? Padding::kSame : Padding::kValid};
        ConvAttrs data = attrs, weights = attrs;
        data.input = x.shape;
        weights.kernel = kernel.shape;
        weights.bias = !depthwise;
        Results results;
        if (depthwise) {
            const Tensor y = op(OpKind::kDepthwiseConv, attrs, {x, kernel}).out[0];
            results["y"] = op(OpKind::kBias, NoAttrs{}, {y, bias}).out[0];
            results["dkernel"] = op(OpKind::kDepthwiseWgrad, weights, {x, dy}).out[0];
            results["dbias"] = op(OpKind::kBiasGrad, NoAttrs{}, {dy}).out[0];
            results["dx"] = op(OpKind::kDepthwiseDgrad, data, {dy, kernel}).out[0];
            return results;
        }
        results["y"] = op(OpKind::kConv2d, attrs, {x, kernel, bias}).out[0];
        results["dx"] = op(OpKind::kConv2dDgrad, data, {dy, kernel}).out[0];
        const OpResult w = op(OpKind::kConv2dWgrad, weights, {x, dy});
        results["dkernel"] = w.out[0];
        results["dbias"] = w.out[1];
        regularize(results, kernel);
        return results;
    }

    Results dense() const {
        const Tensor x = input("x"), kernel = input("kernel"), bias = input("bias"), dy = input("dy");
        const OpResult w = op(OpKind::kDenseWgrad, DenseAttrs{.bias = true}, {x, dy});
        Results results{{"y", op(OpKind::kDense, DenseAttrs{}, {x, kernel, bias}).out[0]},
                        {"dx", op(OpKind::kDenseDgrad, DenseAttrs{}, {dy, kernel}).out[0]},
                        {"dkernel", w.out[0]},
                        {"dbias", w.out[1]}};
        regularize(results, kernel);
        return results;
    }

    Results pool(bool max) const {
        const Tensor x = input("x"), dy = input("dy");
        PoolAttrs attrs{case_["k"].get<int>(),
                        case_["stride"].get<int>(),
                        case_["padding"] == "same" ? Padding::kSame : Padding::kValid,
                        {}};
        const OpResult forward = op(max ? OpKind::kMaxPool : OpKind::kAvgPool, attrs, {x});
        attrs.input = x.shape;
        const OpResult backward =
            max ? op(OpKind::kMaxPoolGrad, attrs, {dy, forward.out[1]}) : op(OpKind::kAvgPoolGrad, attrs, {dy});
        return {{"y", forward.out[0]}, {"dx", backward.out[0]}};
    }

    Results global_average_pool() const {
        const Tensor x = input("x");
        return {{"y", op(OpKind::kGlobalAvgPool, NoAttrs{}, {x}).out[0]},
                {"dx", op(OpKind::kGlobalAvgPoolGrad, ShapeAttrs{x.shape}, {input("dy")}).out[0]}};
    }

    BatchNormAttrs batch_norm_attrs() const {
        // Keras computes 1 - momentum and rounds that to float32, in its float64 path too.
        const double rate = static_cast<double>(static_cast<float>(1.0 - case_["momentum"].get<double>()));
        return {.momentum = 1.0 - rate, .epsilon = case_["epsilon"].get<double>()};
    }

    Results batch_norm() const {
        const Tensor x = input("x"), gamma = input("gamma");
        const OpResult y = op(OpKind::kBatchNorm, batch_norm_attrs(), {x, gamma, input("beta")},
                              {input("moving_mean"), input("moving_variance")});
        const OpResult d = op(OpKind::kBatchNormGrad, batch_norm_attrs(), {input("dy"), x, gamma, y.out[1], y.out[2]});
        return {{"y", y.out[0]},  {"moving_mean", y.state[0]}, {"moving_variance", y.state[1]},
                {"dx", d.out[0]}, {"dgamma", d.out[1]},        {"dbeta", d.out[2]}};
    }

    // gamma and beta cannot be trained on frozen statistics: their gradients are not offered.
    Results batch_norm_inference() const {
        const Tensor gamma = input("gamma"), variance = input("moving_variance");
        return {{"y", op(OpKind::kBatchNormInference, batch_norm_attrs(),
                         {input("x"), gamma, input("beta"), input("moving_mean"), variance})
                          .out[0]},
                {"dx", op(OpKind::kBatchNormInferenceGrad, batch_norm_attrs(), {input("dy"), gamma, variance}).out[0]}};
    }

    Results softmax_xent() const {
        const Tensor logits = input("logits");
        Tensor labels{{logits.shape[0]}, case_["labels"].get<std::vector<double>>(), DType::kI32};
        Tensor weights{{logits.shape[1]}, std::vector<double>(static_cast<std::size_t>(logits.shape[1]), 1.0), real_};
        if (!case_["class_weight"].is_null()) {
            weights.values = case_["class_weight"].get<std::vector<double>>();
        }
        const XentAttrs attrs{case_["label_smoothing"].get<float>()};
        const OpResult y = op(OpKind::kSoftmaxXent, attrs, {logits, labels, weights});
        return {{"loss", y.out[0]},
                {"probabilities", y.out[1]},
                {"dlogits", op(OpKind::kSoftmaxXentGrad, attrs, {y.out[1], labels, weights, scalar(1)}).out[0]}};
    }

    const nlohmann::json& case_;
    const Device& device_;
    DType real_;
};

}  // namespace fer::test
