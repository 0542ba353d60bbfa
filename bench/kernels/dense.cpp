#include "kernels/dense.hpp"

#include "bench/kernels/families.hpp"

namespace fer::FER_PORT {
namespace {

struct Layer {
    std::string where;
    int n, k, m;
    bool bias = false;
    Activation activation = Activation::kNone;

    Case start(const char* family, const Arithmetic& how) const {
        return {.family = family,
                .arithmetic = how,
                .where = where,
                .shape = fmt::format("{}x{} by {}x{}{}{}", n, k, k, m, bias ? " bias" : "",
                                     activation == Activation::kRelu ? " relu" : ""),
                .flops = 2 * std::int64_t{n} * k * m,
                .tensor = true,
                .exact = true,
                .equals = {},
                .prepare = {}};
    }
};

std::int64_t product(int a, int b) { return std::int64_t{a} * b; }

Case fwd(const Layer& layer, const Arithmetic& how) {
    Case c = layer.start("dense_fwd", how);
    c.prepare = [layer, how](Memory& memory) {
        const auto& [where, n, k, m, bias, activation] = layer;
        Dense a{.x = memory.input(product(n, k), how.dtype),
                .w = memory.input(product(k, m), how.dtype),
                .bias = bias ? memory.floats(m) : nullptr,
                .y = memory.output(product(n, m), how.dtype),
                .n = n,
                .k = k,
                .m = m,
                .activation = activation,
                .dtype = how.dtype,
                .tf32 = how.tf32};
        a.workspace = memory.workspace(dense_fwd_workspace(a));
        return launch_of(dense_fwd, a);
    };
    return c;
}

Case dgrad(const Layer& layer, const Arithmetic& how) {
    Case c = layer.start("dense_dgrad", how);
    c.prepare = [layer, how](Memory& memory) {
        const auto& [where, n, k, m, bias, activation] = layer;
        DenseDgrad a{.dy = memory.input(product(n, m), how.dtype),
                     .w = memory.input(product(k, m), how.dtype),
                     .dx = memory.output(product(n, k), how.dtype),
                     .n = n,
                     .k = k,
                     .m = m,
                     .dtype = how.dtype,
                     .tf32 = how.tf32};
        a.workspace = memory.workspace(dense_dgrad_workspace(a));
        return launch_of(dense_dgrad, a);
    };
    return c;
}

Case wgrad(const Layer& layer, const Arithmetic& how) {
    Case c = layer.start("dense_wgrad", how);
    c.prepare = [layer, how](Memory& memory) {
        const auto& [where, n, k, m, bias, activation] = layer;
        DenseWgrad a{.x = memory.input(product(n, k), how.dtype),
                     .dy = memory.input(product(n, m), how.dtype),
                     .dw = memory.output(product(k, m), DType::kF32),
                     .dbias = bias ? memory.output_floats(m) : nullptr,
                     .n = n,
                     .k = k,
                     .m = m,
                     .dtype = how.dtype,
                     .dw_dtype = DType::kF32,
                     .tf32 = how.tf32};
        a.workspace = memory.workspace(dense_wgrad_workspace(a));
        return launch_of(dense_wgrad, a);
    };
    return c;
}

}  // namespace

void add_dense(Cases& cases, const Layers& layers) {
    for (const bench::LayerShape& at : layers.all()) {
        const OpDesc& op = at.op;
        if (op.kind != OpKind::kDense && op.kind != OpKind::kDenseDgrad && op.kind != OpKind::kDenseWgrad) {
            continue;
        }
        const Shape& w = op.kind == OpKind::kDenseWgrad ? op.out[0].shape : op.in[1].shape;
        const Layer layer{.where = at.where,
                          .n = as_int(op.in[0].shape[0]),
                          .k = as_int(w[0]),
                          .m = as_int(w[1]),
                          .bias = op.kind == OpKind::kDense ? op.in.size() == 3 : op.out.size() == 2,
                          .activation = op.kind == OpKind::kDense
                                            ? static_cast<Activation>(op.as<DenseAttrs>().activation)
                                            : Activation::kNone};
        for (const Arithmetic& how : kProducts) {
            cases.add(op.kind == OpKind::kDense        ? fwd(layer, how)
                      : op.kind == OpKind::kDenseDgrad ? dgrad(layer, how)
                                                       : wgrad(layer, how));
        }
    }
    if (layers
            .full()) {  // so large that only the tile's own speed is left: what the layers above are to be held against
        for (const Arithmetic& how : kProducts) {
            cases.add(fwd({.where = "square", .n = 8192, .k = 8192, .m = 8192}, how));
        }
    }
}

}  // namespace fer::FER_PORT
