#include "bench/kernels/families.hpp"
#include "kernels/pool.hpp"

namespace fer::FER_PORT {
namespace {

struct Windows {
    int n, h, w, c, out_h, out_w, window, stride, top, left;

    std::int64_t in() const { return std::int64_t{n} * h * w * c; }
    std::int64_t out() const { return std::int64_t{n} * out_h * out_w * c; }
    /// Fills what MaxPool, AvgPool and their gradients have in common.
    template <class Args>
    Args of(Args a) const {
        a.n = n;
        a.h = h;
        a.w = w;
        a.c = c;
        a.out_h = out_h;
        a.out_w = out_w;
        a.window = window;
        a.stride = stride;
        a.top = top;
        a.left = left;
        return a;
    }
};

Windows windows_of(const OpDesc& op) {
    const Shape& x = op.in[0].shape;
    const auto& attrs = op.as<PoolAttrs>();
    const Window rows = window_of(x[1], attrs.window, attrs.stride, attrs.padding);
    const Window columns = window_of(x[2], attrs.window, attrs.stride, attrs.padding);
    return {as_int(x[0]),        as_int(x[1]), as_int(x[2]), as_int(x[3]),        as_int(rows.out),
            as_int(columns.out), attrs.window, attrs.stride, as_int(rows.before), as_int(columns.before)};
}

Case start(const char* family, const Arithmetic& how, const bench::LayerShape& at) {
    std::string shape = text_of(at.op.in[0].shape);
    if (const auto* attrs = std::get_if<PoolAttrs>(&at.op.attrs)) {
        shape += fmt::format(" {}x{}/{}{}", attrs->window, attrs->window, attrs->stride,
                             attrs->padding == Padding::kSame ? " same" : "");
    }
    return {.family = family,
            .arithmetic = how,
            .where = at.where,
            .shape = std::move(shape),
            .flops = 0,
            .tensor = false,
            .exact = true,
            .equals = {},
            .prepare = {}};
}

Case max_fwd(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("max_pool_fwd", how, at);
    c.prepare = [g = windows_of(at.op), type = how.dtype](Memory& m) {
        MaxPool a{};
        a.x = m.input(g.in(), type);
        a.y = m.output(g.out(), type);
        a.argmax = static_cast<std::uint8_t*>(m.output(g.out(), DType::kU8));
        a.dtype = type;
        return launch_of(max_pool_fwd, g.of(a));
    };
    return c;
}

Case max_bwd(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("max_pool_bwd", how, at);
    c.prepare = [g = windows_of(at.op), type = how.dtype](Memory& m) {
        MaxPoolGrad a{};
        a.dy = m.input(g.out(), type);
        a.argmax = m.places(g.out(), g.window * g.window);
        a.dx = m.output(g.in(), type);
        a.dtype = type;
        return launch_of(max_pool_bwd, g.of(a));
    };
    return c;
}

Case avg_fwd(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("avg_pool_fwd", how, at);
    c.prepare = [g = windows_of(at.op), type = how.dtype](Memory& m) {
        AvgPool a{};
        a.x = m.input(g.in(), type);
        a.y = m.output(g.out(), type);
        a.dtype = type;
        return launch_of(avg_pool_fwd, g.of(a));
    };
    return c;
}

Case avg_bwd(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("avg_pool_bwd", how, at);
    c.prepare = [g = windows_of(at.op), type = how.dtype](Memory& m) {
        AvgPoolGrad a{};
        a.dy = m.input(g.out(), type);
        a.dx = m.output(g.in(), type);
        a.dtype = type;
        return launch_of(avg_pool_bwd, g.of(a));
    };
    return c;
}

Case global_fwd(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("global_avg_pool_fwd", how, at);
    c.prepare = [x = at.op.in[0].shape, type = how.dtype](Memory& m) {
        return launch_of(global_avg_pool_fwd, {.x = m.input(x.count(), type),
                                               .y = m.output(x[0] * x[3], type),
                                               .n = as_int(x[0]),
                                               .places = as_int(x[1] * x[2]),
                                               .c = as_int(x[3]),
                                               .dtype = type});
    };
    return c;
}

Case global_bwd(const bench::LayerShape& at, const Arithmetic& how) {
    Case c = start("global_avg_pool_bwd", how, at);
    c.prepare = [x = at.op.in[0].shape, type = how.dtype](Memory& m) {
        return launch_of(global_avg_pool_bwd, {.dy = m.input(x[0] * x[3], type),
                                               .dx = m.output(x.count(), type),
                                               .n = as_int(x[0]),
                                               .places = as_int(x[1] * x[2]),
                                               .c = as_int(x[3]),
                                               .dtype = type});
    };
    return c;
}

}  // namespace

void add_pools(Cases& cases, const Layers& layers) {
    for (const Arithmetic& how : kStorage) {
        for (const bench::LayerShape& at : layers.of(OpKind::kMaxPool)) {
            cases.add(max_fwd(at, how));
            cases.add(max_bwd(at, how));
            cases.add(avg_fwd(at, how));  // no network has an average pool: on the shapes of the others
            cases.add(avg_bwd(at, how));
        }
        for (const bench::LayerShape& at : layers.of(OpKind::kGlobalAvgPool)) {
            cases.add(global_fwd(at, how));
            cases.add(global_bwd(at, how));
        }
    }
}

}  // namespace fer::FER_PORT
