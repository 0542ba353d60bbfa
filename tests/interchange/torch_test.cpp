// State dicts under torchvision's names against PyTorch: tests/golden/golden_torch.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <deque>

#include "engine/interchange/torch_weights.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/keras_files.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

/// A state dict whose values are a formula of their names, as the golden script has them.
class StateDict {
public:
    void add(const std::string& name, const std::string& kind, const Shape& keras, const Shape& torch) {
        const auto stream = ::crc32(0, reinterpret_cast<const Bytef*>(name.data()), static_cast<uInt>(name.size()));
        const std::vector<double> values = golden_tensor(kind, static_cast<std::uint32_t>(stream) & 0x7fffffffu, keras);
        values_.emplace_back(values.size());
        std::vector<float>& own = values_.back();
        if (keras.rank() == 4 && keras[3] != 1) {  // HWIO -> OIHW
            const auto places = keras[0] * keras[1];
            for (std::int64_t p = 0; p < places; ++p) {
                for (std::int64_t i = 0; i < keras[2]; ++i) {
                    for (std::int64_t o = 0; o < keras[3]; ++o) {
                        own[static_cast<std::size_t>((o * keras[2] + i) * places + p)] =
                            static_cast<float>(values[static_cast<std::size_t>((p * keras[2] + i) * keras[3] + o)]);
                    }
                }
            }
        } else {  // (places, channels) or (in, out) -> the other way round
            const std::int64_t rows = keras.rank() == 1 ? 1 : keras.rank() == 4 ? keras[0] * keras[1] : keras[0];
            const std::int64_t columns = keras.count() / rows;
            for (std::int64_t r = 0; r < rows; ++r) {
                for (std::int64_t c = 0; c < columns; ++c) {
                    own[static_cast<std::size_t>(c * rows + r)] =
                        static_cast<float>(values[static_cast<std::size_t>(r * columns + c)]);
                }
            }
        }
        tensors_.push_back({name, DType::kF32, torch, own.data()});
    }
    void conv(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t k) {
        add(name + ".weight", "kernel", {k, k, in, out}, {out, in, k, k});
    }
    void depthwise(const std::string& name, std::int64_t c) {
        add(name + ".weight", "kernel", {3, 3, c, 1}, {c, 1, 3, 3});
    }
    void norm(const std::string& name, std::int64_t c) {
        add(name + ".weight", "gamma", {c}, {c});
        add(name + ".bias", "beta", {c}, {c});
        add(name + ".running_mean", "moving_mean", {c}, {c});
        add(name + ".running_var", "moving_variance", {c}, {c});
        tensors_.push_back({name + ".num_batches_tracked", DType::kI64, {}, &batches_});
    }
    void linear(const std::string& name, std::int64_t in, std::int64_t out) {
        add(name + ".weight", "kernel", {in, out}, {out, in});
        bias(name, out);
    }
    void bias(const std::string& name, std::int64_t c) { add(name + ".bias", "bias", {c}, {c}); }

    SafetensorsFile file(bool without_last = false) const {
        const TemporaryFolder folder;
        write_safetensors(folder / "m.safetensors", std::span(tensors_).first(tensors_.size() - (without_last ? 1 : 0)),
                          {});
        return SafetensorsFile(folder / "m.safetensors");
    }

private:
    std::deque<std::vector<float>> values_;
    std::vector<TensorView> tensors_;
    std::int64_t batches_ = 1;
};

void resnet50(StateDict& s) {
    s.conv("conv1", 3, 64, 7);
    s.norm("bn1", 64);
    std::int64_t in = 64;
    const int blocks[] = {3, 4, 6, 3};
    for (int stack = 0; stack < 4; ++stack) {
        const std::int64_t filters = std::int64_t{64} << stack;
        for (int block = 0; block < blocks[stack]; ++block) {
            const std::string p = fmt::format("layer{}.{}", stack + 1, block);
            s.conv(p + ".conv1", in, filters, 1);
            s.norm(p + ".bn1", filters);
            s.conv(p + ".conv2", filters, filters, 3);
            s.norm(p + ".bn2", filters);
            s.conv(p + ".conv3", filters, 4 * filters, 1);
            s.norm(p + ".bn3", 4 * filters);
            if (block == 0) {
                s.conv(p + ".downsample.0", in, 4 * filters, 1);
                s.norm(p + ".downsample.1", 4 * filters);
            }
            in = 4 * filters;
        }
    }
    s.linear("fc", 2048, 7);
}

void mobilenet_v2(StateDict& s) {
    s.conv("features.0.0", 3, 32, 3);
    s.norm("features.0.1", 32);
    std::int64_t in = 32;
    int index = 1;
    const std::int64_t groups[][3] = {{1, 16, 1}, {6, 24, 2},  {6, 32, 3}, {6, 64, 4},
                                      {6, 96, 3}, {6, 160, 3}, {6, 320, 1}};
    for (const auto& [expansion, out, count] : groups) {
        for (std::int64_t i = 0; i < count; ++i, ++index) {
            const std::string p = fmt::format("features.{}.conv", index);
            const std::int64_t wide = in * expansion;
            int at = 0;
            if (expansion > 1) {
                s.conv(p + ".0.0", in, wide, 1);
                s.norm(p + ".0.1", wide);
                at = 1;
            }
            s.depthwise(fmt::format("{}.{}.0", p, at), wide);
            s.norm(fmt::format("{}.{}.1", p, at), wide);
            s.conv(fmt::format("{}.{}", p, at + 1), wide, out, 1);
            s.norm(fmt::format("{}.{}", p, at + 2), out);
            in = out;
        }
    }
    s.conv("features.18.0", 320, 1280, 1);
    s.norm("features.18.1", 1280);
    s.linear("classifier.1", 1280, 7);
}

void vgg16(StateDict& s) {
    int module = 0;
    std::int64_t in = 3;
    const std::int64_t blocks[][2] = {{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}};
    for (const auto& [count, out] : blocks) {
        for (std::int64_t i = 0; i < count; ++i, module += 2) {
            s.conv(fmt::format("features.{}", module), in, out, 3);
            s.bias(fmt::format("features.{}", module), out);
            in = out;
        }
        ++module;
    }
    s.linear("classifier.0", 25088, 4096);
    s.linear("classifier.3", 4096, 4096);
    s.linear("classifier.6", 4096, 7);
}

/// Logits of one image whose pixels are bytes over 255, as a file's preprocessing makes them.
void expect_like_pytorch(const char* name, void (*fill)(StateDict&)) {
    SCOPED_TRACE(name);
    StateDict dict;
    fill(dict);
    const SafetensorsFile file = dict.file();
    const TorchModel model = read_torch_weights(file, "m.safetensors");
    EXPECT_EQ(model.architecture.name, name);
    const RandomStream random(kGoldenSeed, 0, kGoldenImageStream);
    std::vector<float> pixels(224 * 224 * 3);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = random.uniform(i) + model.offset[i % 3];
    }
    const std::vector<float> logits = run_network(builder_of(model.architecture), values_of(model.weights),
                                                  {1, 224, 224, 3}, pixels, {.softmax = false}, cpu_device());
    const SafetensorsFile golden(golden_path("interchange/pytorch.safetensors"));
    EXPECT_LE(largest_difference(logits, golden.get<float>(name)), kOutputTolerance);
}

TEST(TorchImport, MobileNetV2) { expect_like_pytorch("mobilenet_v2", mobilenet_v2); }
TEST(TorchImport, ResNet50) { expect_like_pytorch("resnet50", resnet50); }

// 134 million numbers: only where somebody asks for it.
TEST(TorchImport, Vgg16) {
    if (std::getenv("FER_PARITY") == nullptr) {
        GTEST_SKIP() << "FER_PARITY is not set";
    }
    expect_like_pytorch("vgg16", vgg16);
}

TEST(TorchImport, MissingAndSurplusTensorsAreNamed) {
    StateDict dict;
    mobilenet_v2(dict);
    EXPECT_THAT(error_of<DataError>([&] { read_torch_weights(dict.file(true), "m"); }),
                HasSubstr("m is not PyTorch's mobilenet_v2"));
    dict.norm("classifier.2", 3);
    EXPECT_THAT(error_of<DataError>([&] { read_torch_weights(dict.file(), "m"); }),
                HasSubstr("m is not PyTorch's mobilenet_v2"));
}

}  // namespace
}  // namespace fer::test
