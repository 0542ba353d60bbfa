// Our networks as ONNX graphs, and ONNX graphs of that kind as ours.
#pragma once

#include "engine/formats/onnx.hpp"
#include "engine/interchange/run_network.hpp"

namespace fer {

/// Images in channels first, as ONNX computes, behind one transposition of the input (N, h, w, c). Every padding is
/// written out in pixels; batch norms are nodes in their inference form; a flatten is preceded by a transposition, so
/// that a dense kernel's rows keep their order. Output: "probabilities", or "logits" if the model has no softmax.
/// UsageError for an op that inference does not have.
OnnxModel to_onnx(const ModelBuilder& build, const VariableValues& values, const Shape& image, bool softmax,
                  const std::string& name);

/// Output of the graph on `images` (n, h, w, c), by our own ops. The values of kernels, paddings and orders are taken
/// from the ONNX graph alone. DataError for what to_onnx() does not write.
std::vector<float> run_onnx(const OnnxModel& model, const Shape& images, std::span<const float> pixels,
                            const Device& device);

}  // namespace fer
