#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/layer_shapes.hpp"
#include "engine/core/error.hpp"
#include "engine/run/cuda/cuda_device.hpp"
#include "engine/run/cuda/libraries/lists.hpp"

namespace fer::cuda {
namespace {

// An H200 in cuDNN's words.
constexpr const char* kH200 = R"({
    "deviceName": "NVIDIA H200", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0, "pciDeviceId": 0,
    "multiProcessorCount": 132, "maxThreadsPerSM": 2048, "maxCtasPerSM": 32, "maxRegistersPerSM": 65536,
    "maxThreadsPerBlock": 1024, "regsPerBlock": 65536, "warpSize": 32, "maxGridSize": [2147483647, 65535, 65535],
    "maxBlockSize": [1024, 1024, 64], "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
    "reservedSharedMemoryPerBlock": 1024, "totalGlobalMem": 150754820096, "l2CacheSize": 62914560,
    "smClockRateKHz": 1980000, "memClockRateKHz": 3201000, "isTccDriver": 0, "supportCoopLaunch": 1})";

class Cudnn : public ::testing::Test {
protected:
    void SetUp() override {
        try {
            describe_gpu_to_cudnn(kH200);
        } catch (const DeviceError& error) {
            GTEST_SKIP() << error.what();
        }
    }
};

std::span<const Implementation> list_of(OpKind kind) {
    switch (kind) {
        case OpKind::kConv2d:
            return cudnn_conv2d();
        case OpKind::kConv2dDgrad:
            return cudnn_conv2d_dgrad();
        case OpKind::kConv2dWgrad:
            return cudnn_conv2d_wgrad();
        default:
            return {};
    }
}

/// The same convolution in another type: operands and, but for a weight gradient, the result.
OpDesc in_type(OpDesc op, DType dtype, bool tf32) {
    op.in[0].dtype = op.in[1].dtype = dtype;
    if (op.kind != OpKind::kConv2dWgrad) {
        op.out[0].dtype = dtype;
    }
    std::get<ConvAttrs>(op.attrs).tf32 = tf32;
    return op;
}

/// The convolutions of the networks at 48x48, with what is fused into them.
std::vector<bench::LayerShape> convolutions() {
    std::vector<bench::LayerShape> all;
    for (const bench::LayerShape& layer : bench::layer_shapes(64, false, "bias,activation")) {
        if (!list_of(layer.op.kind).empty()) {
            all.push_back(layer);
        }
    }
    return all;
}

void expect_engine(const bench::LayerShape& layer, DType dtype, bool tf32) {
    const OpDesc op = in_type(layer.op, dtype, tf32);
    SCOPED_TRACE(layer.where + " " + std::string(name_of(dtype)) + (tf32 ? " tf32" : ""));
    const Implementation& cudnn = list_of(op.kind)[0];
    const Refusal refusal = cudnn.refuses(op);
    ASSERT_FALSE(refusal) << *refusal;
    const Shape& w = op.kind == OpKind::kConv2dWgrad ? op.out[0].shape : op.in[1].shape;
    EXPECT_GE(cudnn.workspace(op), w.count() * static_cast<std::int64_t>(size_of(dtype)));
    EXPECT_THAT(cudnn.note(op), ::testing::StartsWith("engine "));
    EXPECT_TRUE(cudnn.make(op));
}

TEST_F(Cudnn, HasADeterministicEngineForEveryConvolutionOfTheNetworks) {
    const auto layers = convolutions();
    ASSERT_GT(layers.size(), 50u);
    for (const bench::LayerShape& layer : layers) {
        expect_engine(layer, DType::kBF16, false);
    }
}

TEST_F(Cudnn, TakesEveryPrecision) {
    int layers = 0;
    for (const bench::LayerShape& layer : convolutions()) {
        if (layer.where.starts_with("custom_cnn")) {
            expect_engine(layer, DType::kF16, false);
            expect_engine(layer, DType::kF32, true);
            expect_engine(layer, DType::kF32, false);
            ++layers;
        }
    }
    EXPECT_GE(layers, 15);
}

/// A plain convolution of 8 images.
OpDesc conv(std::int64_t size, std::int64_t c, std::int64_t k, int kernel, ConvAttrs attrs, DType dtype) {
    const Window window = window_of(size, kernel, attrs.stride, attrs.padding);
    OpDesc op;
    op.kind = OpKind::kConv2d;
    op.name = "conv";
    op.attrs = attrs;
    op.in = {{{8, size, size, c}, dtype}, {{kernel, kernel, c, k}, dtype}, {{k}, DType::kF32}};
    op.out = {{{8, window.out, window.out, k}, dtype}};
    return op;
}

TEST_F(Cudnn, TakesUnevenPaddingAndOddChannels) {
    for (const int stride : {1, 2}) {
        for (const int kernel : {1, 3, 5, 7}) {
            for (const auto& [c, k] : {std::pair{3, 64}, std::pair{64, 64}, std::pair{33, 7}}) {
                for (const Padding padding : {Padding::kSame, Padding::kValid}) {
                    SCOPED_TRACE(fmt::format("{}x{} stride {} channels {} -> {}", kernel, kernel, stride, c, k));
                    const OpDesc op = conv(48, c, k, kernel, {.stride = stride, .padding = padding}, DType::kBF16);
                    const Refusal refusal = cudnn_conv2d()[0].refuses(op);
                    EXPECT_FALSE(refusal) << *refusal;
                }
            }
        }
    }
}

TEST_F(Cudnn, LaterOnesAreOtherEnginesOrSettings) {
    const OpDesc op = conv(24, 64, 128, 3, {.activation = Activation::kRelu}, DType::kBF16);
    for (const Implementation& implementation : cudnn_conv2d()) {
        EXPECT_FALSE(implementation.refuses(op)) << implementation.name;
    }
}

TEST_F(Cudnn, RefusesInWords) {
    OpDesc op = conv(24, 64, 128, 3, {}, DType::kBF16);
    op.in[1].dtype = DType::kF32;
    EXPECT_EQ(cudnn_conv2d()[0].refuses(op), "operands of two types");
    op = conv(24, 64, 128, 3, {}, DType::kBF16);
    op.out[0].dtype = DType::kF32;
    EXPECT_EQ(cudnn_conv2d()[0].refuses(op), "a result of another type than its operands");
    op = conv(24, 64, 128, 3, {}, DType::kBF16);
    op.in.push_back(op.out[0]);
    EXPECT_EQ(cudnn_conv2d()[0].refuses(op), "adds no residual");
    op = conv(24, 64, 128, 3, {}, DType::kBF16);
    op.in.push_back(op.out[0]);
    EXPECT_EQ(cudnn_conv2d()[0].refuses(op), "adds no residual");
    op = conv(24, 64, 128, 3, {}, DType::kF64);
    EXPECT_EQ(cudnn_conv2d()[0].refuses(op), "float64 is for checks on the cpu");
}

TEST(CudnnContract, RefusesADescriptionThatIsNone) {
    if (cudnn_version() == "no cuDNN") {
        GTEST_SKIP() << "no cuDNN";
    }
    EXPECT_THROW(describe_gpu_to_cudnn("{}"), DeviceError);
}

bool has_gpu() {
    try {
        cuda_runtime();
        return true;
    } catch (const DeviceError&) {
        return false;
    }
}

// With a GPU it takes what it is first asked; the device's own tests then hold it against ours.
TEST(Cublaslt, RefusesInWords) {
    OpDesc op;
    op.kind = OpKind::kDense;
    op.attrs = DenseAttrs{};
    op.in = {{{64, 512}, DType::kBF16}, {{512, 7}, DType::kBF16}};
    op.out = {{{64, 7}, DType::kBF16}};
    const Refusal refusal = cublaslt_dense()[0].refuses(op);
    EXPECT_THAT(refusal.value_or(""), ::testing::AnyOf("", "there is no GPU to ask cuBLASLt about",
                                                       "this build was made without cuBLASLt's headers",
                                                       ::testing::HasSubstr("was not found")));
    EXPECT_TRUE(refusal || has_gpu());
    std::get<DenseAttrs>(op.attrs).activation = Activation::kRelu6;
    EXPECT_THAT(*cublaslt_dense()[0].refuses(op), ::testing::AnyOf("has no relu6", ::testing::HasSubstr("headers")));
}

}  // namespace
}  // namespace fer::cuda
