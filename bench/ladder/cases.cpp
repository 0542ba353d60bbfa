// The rungs as cases: bench_ladder is bench_kernels with these.
#include "bench/kernels/conv_layer.hpp"
#include "bench/ladder/ladder.hpp"
#include "engine/graph/op_table.hpp"

namespace fer::FER_PORT {
namespace {

Case start(const char* family, const char* rung, const bench::LayerShape& at) {
    return {.family = fmt::format("{}/{}", family, rung),
            .arithmetic = kBF16,
            .where = at.where,
            .shape = conv_text(at.op),
            .flops = flops_of(at.op),
            .tensor = at.op.kind == OpKind::kConv2d,
            .exact = true,
            .equals = fmt::format("{} {}", family, conv_text(at.op)),
            .prepare = {}};
}

void add_convolution(Cases& cases, const bench::LayerShape& at) {
    const auto s = channels_of<Conv2dShape>(x_of(at.op), w_of(at.op), at.op.as<ConvAttrs>());
    if (s.kh != 3 || s.kw != 3 || s.stride != 1 || s.c % 32 != 0 || s.k % 64 != 0) {
        return;
    }
    for (const Rung<Conv2d>& rung : convolution_ladder()) {
        Case c = start("convolution", rung.name, at);
        c.prepare = [s, run = rung.run](Memory& m) {
            Conv2d a{.shape = s,
                     .x = m.input(count_x(s), DType::kBF16),
                     .w = m.input(count_w(s), DType::kBF16),
                     .y = m.output(count_y(s), DType::kBF16),
                     .dtype = DType::kBF16};
            a.workspace = m.workspace(conv2d_fwd_workspace(a));
            return launch_of(run, a);
        };
        cases.add(c);
    }
}

void add_depthwise(Cases& cases, const bench::LayerShape& at) {
    const auto s = windows_of<DepthwiseShape>(x_of(at.op), w_of(at.op), at.op.as<ConvAttrs>());
    if (s.kh != 3 || s.kw != 3 || s.stride != 1 || s.c % 8 != 0) {
        return;
    }
    for (const Rung<Depthwise>& rung : depthwise_ladder()) {
        Case c = start("depthwise", rung.name, at);
        c.prepare = [s, run = rung.run](Memory& m) {
            const std::int64_t pixels = std::int64_t{s.n} * s.c;
            return launch_of(run, {.shape = s,
                                   .x = m.input(pixels * s.h * s.w, DType::kBF16),
                                   .w = m.input(std::int64_t{9} * s.c, DType::kBF16),
                                   .y = m.output(pixels * s.p * s.q, DType::kBF16),
                                   .dtype = DType::kBF16});
        };
        cases.add(c);
    }
}

}  // namespace

std::vector<Case> all_cases(const Layers& layers) {
    Cases cases;
    for (const bench::LayerShape& at : layers.of(OpKind::kDepthwiseConv)) {
        add_depthwise(cases, at);
    }
    for (const bench::LayerShape& at : layers.of(OpKind::kConv2d)) {
        add_convolution(cases, at);
    }
    return cases.take();
}

}  // namespace fer::FER_PORT
