// The CPU reference in mixed precision: every node computes in float32 what it is given and rounds its results to the
// types the graph says, at the same places as a GPU's kernels. Differences that are left come from the order of sums.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/half.hpp"
#include "engine/run/cpu/cpu_device.hpp"

namespace fer::test {

inline bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

/// The same node with float32 in place of 16-bit types, and no rounding asked for.
inline OpDesc widened(OpDesc op) {
    for (auto* tensors : {&op.in, &op.out, &op.state}) {
        for (TensorInfo& info : *tensors) {
            info.dtype = is_half(info.dtype) ? DType::kF32 : info.dtype;
        }
    }
    std::visit(
        [](auto& attrs) {
            if constexpr (requires { attrs.to = DType::kF32; }) {
                attrs.to = is_half(attrs.to) ? DType::kF32 : attrs.to;
            }
        },
        op.attrs);
    return op;
}

/// To 10 bits of mantissa, ties away from zero, as cvt.rna.tf32 does.
inline float to_tf32(float v) {
    return std::bit_cast<float>((std::bit_cast<std::uint32_t>(v) + 0x1000) & ~std::uint32_t{0x1fff});
}

/// One operand as the reference wants it: itself, or a float32 copy.
class Widened {
public:
    Widened(void* address, const TensorInfo& info, bool read, bool tf32)
        : address_(address), info_(info), copied_(is_half(info.dtype) || (tf32 && info.dtype == DType::kF32)) {
        if (!copied_) {
            return;
        }
        values_.resize(static_cast<std::size_t>(info.shape.count()));
        for (std::size_t i = 0; read && i < values_.size(); ++i) {
            values_[i] = tf32 && info.dtype == DType::kF32 ? to_tf32(static_cast<float*>(address)[i]) : half(i);
        }
    }
    void* data() { return copied_ ? values_.data() : address_; }
    void write_back() {
        auto* halves = static_cast<std::uint16_t*>(address_);
        for (std::size_t i = 0; copied_ && i < values_.size(); ++i) {
            halves[i] = info_.dtype == DType::kF16 ? to_f16(values_[i]) : to_bf16(values_[i]);
        }
    }

private:
    float half(std::size_t i) const {
        const std::uint16_t bits = static_cast<std::uint16_t*>(address_)[i];
        return info_.dtype == DType::kF16 ? from_f16(bits) : from_bf16(bits);
    }

    void* address_;
    TensorInfo info_;
    bool copied_;
    std::vector<float> values_;
};

/// Depthwise kernels have no use for matrix units.
inline bool asks_for_tf32(const OpDesc& op) {
    if (op.kind == OpKind::kDepthwiseConv || op.kind == OpKind::kDepthwiseDgrad || op.kind == OpKind::kDepthwiseWgrad) {
        return false;
    }
    const auto* conv = std::get_if<ConvAttrs>(&op.attrs);
    const auto* dense = std::get_if<DenseAttrs>(&op.attrs);
    return (conv != nullptr && conv->tf32) || (dense != nullptr && dense->tf32);
}

inline Kernel rounded(const OpDesc& op) {
    const Kernel reference = cpu_device(true).implementations(op.kind).back().make(widened(op));
    return [op, reference](const Operands& t) {
        std::vector<Widened> all;
        std::vector<void*> in, out, state;
        all.reserve(t.in.size() + t.out.size() + t.state.size());
        for (std::size_t i = 0; i < t.in.size(); ++i) {
            in.push_back(all.emplace_back(t.in[i], op.in[i], true, asks_for_tf32(op) && i < 2).data());
        }
        for (std::size_t i = 0; i < t.out.size(); ++i) {
            out.push_back(all.emplace_back(t.out[i], op.out[i], false, false).data());
        }
        for (std::size_t i = 0; i < t.state.size(); ++i) {
            state.push_back(all.emplace_back(t.state[i], op.state[i], true, false).data());
        }
        reference({in, out, state, t.workspace, t.queue});
        for (std::size_t i = t.in.size(); i < all.size(); ++i) {
            all[i].write_back();
        }
    };
}

/// Runs the graphs of `like`, fused as there.
class RoundingDevice : public Device {
public:
    explicit RoundingDevice(const Device& like) : fusions_(like.fusions()) {
        for (int kind = 0; kind < static_cast<int>(OpKind::kCount); ++kind) {
            const auto list = cpu_device(true).implementations(static_cast<OpKind>(kind));
            Implementation one = list.empty() ? Implementation{} : list.back();
            one.name = "rounded reference";
            one.refuses = nullptr;
            one.make = rounded;
            lists_.push_back({one});
        }
    }
    std::string_view name() const override { return "rounding"; }
    std::string_view fusions() const override { return fusions_; }
    std::span<const Implementation> implementations(OpKind kind) const override {
        return lists_[static_cast<std::size_t>(kind)];
    }

private:
    std::string fusions_;
    std::vector<std::vector<Implementation>> lists_;
};

}  // namespace fer::test
