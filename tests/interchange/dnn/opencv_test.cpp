// What is exported as ONNX computes the same in another reader of it: OpenCV's dnn module.
#include <gtest/gtest.h>

#include <algorithm>
#include <opencv2/dnn.hpp>
#include <optional>

#include "engine/interchange/onnx_export.hpp"
#include "tests/support/described_networks.hpp"
#include "tests/support/keras_files.hpp"

namespace fer::test {
namespace {

std::vector<float> by_opencv(const OnnxModel& model, const Shape& images, std::span<const float> pixels) {
    const std::string bytes = onnx_bytes(model);
    cv::dnn::Net net = cv::dnn::readNetFromONNX(bytes.data(), bytes.size());
    std::vector<int> extents;
    for (int i = 0; i < images.rank(); ++i) {
        extents.push_back(static_cast<int>(images[i]));
    }
    cv::Mat input(extents, CV_32F);
    std::copy(pixels.begin(), pixels.end(), input.ptr<float>());
    net.setInput(input);
    const cv::Mat output = net.forward();
    return {output.ptr<float>(), output.ptr<float>() + output.total()};
}

/// What OpenCV computes from the export, beside what was wanted; nothing if it cannot read it: 4.6 knows ReLU6 only as
/// it was written before opset 11.
std::optional<double> difference(const Architecture& architecture, const VariableValues& values, const Shape& images,
                                 std::span<const float> pixels, std::span<const float> want) {
    const OnnxModel exported =
        to_onnx(builder_of(architecture), values, {images[1], images[2], images[3]}, architecture.softmax, "net");
    if (std::ranges::count(exported.nodes, "Clip", &OnnxNode::op) > 0) {
        return std::nullopt;
    }
    return largest_difference(by_opencv(exported, images, pixels), want);
}

// Keras's own outputs for the models that it wrote, imported, exported and run.
TEST(OpenCv, RunsWhatIsExported) {
    int compared = 0;
    for (const auto& path : keras_files(golden_path("interchange"))) {
        SCOPED_TRACE(path.filename().string());
        const KerasGolden keras(path);
        const auto off =
            difference(keras.architecture(), keras.values(), keras.images(), keras.pixels(), keras.outputs());
        compared += off ? 1 : 0;
        EXPECT_LE(off.value_or(0), kOutputTolerance);
    }
    EXPECT_GE(compared, 2);
}

TEST(OpenCv, RunsEveryNetworkWithoutReLU6) {
    int compared = 0;
    for (const models::Model& model : models::all()) {
        SCOPED_TRACE(model.name);
        const Architecture architecture = described(model);
        const Filled filled(architecture);
        const Shape images{2, architecture.height, architecture.width, architecture.channels};
        const std::vector<float> pixels = random_images(images);
        const std::vector<float> want = run_network(builder_of(architecture), filled.values, images, pixels,
                                                    {.softmax = architecture.softmax}, cpu_device(true));
        const auto off = difference(architecture, filled.values, images, pixels, want);
        compared += off ? 1 : 0;
        EXPECT_LE(off.value_or(0), kOutputTolerance);
    }
    EXPECT_GE(compared, 12);
}

}  // namespace
}  // namespace fer::test
