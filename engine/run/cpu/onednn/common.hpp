// What the oneDNN implementations share: plain NHWC/HWIO tensors outside, whatever the primitive prefers inside.
#pragma once

#include <dnnl.hpp>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/plan/implementation.hpp"

namespace fer::cpu::onednn {

inline const dnnl::engine& engine() {
    static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
}
inline dnnl::stream& stream() {
    static dnnl::stream s(engine());
    return s;
}

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Dims = dnnl::memory::dims;

inline Desc f32(const Dims& dims, Tag tag) { return {dims, dnnl::memory::data_type::f32, tag}; }
inline Desc nhwc(const Shape& s) { return f32({s[0], s[3], s[1], s[2]}, Tag::nhwc); }
/// (n, c) for vectors, (n, c, h, w) for images.
inline Desc activations(const Shape& s) { return s.rank() == 4 ? nhwc(s) : f32({s[0], s[1]}, Tag::nc); }
inline Desc vector(std::int64_t n) { return f32({n}, Tag::x); }

/// Scratch memory of one node, handed out piece by piece in the same order when it is sized and when it is used.
class Scratch {
public:
    explicit Scratch(void* base) : base_(static_cast<char*>(base)) {}
    void* take(std::size_t bytes) {
        void* here = base_ + used_;
        used_ += (bytes + 63) / 64 * 64;
        return here;
    }
    std::int64_t used() const { return static_cast<std::int64_t>(used_); }

private:
    char* base_;
    std::size_t used_ = 0;
};

/// A primitive with its arguments: each is a tensor in the caller's layout and, if the primitive wants another, a
/// reorder through scratch memory before or after. What the plan says is fixed is reordered into memory of the call's
/// own, and again only when it may have changed.
class Call {
public:
    enum class Flow { kIn, kOut };

    template <class Primitive, class PrimitiveDesc>
    static std::shared_ptr<Call> make(const PrimitiveDesc& desc) {
        auto call = std::make_shared<Call>();
        call->primitive_ = Primitive(desc);
        call->scratchpad_ = dnnl::memory(desc.scratchpad_desc(), engine(), nullptr);
        return call;
    }

    /// Binds `argument`: `plain` is the layout outside, `inner` the layout of the primitive.
    void bind(int argument, const Desc& plain, const Desc& inner, Flow flow) {
        Slot slot{argument, flow, dnnl::memory(plain, engine(), nullptr), {}, {}, false};
        if (plain != inner) {
            slot.inner = dnnl::memory(inner, engine(), nullptr);
            slot.reorder =
                flow == Flow::kIn ? dnnl::reorder(slot.outer, slot.inner) : dnnl::reorder(slot.inner, slot.outer);
        }
        slots_.push_back(std::move(slot));
    }

    /// `fixed`: OpDesc::fixed of a node whose inputs were bound first, in their order.
    void keep(std::uint32_t fixed) {
        for (std::size_t i = 0; i < slots_.size() && i < 32; ++i) {
            slots_[i].kept = (fixed >> i & 1) != 0 && slots_[i].inner && slots_[i].flow == Flow::kIn;
        }
    }

    /// addresses: one per bind(), in that order. generation: Operands::generation.
    void run(const std::vector<void*>& addresses, void* workspace, std::uint64_t generation = 0) {
        Scratch scratch(workspace);
        std::unordered_map<int, dnnl::memory> arguments;
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            Slot& slot = slots_[i];
            slot.outer.set_data_handle(addresses[i]);
            if (slot.kept) {
                if (slot.inner.get_data_handle() == nullptr) {
                    slot.inner = dnnl::memory(slot.inner.get_desc(), engine());
                    generation_ = ~generation;
                }
                if (generation_ != generation) {
                    slot.reorder.execute(stream(), slot.outer, slot.inner);
                }
            } else if (slot.inner) {
                slot.inner.set_data_handle(scratch.take(slot.inner.get_desc().get_size()));
                if (slot.flow == Flow::kIn) {
                    slot.reorder.execute(stream(), slot.outer, slot.inner);
                }
            }
            arguments.emplace(slot.argument, slot.inner ? slot.inner : slot.outer);
        }
        generation_ = generation;
        scratchpad_.set_data_handle(scratch.take(scratchpad_.get_desc().get_size()));
        arguments.emplace(DNNL_ARG_SCRATCHPAD, scratchpad_);
        primitive_.execute(stream(), arguments);
        for (Slot& slot : slots_) {
            if (slot.inner && slot.flow == Flow::kOut) {
                slot.reorder.execute(stream(), slot.inner, slot.outer);
            }
        }
        stream().wait();
    }

    std::int64_t scratch_bytes() const {
        Scratch scratch(nullptr);
        for (const Slot& slot : slots_) {
            if (slot.inner && !slot.kept) {
                scratch.take(slot.inner.get_desc().get_size());
            }
        }
        scratch.take(scratchpad_.get_desc().get_size());
        return scratch.used();
    }

private:
    struct Slot {
        int argument;
        Flow flow;
        dnnl::memory outer, inner;
        dnnl::reorder reorder;
        bool kept;
    };

    dnnl::primitive primitive_;
    dnnl::memory scratchpad_;
    std::uint64_t generation_ = 0;  // of the kept ones
    std::vector<Slot> slots_;
};

/// Scratch memory is the planner's: no allocation while the step runs.
inline dnnl::primitive_attr planned_scratch() {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attr;
}

/// An activation behind the primitive; before it, if `sum`, what the output held is added.
inline void append_behind(dnnl::primitive_attr& attr, Activation activation, bool sum = false) {
    dnnl::post_ops ops;
    if (sum) {
        ops.append_sum();
    }
    if (activation != Activation::kNone) {
        const bool relu = activation == Activation::kRelu;
        ops.append_eltwise(1.0f, relu ? dnnl::algorithm::eltwise_relu : dnnl::algorithm::eltwise_clip, 0.0f,
                           relu ? 0.0f : 6.0f);
    }
    attr.set_post_ops(ops);
}

/// Only float32, no empty tensors, and the library must have a primitive: `build` tries to make its description.
template <class Build>
Refusal refuse_unless_built(const OpDesc& op, Build build) {
    for (const auto* list : {&op.in, &op.out}) {
        for (const TensorInfo& info : *list) {
            if (info.dtype == DType::kF64) {
                return "oneDNN computes in float32";
            }
            if (info.shape.count() == 0) {
                return "empty tensor";
            }
        }
    }
    if (const auto* norm = std::get_if<BatchNormAttrs>(&op.attrs)) {
        const bool relu = op.kind == OpKind::kBatchNormInference && norm->activation == Activation::kRelu;
        if ((norm->activation != Activation::kNone && !relu) || norm->residual || norm->relu_input ||
            op.in.size() == 4 || op.in.size() == 6) {
            return relu ? "takes no residual" : "takes no such activation and no residual";
        }
        if (op.in[0].shape.rank() == 1) {
            return "a vector is not worth a primitive";
        }
    }
    if (const auto* conv = std::get_if<ConvAttrs>(&op.attrs)) {
        if (conv->statistics) {
            return "takes no statistics";
        }
    }
    try {
        build(op);
        return std::nullopt;
    } catch (const dnnl::error& error) {
        return fmt::format("oneDNN has no primitive for this shape ({})", error.message);
    }
}

template <std::shared_ptr<Call> (*kBuild)(const OpDesc&)>
Refusal refuse_unbuilt(const OpDesc& op) {
    return refuse_unless_built(op, kBuild);
}

/// An implementation whose call binds the node's inputs in order, then its outputs in order.
template <std::shared_ptr<Call> (*kBuild)(const OpDesc&)>
constexpr Implementation in_order(std::string_view name = "onednn",
                                  Refusal (*refuses)(const OpDesc&) = refuse_unbuilt<kBuild>) {
    return {name, refuses,
            [](const OpDesc& op) {
                const auto call = kBuild(op);
                call->keep(op.fixed);
                return call->scratch_bytes();
            },
            [](const OpDesc& op) -> Kernel {
                const auto call = kBuild(op);
                call->keep(op.fixed);
                return [call](const Operands& t) {
                    std::vector<void*> addresses(t.in.begin(), t.in.end());
                    addresses.insert(addresses.end(), t.out.begin(), t.out.end());
                    call->run(addresses, t.workspace, t.generation);
                };
            }};
}

}  // namespace fer::cpu::onednn
