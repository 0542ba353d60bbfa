#include "kernels/batch_norm.hpp"

#include <algorithm>

#include "bench/kernels/families.hpp"
#include "kernels/bias.hpp"

namespace fer::FER_PORT {
namespace {

/// (rows, c): all axes but the last are rows.
struct Rows {
    std::string where, shape;
    std::int64_t rows;
    int c;
    int n = 0, h = 0, w = 0;  // of images

    explicit Rows(const bench::LayerShape& at) : where(at.where), shape(text_of(at.op.in[0].shape)) {
        const Shape& x = at.op.in[0].shape;
        c = as_int(x.back());
        rows = x.back() == 0 ? 0 : x.count() / x.back();
        if (x.rank() == 4) {
            n = as_int(x[0]);
            h = as_int(x[1]);
            w = as_int(x[2]);
        }
    }
    std::int64_t count() const { return rows * c; }
    std::int64_t pooled() const { return std::int64_t{n} * (h / 2) * (w / 2) * c; }

    Case start(const char* family, const Arithmetic& how) const {
        return {.family = family,
                .arithmetic = how,
                .where = where,
                .shape = shape,
                .flops = 0,
                .tensor = false,
                .exact = false,
                .equals = {},
                .prepare = {}};
    }
};

Case stats(const Rows& r, const Arithmetic& how) {
    Case c = r.start("batch_norm_stats", how);
    c.prepare = [r, type = how.dtype](Memory& m) {
        return launch_of(batch_norm_stats,
                         {.x = m.input(r.count(), type),
                          .dtype = type,
                          .rows = r.rows,
                          .c = r.c,
                          .mean = m.output_floats(r.c),
                          .variance = m.output_floats(r.c),
                          .moving_mean = m.updated_floats(r.c),
                          .moving_variance = m.updated_positive(r.c),
                          .unbiased = r.h > 0,
                          .workspace = m.workspace(static_cast<std::int64_t>(batch_norm_workspace(r.rows, r.c)))});
    };
    return c;
}

/// From what a convolution's epilogue leaves behind: one part per 128 rows.
Case finalize(const Rows& r) {
    constexpr std::int64_t kRowsPerPart = 128;
    const std::int64_t parts = (r.rows + kRowsPerPart - 1) / kRowsPerPart;
    Case c = r.start("batch_norm_finalize", kF32);
    c.shape = fmt::format("{} parts of {}", parts, r.c);
    c.prepare = [r, parts](Memory& m) {
        return launch_of(batch_norm_finalize, {.partials = m.positive(parts * 2 * r.c),
                                               .rows = r.rows,
                                               .rows_per_part = kRowsPerPart,
                                               .c = r.c,
                                               .mean = m.output_floats(r.c),
                                               .variance = m.output_floats(r.c),
                                               .moving_mean = m.updated_floats(r.c),
                                               .moving_variance = m.updated_positive(r.c),
                                               .unbiased = true});
    };
    return c;
}

Case apply(const Rows& r, const Arithmetic& how, Activation activation) {
    Case c = r.start("batch_norm_apply", how);
    c.shape += activation == Activation::kRelu ? " relu" : "";
    c.prepare = [r, activation, type = how.dtype](Memory& m) {
        return launch_of(batch_norm_apply, {.x = m.input(r.count(), type),
                                            .mean = m.floats(r.c),
                                            .variance = m.positive(r.c),
                                            .gamma = m.positive(r.c),
                                            .beta = m.floats(r.c),
                                            .y = m.output(r.count(), type),
                                            .dtype = type,
                                            .rows = r.rows,
                                            .c = r.c,
                                            .activation = activation});
    };
    return c;
}

Case pool(const Rows& r, const Arithmetic& how) {
    Case c = r.start("batch_norm_pool", how);
    c.prepare = [r, type = how.dtype](Memory& m) {
        return launch_of(batch_norm_pool, {.x = m.input(r.count(), type),
                                           .mean = m.floats(r.c),
                                           .variance = m.positive(r.c),
                                           .gamma = m.positive(r.c),
                                           .beta = m.floats(r.c),
                                           .p = m.output(r.pooled(), type),
                                           .argmax = static_cast<std::uint8_t*>(m.output(r.pooled(), DType::kU8)),
                                           .dtype = type,
                                           .n = r.n,
                                           .h = r.h,
                                           .w = r.w,
                                           .c = r.c});
    };
    return c;
}

Case bwd(const Rows& r, const Arithmetic& how) {
    Case c = r.start("batch_norm_bwd", how);
    c.prepare = [r, type = how.dtype](Memory& m) {
        return launch_of(batch_norm_bwd,
                         {.dy = m.input(r.count(), type),
                          .x = m.input(r.count(), type),
                          .mean = m.floats(r.c),
                          .variance = m.positive(r.c),
                          .gamma = m.positive(r.c),
                          .beta = m.floats(r.c),
                          .dx = m.output(r.count(), type),
                          .dgamma = m.output_floats(r.c),
                          .dbeta = m.output_floats(r.c),
                          .dtype = type,
                          .rows = r.rows,
                          .c = r.c,
                          .workspace = m.workspace(static_cast<std::int64_t>(batch_norm_workspace(r.rows, r.c)))});
    };
    return c;
}

Case pool_bwd(const Rows& r, const Arithmetic& how) {
    Case c = r.start("batch_norm_pool_bwd", how);
    c.prepare = [r, type = how.dtype](Memory& m) {
        return launch_of(batch_norm_pool_bwd,
                         {.dp = m.input(r.pooled(), type),
                          .p = m.input(r.pooled(), type),
                          .argmax = m.places(r.pooled(), 4),
                          .x = m.input(r.count(), type),
                          .mean = m.floats(r.c),
                          .variance = m.positive(r.c),
                          .gamma = m.positive(r.c),
                          .beta = m.floats(r.c),
                          .dx = m.output(r.count(), type),
                          .dgamma = m.output_floats(r.c),
                          .dbeta = m.output_floats(r.c),
                          .dtype = type,
                          .n = r.n,
                          .h = r.h,
                          .w = r.w,
                          .c = r.c,
                          .workspace = m.workspace(static_cast<std::int64_t>(batch_norm_workspace(r.rows, r.c)))});
    };
    return c;
}

Case inference_bwd(const Rows& r, const Arithmetic& how) {
    Case c = r.start("batch_norm_inference_bwd", how);
    c.prepare = [r, type = how.dtype](Memory& m) {
        return launch_of(batch_norm_inference_bwd, {.dy = m.input(r.count(), type),
                                                    .variance = m.positive(r.c),
                                                    .gamma = m.positive(r.c),
                                                    .dx = m.output(r.count(), type),
                                                    .dtype = type,
                                                    .rows = r.rows,
                                                    .c = r.c});
    };
    return c;
}

Case bias(const Rows& r, const Arithmetic& how) {
    Case c = r.start("bias_fwd", how);
    c.exact = true;
    c.prepare = [r, type = how.dtype](Memory& m) {
        return launch_of(bias_fwd, {.x = m.input(r.count(), type),
                                    .b = m.floats(r.c),
                                    .y = m.output(r.count(), type),
                                    .dtype = type,
                                    .rows = r.rows,
                                    .c = r.c,
                                    .activation = Activation::kRelu});
    };
    return c;
}

Case bias_grad(const Rows& r, const Arithmetic& how) {
    Case c = r.start("bias_bwd", how);
    c.exact = true;
    c.prepare = [r, type = how.dtype](Memory& m) {
        return launch_of(bias_bwd,
                         {.dy = m.input(r.count(), type),
                          .db = m.output_floats(r.c),
                          .dtype = type,
                          .rows = r.rows,
                          .c = r.c,
                          .workspace = m.workspace(static_cast<std::int64_t>(bias_grad_workspace(r.rows, r.c)))});
    };
    return c;
}

/// Whether a 2x2 pool without padding reads what this batch norm gives.
bool is_pooled(const Layers& layers, const bench::LayerShape& at) {
    return std::ranges::any_of(layers.of(OpKind::kMaxPool), [&](const bench::LayerShape& pool) {
        return pool.op.in[0].shape == at.op.in[0].shape && pool.op.attrs == Attributes(PoolAttrs{});
    });
}

}  // namespace

void add_batch_norms(Cases& cases, const Layers& layers) {
    for (const Arithmetic& how : kStorage) {
        for (const bench::LayerShape& at : layers.of(OpKind::kBatchNorm)) {
            const Rows r(at);
            cases.add(stats(r, how));
            cases.add(finalize(r));
            cases.add(apply(r, how, Activation::kNone));
            cases.add(apply(r, how, Activation::kRelu));
            cases.add(bwd(r, how));
            if (is_pooled(layers, at)) {
                cases.add(pool(r, how));
                cases.add(pool_bwd(r, how));
            }
        }
        for (const bench::LayerShape& at : layers.of(OpKind::kBatchNormInference)) {
            cases.add(apply(Rows(at), how, Activation::kNone));
            cases.add(inference_bwd(Rows(at), how));
        }
        for (const bench::LayerShape& at : layers.of(OpKind::kBias)) {
            cases.add(bias(Rows(at), how));
        }
        for (const bench::LayerShape& at : layers.of(OpKind::kBiasGrad)) {
            cases.add(bias_grad(Rows(at), how));
        }
    }
}

}  // namespace fer::FER_PORT
