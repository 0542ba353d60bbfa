#include "kernels/bias.hpp"

#include "tests/kernels/reference_case.hpp"

namespace fer::FER_PORT {
namespace {

const std::vector<Shape> kShapes = {{1, 1},    {1, 7},    {64, 7},   {31, 1},   {32, 2},    {33, 3},
                                    {255, 1},  {256, 5},  {257, 8},  {1000, 1}, {6, 1024},  {64, 33},
                                    {127, 31}, {128, 32}, {7, 264},  {2304, 4}, {2305, 16}, {529, 48},
                                    {121, 96}, {13, 600}, {5000, 3}, {1, 2048}};

template <class T>
void biased(const DeviceArray<T>& x, const DeviceArray<float>& b, T* y, const Shape& s, Activation activation) {
    bias_fwd({.x = x.get(),
              .b = b.get(),
              .y = y,
              .dtype = DTypeOf<T>::value,
              .rows = s[0],
              .c = as_int(s[1]),
              .activation = activation},
             nullptr);
}

template <class T>
std::vector<float> bias_gradient(const DeviceArray<T>& dy, const Shape& s) {
    const DeviceArray<float> db(static_cast<std::size_t>(s[1]));
    const DeviceArray<char> workspace(bias_grad_workspace(s[0], as_int(s[1])));
    bias_bwd({.dy = dy.get(),
              .db = db.get(),
              .dtype = DTypeOf<T>::value,
              .rows = s[0],
              .c = as_int(s[1]),
              .workspace = workspace.get()},
             nullptr);
    workspace.read();
    dy.expect_unchanged();
    return db.read();
}

template <class T>
class BiasKernel : public ::testing::Test {};
TYPED_TEST_SUITE(BiasKernel, StorageTypes);

TYPED_TEST(BiasKernel, IntegersAreExact) {
    for (const Shape& s : kShapes) {
        SCOPED_TRACE(s.str());
        const DeviceArray<TypeParam> x(test::small_integers(static_cast<std::size_t>(s.count()), 1));
        const DeviceArray<float> b(test::small_integers(static_cast<std::size_t>(s[1]), 2));
        const auto want = test::run_reference(OpKind::kBias, NoAttrs{}, {tensor_of(s, x), tensor_of({s[1]}, b)});
        const DeviceArray<TypeParam> y(x.size());
        biased(x, b, y.get(), s, Activation::kNone);
        EXPECT_TRUE(exactly(y.read(), want.out[0].values));
        const auto clipped = test::run_reference(OpKind::kRelu6, NoAttrs{}, {want.out[0]});
        x.expect_unchanged();
        b.expect_unchanged();
        biased(x, b, x.get(), s, Activation::kRelu6);
        EXPECT_TRUE(exactly(x.read(), clipped.out[0].values)) << "in place";
    }
}

TYPED_TEST(BiasKernel, GradientOfIntegersIsExact) {
    for (const Shape& s : kShapes) {
        SCOPED_TRACE(s.str());
        const DeviceArray<TypeParam> dy(test::small_integers(static_cast<std::size_t>(s.count()), 3));
        const test::Tensor b = test::constant_tensor({s[1]}, 0).as_type(DType::kF64);
        std::vector<double> want(static_cast<std::size_t>(s[1]));
        for (std::size_t i = 0; i < dy.size(); ++i) {
            want[i % want.size()] += dy.inputs()[i];
        }
        EXPECT_TRUE(exactly(bias_gradient(dy, s), want));
    }
}

TYPED_TEST(BiasKernel, GradientIsASumInFloat) {
    for (const Shape& s : {Shape{2304, 4}, Shape{529, 48}, Shape{5000, 3}, Shape{64, 33}}) {
        const DeviceArray<TypeParam> dy(test::uniform(static_cast<std::size_t>(s.count()), 4));
        std::vector<double> want(static_cast<std::size_t>(s[1]));
        for (std::size_t i = 0; i < dy.size(); ++i) {
            want[i % want.size()] += dy.inputs()[i];
        }
        EXPECT_TRUE(test::close(bias_gradient(dy, s), want, test::float_sum(s[0])));
    }
}

TYPED_TEST(BiasKernel, NothingIsAddedUpToZero) {
    const DeviceArray<TypeParam> dy(std::size_t{0});
    EXPECT_EQ(bias_gradient(dy, {0, 5}), std::vector<float>(5, 0.0f));
    biased(dy, DeviceArray<float>(std::size_t{0}), dy.get(), {0, 5}, Activation::kNone);
}

TYPED_TEST(BiasKernel, SameBitsUnderEverySchedule) {
    for (const Shape& s : {Shape{300, 24}, Shape{700, 3}}) {
        const DeviceArray<TypeParam> dy(test::uniform(static_cast<std::size_t>(s.count()), 5));
        expect_same_bits_always([&] { return bias_gradient(dy, s); });
    }
}

}  // namespace
}  // namespace fer::FER_PORT
