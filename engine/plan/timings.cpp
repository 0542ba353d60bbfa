#include "engine/plan/timings.hpp"

#include "engine/graph/op_table.hpp"

namespace fer {
namespace {

const char* text(Activation activation) {
    switch (activation) {
        case Activation::kRelu:
            return " relu";
        case Activation::kRelu6:
            return " relu6";
        case Activation::kNone:
            break;
    }
    return "";
}

std::string text(const std::vector<TensorInfo>& tensors) {
    std::string all;
    for (const TensorInfo& info : tensors) {
        all += fmt::format(" {}{}", name_of(info.dtype), info.shape.str());
    }
    return all;
}

}  // namespace

std::string node_key(const OpDesc& op) {
    std::string attributes;
    if (const auto* conv = std::get_if<ConvAttrs>(&op.attrs)) {
        attributes = fmt::format(" stride {}{}{}{}", conv->stride, conv->padding == Padding::kSame ? " same" : " valid",
                                 text(conv->activation), conv->tf32 ? " tf32" : "");
    } else if (const auto* dense = std::get_if<DenseAttrs>(&op.attrs)) {
        attributes = fmt::format("{}{}", text(dense->activation), dense->tf32 ? " tf32" : "");
    } else {
        return {};
    }
    return fmt::format("{}{}:{} ->{}", name_of(op.kind), attributes, text(op.in), text(op.out));
}

}  // namespace fer
