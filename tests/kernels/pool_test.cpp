#include "kernels/pool.hpp"

#include "tests/kernels/reference_case.hpp"
#include "tests/support/shapes.hpp"

namespace fer::FER_PORT {
namespace {

using test::PoolShape;

std::vector<PoolShape> shapes() {
    std::vector<PoolShape> list;
    for (PoolShape shape : test::pool_shapes()) {
        if (shape.x.count() > 30000) {  // the networks' shapes once in full is the reference's test, not this one's
            shape.x = {1, shape.x[1] / 2 + 1, shape.x[2] / 2, shape.x[3] / 2};
        }
        list.push_back(shape);
    }
    list.push_back({{0, 4, 4, 8}, 2, 2, Padding::kValid});
    list.push_back({{1, 33, 1, 8}, 3, 2, Padding::kSame});
    list.push_back({{1, 15, 17, 16}, 3, 2, Padding::kValid});
    list.push_back({{1, 16, 16, 1}, 15, 1, Padding::kSame});
    list.push_back({{3, 31, 11, 40}, 2, 2, Padding::kValid});
    list.push_back({{2, 5, 6, 8}, 2, 2, Padding::kSame});  // windows beyond the last row only
    list.push_back({{2, 6, 5, 8}, 2, 2, Padding::kSame});  // and the last column
    return list;
}

/// Fields that all pooling structs have.
template <class Op>
Op geometry(const PoolShape& s, DType dtype) {
    const Window rows = window_of(s.x[1], s.window, s.stride, s.padding);
    const Window columns = window_of(s.x[2], s.window, s.stride, s.padding);
    Op op{};
    op.n = as_int(s.x[0]);
    op.h = as_int(s.x[1]);
    op.w = as_int(s.x[2]);
    op.c = as_int(s.x[3]);
    op.out_h = as_int(rows.out);
    op.out_w = as_int(columns.out);
    op.window = s.window;
    op.stride = s.stride;
    op.top = as_int(rows.before);
    op.left = as_int(columns.before);
    op.dtype = dtype;
    return op;
}

template <class Op>
Shape output_shape(const Op& op) {
    return {op.n, op.out_h, op.out_w, op.c};
}

template <class T>
struct Pooled {
    std::vector<T> y;
    std::vector<std::uint8_t> argmax;
};

template <class T>
Pooled<T> max_pool(const PoolShape& s, const DeviceArray<T>& x) {
    auto op = geometry<MaxPool>(s, DTypeOf<T>::value);
    const std::size_t count = test::count_of(output_shape(op));
    DeviceArray<T> y(count);
    DeviceArray<std::uint8_t> argmax(count);
    op.x = x.get();
    op.y = y.get();
    op.argmax = argmax.get();
    max_pool_fwd(op, nullptr);
    x.expect_unchanged();
    return {y.read(), argmax.read()};
}

template <class T>
std::vector<T> max_pool_grad(const PoolShape& s, const DeviceArray<T>& dy, const DeviceArray<std::uint8_t>& argmax) {
    auto op = geometry<MaxPoolGrad>(s, DTypeOf<T>::value);
    DeviceArray<T> dx(test::count_of(s.x));
    op.dy = dy.get();
    op.argmax = argmax.get();
    op.dx = dx.get();
    max_pool_bwd(op, nullptr);
    dy.expect_unchanged();
    argmax.expect_unchanged();
    return dx.read();
}

PoolAttrs attributes(const PoolShape& s) { return {.window = s.window, .stride = s.stride, .padding = s.padding}; }
PoolAttrs gradient_attributes(const PoolShape& s) {
    return {.window = s.window, .stride = s.stride, .padding = s.padding, .input = s.x};
}

template <class T>
class Pool : public ::testing::Test {};
TYPED_TEST_SUITE(Pool, StorageTypes);

TYPED_TEST(Pool, MaxMatchesReference) {
    for (const PoolShape& s : shapes()) {
        SCOPED_TRACE(s.str());
        // Few distinct values, so that ties abound.
        const DeviceArray<TypeParam> x(test::small_integers(test::count_of(s.x), 1));
        const auto want = test::run_reference(OpKind::kMaxPool, attributes(s), {tensor_of(s.x, x)});
        const Pooled<TypeParam> got = max_pool(s, x);
        EXPECT_TRUE(exactly(got.y, want.out[0].values));
        EXPECT_TRUE(exactly(got.argmax, want.out[1].values));
    }
}

TYPED_TEST(Pool, MaxOfNanInfinityAndZero) {
    const PoolShape s{{2, 9, 9, 16}, 3, 2, Padding::kSame};
    std::vector<double> values = test::small_integers(test::count_of(s.x), 2);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double special[] = {NAN, -INFINITY, INFINITY, -0.0, 0.0};
        values[i] = i % 7 < 5 ? special[i % 7] : -INFINITY;
    }
    const DeviceArray<TypeParam> x(values);
    const auto want = test::run_reference(OpKind::kMaxPool, attributes(s), {tensor_of(s.x, x)});
    const Pooled<TypeParam> got = max_pool(s, x);
    EXPECT_TRUE(exactly(got.y, want.out[0].values));
    EXPECT_TRUE(exactly(got.argmax, want.out[1].values));
}

TYPED_TEST(Pool, MaxWithoutArgmax) {
    const PoolShape s{{1, 5, 6, 8}, 2, 2, Padding::kValid};
    const DeviceArray<TypeParam> x(test::small_integers(test::count_of(s.x), 1));
    auto op = geometry<MaxPool>(s, DTypeOf<TypeParam>::value);
    DeviceArray<TypeParam> y(test::count_of(output_shape(op)));
    op.x = x.get();
    op.y = y.get();
    max_pool_fwd(op, nullptr);
    EXPECT_TRUE(same_bits(y.read(), max_pool(s, x).y));
}

TYPED_TEST(Pool, MaxGradMatchesReference) {
    for (const PoolShape& s : shapes()) {
        SCOPED_TRACE(s.str());
        const DeviceArray<TypeParam> x(test::small_integers(test::count_of(s.x), 3));
        const auto argmax = DeviceArray<std::uint8_t>::of(max_pool(s, x).argmax);
        const Shape out = output_shape(geometry<MaxPool>(s, DType::kF32));
        const test::Tensor winners{out, argmax.inputs(), DType::kU8};
        for (const bool integers : {true, false}) {
            const DeviceArray<TypeParam> dy(integers ? test::small_integers(test::count_of(out), 4)
                                                     : test::uniform(test::count_of(out), 5));
            const auto want =
                test::run_reference(OpKind::kMaxPoolGrad, gradient_attributes(s), {tensor_of(out, dy), winners});
            const std::vector<TypeParam> got = max_pool_grad(s, dy, argmax);
            // An element is in at most ceil(window / stride)^2 windows.
            const int most = (s.window + s.stride - 1) / s.stride * ((s.window + s.stride - 1) / s.stride);
            if (integers || most == 1) {
                EXPECT_TRUE(exactly(got, want.out[0].values));
            } else {
                EXPECT_TRUE(test::close(DeviceArray<TypeParam>::of(got).inputs(), want.out[0].values,
                                        stored_sum<TypeParam>(most)));
            }
        }
    }
}

template <class T>
std::vector<T> avg_pool(const PoolShape& s, const DeviceArray<T>& x) {
    auto op = geometry<AvgPool>(s, DTypeOf<T>::value);
    DeviceArray<T> y(test::count_of(output_shape(op)));
    op.x = x.get();
    op.y = y.get();
    avg_pool_fwd(op, nullptr);
    x.expect_unchanged();
    return y.read();
}

template <class T>
std::vector<T> avg_pool_grad(const PoolShape& s, const DeviceArray<T>& dy) {
    auto op = geometry<AvgPoolGrad>(s, DTypeOf<T>::value);
    DeviceArray<T> dx(test::count_of(s.x));
    op.dy = dy.get();
    op.dx = dx.get();
    avg_pool_bwd(op, nullptr);
    dy.expect_unchanged();
    return dx.read();
}

TYPED_TEST(Pool, AverageMatchesReference) {
    for (const PoolShape& s : shapes()) {
        SCOPED_TRACE(s.str());
        const DeviceArray<TypeParam> x(test::uniform(test::count_of(s.x), 6));
        const auto want = test::run_reference(OpKind::kAvgPool, attributes(s), {tensor_of(s.x, x)});
        EXPECT_TRUE(test::close(DeviceArray<TypeParam>::of(avg_pool(s, x)).inputs(), want.out[0].values,
                                stored_sum<TypeParam>(s.window * s.window)));
    }
}

TYPED_TEST(Pool, AverageGradMatchesReference) {
    for (const PoolShape& s : shapes()) {
        SCOPED_TRACE(s.str());
        const Shape out = output_shape(geometry<AvgPool>(s, DType::kF32));
        const DeviceArray<TypeParam> dy(test::uniform(test::count_of(out), 7));
        const auto want = test::run_reference(OpKind::kAvgPoolGrad, gradient_attributes(s), {tensor_of(out, dy)});
        EXPECT_TRUE(test::close(DeviceArray<TypeParam>::of(avg_pool_grad(s, dy)).inputs(), want.out[0].values,
                                stored_sum<TypeParam>(s.window * s.window)));
    }
}

TYPED_TEST(Pool, GlobalAverageMatchesReference) {
    const std::vector<Shape> list = {{0, 2, 2, 8},   {1, 1, 1, 1},   {1, 1, 1, 8},   {2, 5, 5, 3},    {3, 7, 7, 5},
                                     {1, 3, 5, 7},   {2, 3, 3, 31},  {2, 3, 3, 32},  {1, 3, 3, 33},   {2, 2, 4, 64},
                                     {1, 2, 4, 255}, {2, 1, 7, 256}, {1, 3, 3, 257}, {1, 5, 5, 512},  {1, 1, 9, 520},
                                     {7, 2, 2, 16},  {1, 17, 1, 48}, {13, 1, 2, 1},  {1, 11, 11, 40}, {2, 4, 4, 96}};
    for (const Shape& shape : list) {
        SCOPED_TRACE(shape.str());
        const auto places = shape[1] * shape[2];
        const DeviceArray<TypeParam> x(test::uniform(test::count_of(shape), 8));
        DeviceArray<TypeParam> y(static_cast<std::size_t>(shape[0] * shape[3]));
        const auto dtype = DTypeOf<TypeParam>::value;
        global_avg_pool_fwd({.x = x.get(),
                             .y = y.get(),
                             .n = as_int(shape[0]),
                             .places = as_int(places),
                             .c = as_int(shape[3]),
                             .dtype = dtype},
                            nullptr);
        const auto want = test::run_reference(OpKind::kGlobalAvgPool, NoAttrs{}, {tensor_of(shape, x)});
        EXPECT_TRUE(test::close(y.doubles(), want.out[0].values, stored_sum<TypeParam>(places)));
        x.expect_unchanged();

        const DeviceArray<TypeParam> dy(test::uniform(y.size(), 9));
        DeviceArray<TypeParam> dx(test::count_of(shape));
        global_avg_pool_bwd({.dy = dy.get(),
                             .dx = dx.get(),
                             .n = as_int(shape[0]),
                             .places = as_int(places),
                             .c = as_int(shape[3]),
                             .dtype = dtype},
                            nullptr);
        const std::vector<double> sent = dy.inputs();
        std::vector<double> gradient;
        for (std::int64_t i = 0; i < shape.count(); ++i) {
            const std::int64_t image = i / (places * shape[3]);
            gradient.push_back(sent[static_cast<std::size_t>(image * shape[3] + i % shape[3])] /
                               static_cast<double>(places));
        }
        EXPECT_TRUE(test::close(dx.doubles(), gradient, stored_as<TypeParam>(test::float_steps(1))));
    }
}

TYPED_TEST(Pool, SameBitsUnderEverySchedule) {
    for (const PoolShape& s :
         {PoolShape{{1, 9, 8, 16}, 3, 2, Padding::kSame}, PoolShape{{1, 9, 9, 8}, 2, 2, Padding::kValid}}) {
        const DeviceArray<TypeParam> x(test::uniform(test::count_of(s.x), 10));
        expect_same_bits_always([&] { return max_pool(s, x).y; });
        expect_same_bits_always([&] { return avg_pool(s, x); });
        const auto argmax = DeviceArray<std::uint8_t>::of(max_pool(s, x).argmax);
        const DeviceArray<TypeParam> dy(test::uniform(argmax.size(), 11));
        expect_same_bits_always([&] { return max_pool_grad(s, dy, argmax); });
        expect_same_bits_always([&] { return avg_pool_grad(s, dy); });
    }
    const DeviceArray<TypeParam> x(test::uniform(25 * 72, 12));
    expect_same_bits_always([&] {
        DeviceArray<TypeParam> y(72);
        global_avg_pool_fwd(
            {.x = x.get(), .y = y.get(), .n = 1, .places = 25, .c = 72, .dtype = DTypeOf<TypeParam>::value}, nullptr);
        return y.read();
    });
}

TEST(PoolErrors, NameTheWindow) {
    EXPECT_THROW(max_pool_fwd({.x = nullptr,
                               .y = nullptr,
                               .argmax = nullptr,
                               .n = 1,
                               .h = 20,
                               .w = 20,
                               .c = 1,
                               .out_h = 1,
                               .out_w = 1,
                               .window = 16},
                              nullptr),
                 UsageError);
    EXPECT_THROW(max_pool_fwd({.x = nullptr,
                               .y = nullptr,
                               .argmax = nullptr,
                               .n = 1 << 20,
                               .h = 48,
                               .w = 48,
                               .c = 64,
                               .out_h = 24,
                               .out_w = 24},
                              nullptr),
                 Error);
}

}  // namespace
}  // namespace fer::FER_PORT
