// What is written is read back by its own description alone, and computes the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/core/random.hpp"
#include "engine/graph/op_table.hpp"
#include "engine/interchange/keras_export.hpp"
#include "engine/interchange/onnx_export.hpp"
#include "tests/support/described_networks.hpp"
#include "tests/support/expect_error.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/keras_files.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

using ::testing::HasSubstr;

std::vector<float> through_onnx(const Architecture& architecture, const VariableValues& values, const Shape& images,
                                std::span<const float> pixels) {
    const OnnxModel model =
        to_onnx(builder_of(architecture), values, {images[1], images[2], images[3]}, architecture.softmax, "net");
    return run_onnx(parse_onnx(onnx_bytes(model), "net.onnx"), images, pixels, cpu_device(true));
}

/// `name` is that of the file, whose suffix is its format.
std::vector<float> through_keras(const std::string& name, const Architecture& architecture,
                                 const VariableValues& values, const Shape& images, std::span<const float> pixels) {
    const TemporaryFolder folder;
    if (name.ends_with(".h5")) {
        write_keras_h5(folder / name, to_keras(architecture, values));
    } else {
        write_keras_archive(folder / name, to_keras_archive(architecture, values));
    }
    const KerasFile file = read_keras(folder / name);
    const KerasModel model = parse_keras_config(file.config, name);
    const ImportedWeights weights = take_weights(model, file, name);
    return run_network(builder_of(model.architecture), values_of(weights), images, pixels,
                       {.softmax = model.architecture.softmax}, cpu_device(true));
}

// Keras's own outputs for the models that it wrote, after import, export and import again.
TEST(Export, ModelsOfKerasKeepTheirOutputs) {
    for (const auto& path : keras_files(golden_path("interchange"))) {
        SCOPED_TRACE(path.filename().string());
        const KerasGolden keras(path);
        const auto difference = [&](const std::vector<float>& got) { return largest_difference(got, keras.outputs()); };
        const VariableValues values = keras.values();
        EXPECT_LE(difference(through_onnx(keras.architecture(), values, keras.images(), keras.pixels())),
                  kOutputTolerance);
        for (const char* name : {"net.h5", "net.keras"}) {
            EXPECT_LE(difference(through_keras(name, keras.architecture(), values, keras.images(), keras.pixels())),
                      kOutputTolerance)
                << name;
        }
    }
}

class EveryNetwork : public ::testing::TestWithParam<models::Model> {};

TEST_P(EveryNetwork, DescribesItself) {
    const Architecture architecture = described(GetParam());
    const Filled filled(architecture);
    const Shape images{2, architecture.height, architecture.width, architecture.channels};
    const std::vector<float> pixels = random_images(images);
    const std::vector<float> want =
        run_network(GetParam().build, filled.values, images, pixels, {.width = kWidth}, cpu_device(true));
    EXPECT_LE(largest_difference(
                  run_network(builder_of(architecture), filled.values, images, pixels, {}, cpu_device(true)), want),
              0.0);
    EXPECT_LE(largest_difference(through_onnx(architecture, filled.values, images, pixels), want), kOutputTolerance);
    for (const char* name : {"net.h5", "net.keras"}) {
        EXPECT_LE(largest_difference(through_keras(name, architecture, filled.values, images, pixels), want),
                  kOutputTolerance)
            << name;
    }
}

TEST_P(EveryNetwork, KeepsItsDescriptionThroughKerasJson) {
    const std::string once = keras_config(described(GetParam()));
    EXPECT_EQ(keras_config(parse_keras_config(once, "net").architecture), once);
}

/// Training options survive too: what is frozen, dropout, L2 factors.
TEST_P(EveryNetwork, TrainsTheSameVariables) {
    const Architecture architecture = parse_keras_config(keras_config(described(GetParam())), "net").architecture;
    StepOptions options;
    options.batch = options.input.images = 2;
    options.input.height = architecture.height;
    options.input.width = architecture.width;
    options.input.channels = architecture.channels;
    options.fuse = "off";
    const Step again = training_step(builder_of(architecture), options);
    options.width = kWidth;
    const Step first = training_step(GetParam().build, options);
    ASSERT_EQ(again.variables.size(), first.variables.size());
    for (std::size_t i = 0; i < first.variables.size(); ++i) {
        EXPECT_EQ(again.variables[i].trainable, first.variables[i].trainable)
            << first.graph.value(first.variables[i].id).name;
    }
    const auto count = [](const Step& step, OpKind kind) {
        return std::ranges::count(step.graph.nodes(), kind, &Node::kind);
    };
    for (const OpKind kind : {OpKind::kDropout, OpKind::kL2Penalty, OpKind::kBatchNorm, OpKind::kConv2dWgrad}) {
        EXPECT_EQ(count(again, kind), count(first, kind)) << name_of(kind);
    }
}

INSTANTIATE_TEST_SUITE_P(All, EveryNetwork, ::testing::ValuesIn(models::all().begin(), models::all().end()),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Onnx, RefusesKernelsOfIntegers) {
    const Architecture architecture = described(models::find("simpler_cnn"));
    const Filled filled(architecture);
    const Shape images{2, 48, 48, 1};
    const std::vector<float> pixels = random_images(images);
    for (const std::size_t axes : {4u, 2u}) {
        OnnxModel model = to_onnx(builder_of(architecture), filled.values, {48, 48, 1}, true, "net");
        const auto kernel = std::ranges::find(model.initializers, axes, [](const auto& c) { return c.dims.size(); });
        ASSERT_NE(kernel, model.initializers.end());
        kernel->ints.assign(kernel->floats.size(), 1);
        kernel->floats.clear();
        EXPECT_THAT(error_of<DataError>(
                        [&] { run_onnx(parse_onnx(onnx_bytes(model), "net.onnx"), images, pixels, cpu_device(true)); }),
                    HasSubstr("its kernel is not of float32"));
    }
}

TEST(Onnx, RefusesDamagedBytes) {
    Architecture architecture = described(models::find("simpler_cnn"));
    const Filled filled(architecture);
    const std::string bytes = onnx_bytes(to_onnx(builder_of(architecture), filled.values, {48, 48, 1}, true, "net"));
    for (const std::size_t length :
         {std::size_t{0}, std::size_t{1}, std::size_t{40}, bytes.size() / 2, bytes.size() - 1}) {
        SCOPED_TRACE(length);
        EXPECT_THAT(error_of<DataError>([&] { parse_onnx(bytes.substr(0, length), "net.onnx"); }),
                    HasSubstr("net.onnx is not a usable ONNX file"));
    }
    int refused = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
        std::string flipped = bytes.substr(0, 4000) + bytes.substr(4000);
        const RandomStream random(3, i, 0);
        flipped[static_cast<std::size_t>(random.uniform(0) * static_cast<float>(flipped.size() - 1))] ^=
            static_cast<char>(1 << (i % 8));
        try {
            parse_onnx(flipped, "net.onnx");
        } catch (const DataError&) {
            ++refused;
        }
    }
    EXPECT_LT(refused, 300) << "most bits are weights";
}

}  // namespace
}  // namespace fer::test
