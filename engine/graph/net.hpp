// What models are written in: a chain of Keras layers appended to a graph.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/graph/graph.hpp"

namespace fer {

enum class Mode : std::uint8_t { kTrain, kInfer };

enum class Init : std::uint8_t { kZeros, kOnes, kGlorotUniform, kHeNormal };

/// A tensor that outlives the step, with how it starts. Fans as Keras counts them.
struct Variable {
    ValueId id = kNoValue;
    Init init = Init::kZeros;
    std::int64_t fan_in = 1;
    std::int64_t fan_out = 1;
    bool trainable = true;
};

/// One row of the summary: a layer as Keras counts them.
struct Layer {
    std::string name;        // conv2d_1
    std::string class_name;  // Conv2D
    ValueId output = kNoValue;
    std::vector<ValueId> variables;
    std::vector<std::string> inputs;  // names of the layers it reads
};

struct ConvOptions {
    int stride = 1;
    Padding padding = Padding::kSame;
    bool bias = true;
    float l2 = 0;  // loss += l2 * sum(kernel^2)
};

struct DenseOptions {
    bool bias = true;
    float l2 = 0;
    Init init = Init::kGlorotUniform;
};

struct NetOptions {
    Mode mode = Mode::kTrain;
    float width = 1;        // multiplies filters and hidden units; the classes stay
    bool dropout = true;    // false: dropout layers pass their input on, for comparisons
    bool trainable = true;  // false: kernels are state, batch norms use their moving statistics
    int freeze = -1;        // this many of the first layers are frozen, whatever the builder says; -1: as it says
};

/// Which of its two learned vectors a batch norm has; the other is ones (gamma) or zeros (beta) and stays so.
struct NormOptions {
    bool scale = true;
    bool center = true;
};

class Net {
public:
    /// Starts at `input`, (n, h, w, c), floating point.
    Net(Graph& graph, ValueId input, ValueId clock, const NetOptions& options);

    /// The next layer's name, instead of Keras's automatic one.
    Net& named(std::string name);
    /// Layers number 0 to `count`-1 of the layer list, the input included, are frozen: their kernels are state and
    /// their batch norms use the moving statistics. Call it before they are added.
    Net& freeze_first(int count);
    /// The same for the next layer alone.
    Net& freeze_next();

    Net& conv(int filters, int kernel, const ConvOptions& options = {});
    /// `filters` as it is, whatever the width factor.
    Net& conv_exact(std::int64_t filters, int kernel, const ConvOptions& options = {});
    Net& separable_conv(int filters, int kernel, const ConvOptions& options = {});
    Net& depthwise_conv(int kernel, const ConvOptions& options = {});
    Net& dense(int units, const DenseOptions& options = {});
    /// The last dense layer: its width is the number of classes whatever the width factor. Softmax lives in the loss.
    Net& logits(int classes, const DenseOptions& options = {});
    Net& relu();
    Net& relu6();
    Net& batch_norm(const BatchNormAttrs& attrs = {}, const NormOptions& options = {});
    Net& max_pool(int window = 2, int stride = 2, Padding padding = Padding::kValid);
    Net& avg_pool(int window = 2, int stride = 2, Padding padding = Padding::kValid);
    /// The result is (n, c), or (n, 1, 1, c) if the axes are kept.
    Net& global_avg_pool(bool keep_axes = false);
    /// The same with maxima; for square inputs of a side up to 16.
    Net& global_max_pool(bool keep_axes = false);
    Net& zero_pad(const PadAttrs& attrs);
    Net& dropout(float rate);
    Net& flatten();
    /// `image` is the shape without the batch; row by row, as Keras.
    Net& reshape(const Shape& image);
    /// y = x * scale + offset. It has no gradient: nothing trained may stand before it.
    Net& rescale(const RescaleAttrs& attrs);
    /// Adds `other`, a value of the same shape.
    Net& add(ValueId other) { return add(std::span<const ValueId>(&other, 1)); }
    Net& add(std::span<const ValueId> others);

    /// The value the next layer will read, for shortcuts.
    ValueId here() const { return here_; }
    Shape shape() const { return graph_.value(here_).info.shape; }
    /// Goes on from an earlier value.
    Net& from(ValueId value);

    const std::vector<Layer>& layers() const { return layers_; }
    const std::vector<Variable>& variables() const { return variables_; }
    /// Kernels with an L2 factor, grouped by factor.
    const std::map<float, std::vector<ValueId>>& l2() const { return l2_; }

private:
    /// Opens a layer under Keras's automatic name: conv2d, conv2d_1, ...
    std::string open(const char* class_name, const char* base);
    void close(ValueId output);
    ValueId variable(const char* name, const Shape& shape, Init init, std::int64_t fan_in, std::int64_t fan_out,
                     bool trainable = true);
    /// An activation right behind a convolution or dense layer belongs to that layer, as in Keras.
    Net& activation(OpKind kind, const char* class_name, const char* base);
    /// `image` behind the batch axis; the same bytes.
    ValueId reshaped(ValueId value, const std::string& name, const Shape& image);
    void dense_layer(std::int64_t units, const DenseOptions& options);
    std::int64_t scaled(int width) const;
    /// Of the layer that is open.
    bool trainable() const {
        return options_.trainable && !frozen_ && static_cast<int>(layers_.size()) > frozen_layers_;
    }

    Graph& graph_;
    ValueId here_;
    ValueId clock_;
    NetOptions options_;
    std::vector<Layer> layers_;
    std::vector<Variable> variables_;
    std::map<float, std::vector<ValueId>> l2_;
    std::map<std::string, int> names_;
    std::string next_name_;
    int frozen_layers_ = 0;
    bool freeze_next_ = false;
    bool frozen_ = false;                      // the layer that is open
    std::map<ValueId, std::string> layer_of_;  // output value -> layer name
};

/// A model writes its layers behind the input. A function of models/, or one that follows a description.
using ModelBuilder = std::function<void(Net&)>;

}  // namespace fer
