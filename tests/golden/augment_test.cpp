// Augmented images against those that Keras 2.15's ImageDataGenerator makes of the same draws, on every device that can
// run here. FER_AUGMENT_GOLDEN names a larger file of golden_augment.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/formats/safetensors.hpp"
#include "engine/run/devices.hpp"
#include "engine/run/executor.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/open_devices.hpp"

namespace fer::test {
namespace {

using Json = nlohmann::json;

constexpr double kGreyLevels = 1e-3;  // of 0..255

std::string golden_file() {
    const char* given = std::getenv("FER_AUGMENT_GOLDEN");
    return given == nullptr ? golden_path("augment.safetensors") : given;
}

AugmentAttrs attributes_of(const Json& j, std::uint32_t stream) {
    const std::string fill = j.value("fill", "nearest");
    return {.rotation = j.value("rotation", 0.0f),
            .height_shift = j.value("height_shift", 0.0f),
            .width_shift = j.value("width_shift", 0.0f),
            .shear = j.value("shear", 0.0f),
            .zoom = j.value("zoom", 0.0f),
            .horizontal_flip = j.value("horizontal_flip", false),
            .vertical_flip = j.value("vertical_flip", false),
            .brightness_low = j.value("brightness_low", 1.0f),
            .brightness_high = j.value("brightness_high", 1.0f),
            .fill = fill == "constant"  ? FillMode::kConstant
                    : fill == "reflect" ? FillMode::kReflect
                                        : FillMode::kNearest,
            .fill_value = j.value("fill_value", 0.0f),
            .stream = stream};
}

template <class T>
Buffer uploaded(Runtime& runtime, const std::vector<T>& values) {
    Buffer buffer(runtime, static_cast<std::int64_t>(values.size() * sizeof(T)));
    runtime.upload(buffer.data(), values.data(), buffer.bytes());
    return buffer;
}

struct Golden {
    std::uint64_t seed, step;
    std::uint32_t stream, image_stream;
};

/// The data side of a training step on the device, from bytes to what the network would be fed.
std::vector<float> augmented(const Device& device, const Shape& shape, const AugmentAttrs& attrs,
                             const Golden& golden) {
    StepOptions options;
    options.batch = options.input.images = shape[0];
    options.input.stored_height = shape[1];
    options.input.stored_width = shape[2];
    options.input.height = static_cast<int>(shape[1]);
    options.input.width = static_cast<int>(shape[2]);
    options.input.rescale.scale = 1;
    options.input.augment = attrs;
    const Step step = input_step(options);

    const RandomStream random(kGoldenSeed, 0, golden.image_stream);
    std::vector<std::uint8_t> pixels;
    for (std::int64_t i = 0; i < shape.count(); ++i) {
        pixels.push_back(static_cast<std::uint8_t>(random.uniform(static_cast<std::uint64_t>(i)) * 256));
    }
    std::vector<std::int32_t> order;
    for (std::int32_t i = 0; i < shape[0]; ++i) {
        order.push_back(i);
    }
    Runtime& runtime = open_runtime(device);
    const Buffer images = uploaded(runtime, pixels), places = uploaded(runtime, order);
    const Graph* graphs[] = {&step.graph};
    const Variables variables(graphs, runtime);
    variables.write(kClock, static_cast<std::int64_t>(golden.seed), kClockSeed);
    variables.write(kClock, static_cast<std::int64_t>(golden.step), kClockStep);
    Plan plan = make_plan(step.graph, device);
    Arena arena(runtime);
    arena.reserve(plan.arena_bytes);
    Executor executor(std::move(plan), variables, arena,
                      {{kImages, images.data()}, {kLabels, places.data()}, {kOrder, places.data()}});
    executor.run();
    return executor.read<float>(step.input);
}

class AugmentGolden : public ::testing::TestWithParam<std::string_view> {};

TEST_P(AugmentGolden, IsWhatKerasMakesOfTheSameDraws) {
    const SafetensorsFile file(golden_file());
    const auto number = [&](const char* key) { return Json::parse(file.metadata().at(key)).get<std::uint64_t>(); };
    const Golden golden{number("seed"), number("step"), static_cast<std::uint32_t>(number("stream")),
                        static_cast<std::uint32_t>(number("image_stream"))};
    const Device& device = find_device(GetParam());
    for (const Json& one : Json::parse(file.metadata().at("cases"))) {
        SCOPED_TRACE(one.dump());
        const auto* entry = file.find(one["name"].get<std::string>());
        ASSERT_NE(entry, nullptr);
        const auto* want = reinterpret_cast<const float*>(file.data(*entry));
        const AugmentAttrs attrs = attributes_of(one["attributes"], golden.stream);
        const std::vector<float> got = augmented(device, entry->shape, attrs, golden);
        double worst = 0;
        std::int64_t wrong = 0;
        for (std::size_t i = 0; i < got.size(); ++i) {
            const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
            wrong += error <= kGreyLevels ? 0 : 1;
            worst = std::max(worst, error);
        }
        RecordProperty(one["name"].get<std::string>(), fmt::format("{}", worst));
        EXPECT_EQ(wrong, 0) << "of " << got.size() << " pixels; worst " << worst;
    }
}

INSTANTIATE_TEST_SUITE_P(Devices, AugmentGolden, ::testing::ValuesIn(open_devices()),
                         [](const auto& at) { return std::string(at.param); });

}  // namespace
}  // namespace fer::test
