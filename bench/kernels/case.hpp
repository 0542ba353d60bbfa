// One thing to measure: a launcher on one layer's shapes in one arithmetic.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench/kernels/memory.hpp"
#include "bench/layer_shapes.hpp"

namespace fer::FER_PORT {

/// A storage type and how it is multiplied.
struct Arithmetic {
    const char* name;
    DType dtype;
    bool tf32 = false;
};
inline constexpr Arithmetic kF32{"f32", DType::kF32};
inline constexpr Arithmetic kTf32{"tf32", DType::kF32, true};
inline constexpr Arithmetic kF16{"f16", DType::kF16};
inline constexpr Arithmetic kBF16{"bf16", DType::kBF16};
inline constexpr Arithmetic kStorage[] = {kF32, kF16, kBF16};
inline constexpr Arithmetic kProducts[] = {kF32, kTf32, kF16, kBF16};

/// Launches the kernel once; nothing is allocated.
using Run = std::function<void(cudaStream_t)>;

struct Case {
    std::string family;  // the launcher: conv2d_fwd
    Arithmetic arithmetic = kF32;
    std::string where;       // the layer: custom_cnn/conv2d_3
    std::string shape;       // all that the launch depends on
    std::int64_t flops = 0;  // two per multiply-add; 0 where bytes are all that matters
    bool tensor = false;     // by tensor cores, unless in f32
    bool exact = false;      // from small integers every device makes the same bits
    std::string equals;      // cases of one name make the same bits from small integers
    std::function<Run(Memory&)> prepare;

    std::string name() const { return family + "/" + arithmetic.name + "/" + where; }
    /// Read and written once.
    std::int64_t bytes() const {
        Memory memory(Content::kCount);
        prepare(memory);
        return memory.bytes();
    }
};

class Cases {
public:
    /// Unless there is one with the same family, arithmetic and shape. A second of the same name gets a number.
    void add(Case c);
    std::vector<Case> take() { return std::move(cases_); }

private:
    std::vector<Case> cases_;
};

/// The networks' layers as they train at one batch, and those that fusion makes disappear.
class Layers {
public:
    /// `width` scales the networks' channels. `trunks`: the transfer networks at 224x224 too.
    Layers(std::int64_t batch, float width, bool trunks);

    std::int64_t batch() const { return batch_; }
    /// As trained: not narrowed.
    bool full() const { return width_ == 1; }
    std::span<const bench::LayerShape> all() const { return shapes_; }
    std::vector<bench::LayerShape> of(OpKind kind) const;
    /// Parameters that an optimizer updates, by network.
    struct Block {
        std::string network;
        std::int64_t parameters;
    };
    const std::vector<Block>& blocks() const { return blocks_; }

private:
    std::int64_t batch_;
    float width_;
    std::vector<bench::LayerShape> shapes_;
    std::vector<Block> blocks_;
};

/// A launcher with its arguments.
template <class Args>
Run launch_of(void (*launcher)(const Args&, cudaStream_t), const Args& args) {
    return [launcher, args](cudaStream_t stream) { launcher(args, stream); };
}

inline int as_int(std::int64_t v) { return static_cast<int>(v); }
/// "64x48x48x1"
std::string text_of(const Shape& shape);

/// All that a program offers; each program has its own.
std::vector<Case> all_cases(const Layers& layers);

}  // namespace fer::FER_PORT
