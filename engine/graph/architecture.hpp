// A network as data: the layers of a model that came in a file, and the way back from a graph.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/net.hpp"

namespace fer {

struct Step;

/// The layers of Keras that a description may hold.
enum class LayerKind : std::uint8_t {
    kConv2d,
    kSeparableConv2d,
    kDepthwiseConv2d,
    kDense,
    kBatchNorm,
    kActivation,  // ReLU or ReLU6
    kMaxPool,
    kAvgPool,
    kGlobalAvgPool,
    kGlobalMaxPool,
    kZeroPad,
    kAdd,
    kDropout,
    kFlatten,
    kReshape,
    kRescaling,
    kIdentity,  // passes its input on: a linear activation
};

/// One layer. Which fields count follows from its kind; kernels, windows and strides are square.
struct LayerSpec {
    LayerKind kind = LayerKind::kIdentity;
    std::string name;                 // of its own in the network
    std::vector<std::string> inputs;  // names of earlier layers, or of the input
    int units = 0;                    // filters of a convolution, units of a dense layer
    int window = 1;                   // side of a kernel or of a pooling window
    int stride = 1;
    Padding padding = Padding::kValid;
    bool bias = true;
    Activation activation = Activation::kNone;  // behind a convolution or dense layer; what an activation computes
    float l2 = 0;                               // of the kernel
    float rate = 0;                             // of a dropout
    BatchNormAttrs norm;                        // momentum and epsilon
    NormOptions learned;
    bool keep_axes = false;  // of a global pool
    PadAttrs pad;
    Shape target;          // of a reshape, without the batch
    RescaleAttrs rescale;  // of a rescaling
    bool trainable = true;
};

/// Layers in an order in which each comes after its inputs; the last one gives the logits, or the features of a network
/// without a classifier.
struct Architecture {
    std::string name;
    std::string input = "input";
    int height = 0, width = 0, channels = 0;
    std::vector<LayerSpec> layers;
    bool softmax = true;  // the model's own output: probabilities, or what stands before the softmax
};

/// Writes the layers into a Net. What the shapes do not allow is a UsageError naming the layer.
ModelBuilder builder_of(const Architecture& architecture);

/// Writes one layer behind `outputs`, the values of the input and of earlier layers by name, and adds its own.
void write_layer(Net& net, const LayerSpec& layer, std::map<std::string, ValueId>& outputs);

/// Names of the variables of one layer, in Keras's order: kernel, bias; gamma, beta, moving_mean, moving_variance.
/// Gamma and beta are named only if the layer has them.
std::vector<std::string> variables_of(const LayerSpec& layer);

/// Width of the last layer. UsageError if it does not give a vector.
int classes_of(const Architecture& architecture);

/// One image through it, without fusions: its layers, variables and shapes. `classes` follow from the last layer.
/// UsageError for shapes that do not fit, and if the last layer does not give a vector.
Step evaluation_step_of(const Architecture& architecture);

/// The description of a network that was built by code. `step` is a training step without fusions, so that dropout
/// rates, momenta and L2 factors are in it. UsageError for a layer that no kind stands for.
Architecture architecture_of(const Step& step, const std::string& name);

}  // namespace fer
