#include "bench/kernels/families.hpp"
#include "kernels/counters.hpp"
#include "kernels/fill.hpp"
#include "kernels/l2.hpp"
#include "kernels/softmax_xent.hpp"

namespace fer::FER_PORT {
namespace {

constexpr float kLambda = 0x1p-7f;  // close to the networks' 0.01, and exact

Case start(const char* family, const Arithmetic& how, const std::string& where, std::string shape, bool exact) {
    return {.family = family,
            .arithmetic = how,
            .where = where,
            .shape = std::move(shape),
            .flops = 0,
            .tensor = false,
            .exact = exact,
            .equals = {},
            .prepare = {}};
}

void add_softmax(Cases& cases, const bench::LayerShape& at, const Arithmetic& how) {
    const Shape& x = at.op.in[0].shape;
    const int n = as_int(x[0]);
    const int classes = as_int(x[1]);
    const DType type = how.dtype;

    Case fused = start("softmax_xent", how, at.where, text_of(x), false);
    fused.prepare = [=](Memory& m) {
        SoftmaxXent a{.x = m.input(n * classes, type),
                      .labels = m.labels(n, classes),
                      .weights = m.positive(classes),
                      .loss = m.output_floats(1),
                      .p = m.output_floats(n * classes),
                      .hits = static_cast<std::uint8_t*>(m.output(n, DType::kU8)),
                      .dx = m.output(n * classes, type),
                      .dtype = type,
                      .n = n,
                      .classes = classes};
        a.workspace = m.workspace(static_cast<std::int64_t>(softmax_xent_workspace(n)));
        return launch_of(softmax_xent, a);
    };
    cases.add(fused);

    Case grad = start("softmax_xent_bwd", how, at.where, text_of(x), false);
    grad.prepare = [=](Memory& m) {
        return launch_of(softmax_xent_bwd, {.p = m.positive(n * classes),
                                            .labels = m.labels(n, classes),
                                            .weights = m.positive(classes),
                                            .dx = m.output(n * classes, type),
                                            .dtype = type,
                                            .n = n,
                                            .classes = classes});
    };
    cases.add(grad);

    Case plain = start("softmax_fwd", how, at.where, text_of(x), false);
    plain.prepare = [=](Memory& m) {
        return launch_of(softmax_fwd, {.x = m.input(n * classes, type),
                                       .p = m.output_floats(n * classes),
                                       .dtype = type,
                                       .n = n,
                                       .classes = classes});
    };
    cases.add(plain);

    Case plain_grad = start("softmax_bwd", how, at.where, text_of(x), false);
    plain_grad.prepare = [=](Memory& m) {
        return launch_of(softmax_bwd, {.dp = m.floats(n * classes),
                                       .p = m.positive(n * classes),
                                       .dx = m.output(n * classes, type),
                                       .dtype = type,
                                       .n = n,
                                       .classes = classes});
    };
    cases.add(plain_grad);
}

Case penalty(const bench::LayerShape& at) {
    std::int64_t count = 0;
    for (const TensorInfo& w : at.op.in) {
        count += w.shape.count();
    }
    Case c = start("l2_penalty", kF32, at.where, std::to_string(count), true);
    c.prepare = [count](Memory& m) {
        return launch_of(l2_penalty,
                         {.w = m.floats(count),
                          .count = count,
                          .lambda = kLambda,
                          .penalty = m.output_floats(1),
                          .workspace = m.workspace(static_cast<std::int64_t>(l2_penalty_workspace(count)))});
    };
    return c;
}

Case penalty_grad(const bench::LayerShape& at) {
    const std::int64_t count = at.op.in[0].shape.count();
    Case c = start("l2_bwd", kF32, at.where, std::to_string(count), true);
    c.prepare = [count](Memory& m) {
        return launch_of(l2_bwd, {.w = m.floats(count),
                                  .dloss = m.positive(1),
                                  .dw = m.output_floats(count),
                                  .count = count,
                                  .lambda = kLambda});
    };
    return c;
}

void add_counters(Cases& cases, std::int64_t batch) {
    Case step = start("advance", {"i64", DType::kI64}, "step", fmt::format("batch {}", batch), true);
    step.prepare = [batch](Memory& m) {
        return launch_of(advance, {.clock = m.updated_of<std::int64_t>({1, 4, 0, 0}), .batch = batch});
    };
    cases.add(step);

    Case dloss = start("fill", kF32, "step", "1", true);
    dloss.prepare = [](Memory& m) { return launch_of(fill, {.y = m.output_floats(1), .count = 1, .value = 1}); };
    cases.add(dloss);

    Case sums = start("metrics", {"f64", DType::kF64}, "step", fmt::format("batch {}", batch), true);
    sums.prepare = [batch](Memory& m) {
        return launch_of(metrics, {.loss = m.positive(1),
                                   .hits = m.places(batch, 2),
                                   .sums = m.updated_of<double>({0, 0, 0, 0}),
                                   .images = as_int(batch)});
    };
    cases.add(sums);
}

}  // namespace

void add_losses(Cases& cases, const Layers& layers) {
    for (const bench::LayerShape& at : layers.of(OpKind::kSoftmaxXent)) {
        for (const Arithmetic& how : kStorage) {
            add_softmax(cases, at, how);
        }
    }
    for (const bench::LayerShape& at : layers.of(OpKind::kL2Penalty)) {
        cases.add(penalty(at));
    }
    for (const bench::LayerShape& at : layers.of(OpKind::kL2Grad)) {
        cases.add(penalty_grad(at));
    }
    add_counters(cases, layers.batch());
}

}  // namespace fer::FER_PORT
