// One row per op: name, shape rule, gradient rule, cost. A missing row does not compile.
#pragma once

#include <span>
#include <string_view>

#include "engine/graph/op.hpp"

namespace fer {

class Gradients;
struct Node;

/// Shapes and types of the outputs. Throws UsageError when the inputs do not fit; the graph adds the node's name.
using InferRule = std::vector<TensorInfo> (*)(const OpDesc&);
/// Appends the nodes of the gradient; null where no gradient exists (data, gradients, updates).
using GradRule = void (*)(Gradients&, const Node&);
/// Floating-point operations, two per multiply-add; null counts as zero.
using FlopRule = std::int64_t (*)(const OpDesc&);

enum class Traits : unsigned {
    kNone = 0,
    kView = 1,     // the output is the input's memory under another shape
    kInPlace = 2,  // output 0 may overwrite input 0 when nobody else needs it
};

struct OpSpec {
    OpKind kind;
    std::string_view name;
    std::string_view outputs;  // names of the outputs, separated by spaces
    InferRule infer;
    GradRule grad;
    FlopRule flops;
    Traits traits;
};

const OpSpec& spec_of(OpKind kind);
std::span<const OpSpec> all_ops();

inline std::string_view name_of(OpKind kind) { return spec_of(kind).name; }
inline bool is_view(OpKind kind) { return spec_of(kind).traits == Traits::kView; }
inline bool is_optimizer(OpKind kind) {
    return kind == OpKind::kAdam || kind == OpKind::kSgd || kind == OpKind::kRmsProp;
}
/// Inputs 0 to 3: images, labels, order and clock.
inline bool reads_data_set(OpKind kind) {
    return kind == OpKind::kGather || kind == OpKind::kImageBatch || kind == OpKind::kImageConv;
}
inline bool may_overwrite(OpKind kind) { return spec_of(kind).traits == Traits::kInPlace; }
inline std::int64_t flops_of(const OpDesc& op) {
    const FlopRule rule = spec_of(op.kind).flops;
    return rule == nullptr ? 0 : rule(op);
}

}  // namespace fer
