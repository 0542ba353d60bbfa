#include "bench/kernels/families.hpp"
#include "kernels/gradients.hpp"
#include "kernels/optimizer.hpp"

namespace fer::FER_PORT {
namespace {

// From integers these give numbers of few bits, so that no rounding is left to the device.
constexpr float kRate = 0x1p-10f;
constexpr double kMomentum = 0.5;

Case start(const char* family, const Arithmetic& how, const std::string& where, std::int64_t count) {
    return {.family = family,
            .arithmetic = how,
            .where = where,
            .shape = std::to_string(count),
            .flops = 0,
            .tensor = false,
            .exact = true,
            .equals = {},
            .prepare = {}};
}

/// In f32 nothing but the parameters; in f16 and bf16 their rounded copy, loss scaling and L2 too.
FlatBlock block_of(Memory& m, std::int64_t count, const Arithmetic& how) {
    FlatBlock b{.grads = m.floats(count),
                .params = m.updated_floats(count),
                .count = count,
                .rate = m.of<float>({kRate}),
                .clock = m.of<std::int64_t>({1, 4, 0, 0})};
    if (how.dtype != DType::kF32) {
        b.shadow = m.output(count, how.dtype);
        b.shadow_dtype = how.dtype;
        b.scale = m.of<LossScale>({LossScale{.scale = 1024}});
        b.segments = m.of<L2Segment>({{0, static_cast<std::uint32_t>(count / 2), 0x1p-7f}});
        b.segment_count = 1;
    }
    return b;
}

void add_updates(Cases& cases, const Layers::Block& block, const Arithmetic& how) {
    const std::int64_t count = block.parameters;
    Case a = start("adam", how, block.network, count);
    a.prepare = [count, how](Memory& m) {
        return launch_of(
            adam, {.block = block_of(m, count, how), .m = m.updated_floats(count), .v = m.updated_positive(count)});
    };
    cases.add(a);

    Case s = start("sgd", how, block.network, count);
    s.prepare = [count, how](Memory& m) {
        return launch_of(sgd, {.block = block_of(m, count, how), .m = m.updated_floats(count), .momentum = kMomentum});
    };
    cases.add(s);

    Case r = start("rmsprop", how, block.network, count);
    r.prepare = [count, how](Memory& m) {
        return launch_of(rmsprop, {.block = block_of(m, count, how), .v = m.updated_positive(count)});
    };
    cases.add(r);
}

void add_rest(Cases& cases, const Layers::Block& block) {
    const std::int64_t count = block.parameters;
    Case e = start("ema", kF32, block.network, count);
    e.prepare = [count](Memory& m) {
        return launch_of(ema,
                         {.w = m.floats(count), .average = m.updated_floats(count), .count = count, .decay = 0.75f});
    };
    cases.add(e);

    Case g = start("grads_check", kF32, block.network, count);
    g.prepare = [count](Memory& m) {
        return launch_of(grads_check,
                         {.grads = m.floats(count), .count = count, .state = m.updated_of<LossScale>({LossScale{}})});
    };
    cases.add(g);
}

/// Between the backward pass and the optimizer.
void add_gradients(Cases& cases, const Layers::Block& block) {
    const std::int64_t count = block.parameters;
    Case a = start("accumulate", kF32, block.network, count);
    a.prepare = [count](Memory& m) {
        return launch_of(accumulate, {.grads = m.updated_floats(count),
                                      .sums = m.updated_floats(count),
                                      .count = count,
                                      .images = m.of<float>({64}),
                                      .batch = 64,
                                      .take = true});
    };
    cases.add(a);

    const auto parts = static_cast<std::int64_t>(gradient_squares_workspace(count) / sizeof(double));
    Case s = start("gradient_squares", kF32, block.network, count);
    s.prepare = [count, parts](Memory& m) {
        auto* sums = static_cast<double*>(m.output(parts * 8, DType::kU8));
        return launch_of(gradient_squares, {.grads = m.floats(count), .count = count, .sums = sums});
    };
    cases.add(s);

    Case c = start("clip_gradients", kF32, block.network, count);
    c.prepare = [count, parts](Memory& m) {
        return launch_of(clip_gradients, {.grads = m.updated_floats(count),
                                          .count = count,
                                          .sums = m.of<double>(std::vector<double>(static_cast<std::size_t>(parts), 4)),
                                          .parts = as_int(parts),
                                          .norm = 0x1p-3f,
                                          .value = 0});
    };
    c.exact = false;  // a root and a quotient
    cases.add(c);
}

void add_counters(Cases& cases) {
    Case s = start("scheduled_rate", kF32, "step", 1);
    s.prepare = [](Memory& m) {
        return launch_of(scheduled_rate, {.rate = m.of<float>({kRate}),
                                          .clock = m.of<std::int64_t>({1, 4, 0, 0}),
                                          .y = m.output_floats(1),
                                          .schedule = {ScheduleKind::kOneCycle, 100, 0.3, 0.04, 0}});
    };
    s.exact = false;
    cases.add(s);

    Case a = start("accumulated", kF32, "step", 1);
    a.prepare = [](Memory& m) {
        return launch_of(accumulated, {.images = m.updated_of<float>({64}),
                                       .clock = m.updated_of<std::int64_t>({1, 4, 0, 0}),
                                       .batch = 64,
                                       .take = false});
    };
    cases.add(a);
}

}  // namespace

void add_optimizers(Cases& cases, const Layers& layers) {
    for (const Layers::Block& block : layers.blocks()) {
        for (const Arithmetic& how : kStorage) {
            add_updates(cases, block, how);
        }
        add_rest(cases, block);
        add_gradients(cases, block);
    }
    add_counters(cases);
    Case u = start("loss_scale_update", kF32, "step", 1);
    u.prepare = [](Memory& m) {
        return launch_of(loss_scale_update, {.state = m.updated_of<LossScale>({LossScale{.good = 1999}})});
    };
    cases.add(u);
}

}  // namespace fer::FER_PORT
