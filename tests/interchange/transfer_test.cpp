// Networks against real Keras: logits and the gradients of one training step, from a Keras file. Those on trunks on
// every run, narrow; all of them at full size by tests/golden/full_parity.sh.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <numeric>

#include "engine/graph/gradient.hpp"
#include "engine/graph/step.hpp"
#include "engine/run/executor.hpp"
#include "models/models.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/keras_files.hpp"
#include "tests/support/step_runner.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fer::test {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kBatch = 3;
constexpr double kLogitTolerance = 1e-4;     // largest difference, float32 on both sides
constexpr double kGradientTolerance = 1e-7;  // squared error over squared size

constexpr const char* kNetworks[] = {"vgg16_tl", "resnet50v2_tl", "mobilenetv2_tl", "resnet50_tl", "vgg16_fc_tl"};

/// One forward pass in inference and one training pass, on images of float or double and in that arithmetic.
template <class T>
class ImportedNetwork {
public:
    ImportedNetwork(const models::Model& model, float width, int side, const Device& device)
        : images_(random_images({kBatch, side, side, model.channels})) {
        build(model, width, side, Mode::kInfer, inference_, logits_);
        ValueId ignored = kNoValue;
        build(model, width, side, Mode::kTrain, training_, ignored);
        const ValueId loss = training_.apply(OpKind::kSoftmaxXent, "loss", XentAttrs{},
                                             {ignored, training_.find(kLabels), training_.find(kClassWeights)})[0];
        for (const Variable& variable : variables_) {
            if (variable.trainable) {
                trained_.push_back(variable.id);
            }
        }
        gradients_ = differentiate(training_, loss, trained_);
        for (const ValueId gradient : gradients_) {
            training_.keep(gradient);
        }
        const Graph* graphs[] = {&training_, &inference_};
        values_.emplace(graphs);
        const std::vector<T> ones(models::kClasses, T{1});
        values_->write(kClassWeights, std::span<const T>(ones));
        plan(device);
    }

    const Variables& values() const { return *values_; }
    void load(const ImportedWeights& weights) const {
        for (const TensorView& tensor : weights.tensors) {
            const auto* data = static_cast<const float*>(tensor.data);
            const std::vector<T> converted(data, data + tensor.shape.count());
            values_->write(tensor.name, std::span<const T>(converted));
        }
    }
    std::vector<T> logits() {
        infer_->run();
        return infer_->template read<T>(logits_);
    }
    /// By name of the trained variable.
    std::map<std::string, std::vector<T>> gradients() {
        train_->run();
        std::map<std::string, std::vector<T>> result;
        for (std::size_t i = 0; i < trained_.size(); ++i) {
            result[training_.value(trained_[i]).name] = train_->template read<T>(gradients_[i]);
        }
        return result;
    }

private:
    static constexpr DType kReal = sizeof(T) == 8 ? DType::kF64 : DType::kF32;

    static std::vector<T> random_images(const Shape& shape) {
        const RandomStream random(kGoldenSeed, 0, kGoldenImageStream);
        std::vector<T> pixels(static_cast<std::size_t>(shape.count()));
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            const auto image = i / (pixels.size() / kBatch);
            pixels[i] = (2.0f * random.uniform(i) - 1.0f) / static_cast<float>(1u << image);
        }
        return pixels;
    }

    void build(const models::Model& model, float width, int side, Mode mode, Graph& graph, ValueId& logits) {
        const ValueId clock = graph.add(kClock, Role::kState, {{kClockFields}, DType::kI64});
        graph.add(kClassWeights, Role::kState, {{models::kClasses}, kReal});
        graph.add(kLabels, Role::kInput, {{kBatch}, DType::kI32});
        const ValueId x = graph.add("input", Role::kInput, {{kBatch, side, side, model.channels}, kReal});
        Net net(graph, x, clock, {.mode = mode, .width = width, .dropout = false});
        model.build(net);
        logits = net.here();
        graph.keep(logits);
        variables_ = net.variables();
    }

    void plan(const Device& device) {
        PlanOptions how;
        how.gap = kCanaryBytes;
        Plan infer = make_plan(inference_, device, how);
        Plan train = make_plan(training_, device, how);
        arena_.reserve(std::max(infer.arena_bytes, train.arena_bytes));
        const std::map<std::string, const void*> inputs{{"input", images_.data()}, {kLabels, labels_}};
        infer_.emplace(std::move(infer), *values_, arena_, inputs);
        train_.emplace(std::move(train), *values_, arena_, inputs);
    }

    static constexpr std::int32_t labels_[kBatch] = {0, 3, 6};
    std::vector<T> images_;
    Graph inference_, training_;
    ValueId logits_ = kNoValue;
    std::vector<Variable> variables_;
    std::vector<ValueId> trained_, gradients_;
    std::optional<Variables> values_;
    Arena arena_;
    std::optional<Executor> infer_, train_;
};

/// Sum of squared differences; the squares of what was wanted are added to `size`.
template <class T>
double squared_error(std::span<const T> got, std::span<const float> want, double& size) {
    double error = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
        const double d = static_cast<double>(got[i]) - static_cast<double>(want[i]);
        error += d * d;
        size += static_cast<double>(want[i]) * static_cast<double>(want[i]);
    }
    return error;
}

std::vector<TargetLayer> targets_of(const models::Model& model, float width, int side) {
    StepOptions options;
    options.batch = options.input.images = 1;
    options.input.height = options.input.width = side;
    options.input.channels = model.channels;
    options.width = width;
    options.fuse = "off";
    return target_layers(evaluation_step(model.build, options));
}

// A file of the network's structure under Keras's names, its values by formula; what Keras computed is committed.
TEST(Transfer, NarrowNetworksGiveKerasLogitsAndGradients) {
    const SafetensorsFile golden(golden_path("interchange/transfer.safetensors"));
    const auto width = std::stof(golden.metadata().at("width"));
    const int side = std::stoi(golden.metadata().at("side"));
    for (const std::string name : kNetworks) {
        SCOPED_TRACE(name);
        const models::Model& model = models::find(name);
        std::vector<std::vector<float>> owned;
        KerasFile file{.keras_version = "2.15.0", .config = "{}", .groups = {}, .storage = {}};
        for (const TargetLayer& layer : targets_of(model, width, side)) {
            file.groups.push_back({layer.name, {}});
            for (std::size_t i = 0; i < layer.kinds.size(); ++i) {
                const std::string variable = layer.name + "/" + layer.kinds[i];
                const auto stream =
                    ::crc32(0, reinterpret_cast<const Bytef*>(variable.data()), static_cast<uInt>(variable.size()));
                const std::string kind = layer.kinds[i].ends_with("kernel") ? "kernel" : layer.kinds[i];
                const std::vector<double> values =
                    golden_tensor(kind, static_cast<std::uint32_t>(stream) & 0x7fffffffu, layer.shapes[i]);
                owned.emplace_back(values.begin(), values.end());
                file.groups.back().tensors.push_back({variable + ":0", layer.shapes[i], owned.back()});
            }
        }
        const TemporaryFolder folder;
        write_keras_h5(folder / "w.h5", file);
        const KerasFile read = read_keras(folder / "w.h5");
        const ImportedWeights weights = match_weights(targets_of(model, width, side), read, "w.h5", name);
        EXPECT_TRUE(weights.complete);

        ImportedNetwork<float> network(model, width, side, cpu_device(true));
        network.load(weights);
        EXPECT_LE(largest_difference(network.logits(), golden.get<float>(name + "/logits")), kLogitTolerance);
        double error = 0;
        double size = 0;
        std::size_t compared = 0;
        for (const auto& [variable, gradient] : network.gradients()) {
            const auto want = golden.get<float>(name + "/gradient/" + variable);
            std::vector<float> got;
            for (std::size_t k = 0; k < want.size(); ++k) {
                got.push_back(gradient[gradient.size() <= 16 ? k : k * gradient.size() / 16]);
            }
            error += squared_error(std::span<const float>(got), want, size);
            ++compared;
        }
        EXPECT_LE(error, kGradientTolerance * size);
        EXPECT_EQ(compared,
                  std::ranges::count_if(golden.entries(),
                                        [&](const auto& entry) { return entry.name.starts_with(name + "/gradient/"); }))
            << "what is trained here is what Keras trains";
    }
}

TEST(Transfer, FrozenWeightsStayBitForBit) {
    for (const std::string name : kNetworks) {
        SCOPED_TRACE(name);
        StepOptions options;
        options.batch = 2;
        options.input.images = 4;
        options.input.height = options.input.width = 33;
        options.input.channels = 3;
        options.width = 0.05f;
        StepRunner runner(models::find(name).build, options, cpu_device(true));
        std::map<std::string, std::vector<char>> before;
        for (const Variable& variable : runner.step().variables) {
            const std::string& at = runner.step().graph.value(variable.id).name;
            before[at] = runner.variables().read_bytes(runner.variables().at(at));
        }
        runner.train();
        runner.train();
        std::size_t moved = 0;
        for (const Variable& variable : runner.step().variables) {
            const std::string& at = runner.step().graph.value(variable.id).name;
            const bool same = runner.variables().read_bytes(runner.variables().at(at)) == before[at];
            // Moving statistics are frozen with the gamma of their layer.
            const Graph& graph = runner.step().graph;
            const ValueId gamma = graph.find(at.substr(0, at.rfind('/')) + "/gamma");
            const bool frozen = graph.value(gamma == kNoValue ? variable.id : gamma).role != Role::kParameter;
            EXPECT_TRUE(same || !frozen) << at;
            moved += same ? 0 : 1;
        }
        EXPECT_GT(moved, 0u);
    }
}

/// How far a network is from what Keras computes in float64.
struct Distance {
    double logits = 0;     // largest difference
    double gradients = 0;  // NMSE over all of them
    bool top5 = true;      // the same five classes in the same order, for every image
};

template <class T>
Distance distance(const models::Model& model, const ImportedWeights& weights, const SafetensorsFile& golden,
                  const Device& device) {
    ImportedNetwork<T> network(model, 1, model.height, device);
    network.load(weights);
    const std::vector<T> logits = network.logits();
    const auto want = golden.get<float>("logits");
    Distance result;
    for (std::size_t i = 0; i < want.size(); ++i) {
        result.logits =
            std::max(result.logits, std::abs(static_cast<double>(logits[i]) - static_cast<double>(want[i])));
    }
    const auto top = [](const auto& values, std::int64_t image) {
        std::vector<int> order(models::kClasses);
        std::iota(order.begin(), order.end(), 0);
        std::ranges::stable_sort(order, std::ranges::greater{},
                                 [&](int c) { return values[static_cast<std::size_t>(image * models::kClasses + c)]; });
        order.resize(5);
        return order;
    };
    for (std::int64_t image = 0; image < kBatch; ++image) {
        result.top5 = result.top5 && top(logits, image) == top(want, image);
    }
    double error = 0;
    double size = 0;
    for (const auto& [variable, gradient] : network.gradients()) {
        error += squared_error(std::span<const T>(gradient), golden.get<float>("gradient/" + variable), size);
    }
    result.gradients = error / size;
    return result;
}

// tests/golden/full_parity.sh prints this table; the files are Keras's own, at full size.
TEST(Transfer, FullSizeParity) {
    const char* folder = std::getenv("FER_PARITY");
    if (folder == nullptr) {
        GTEST_SKIP() << "FER_PARITY names no folder (tests/golden/full_parity.sh)";
    }
    fmt::print("| network | parameters | float64 | float32 | Keras in float32 |\n|---|---:|---:|---:|---:|\n");
    for (const models::Model& model : models::all()) {
        const std::string name(model.name);
        SCOPED_TRACE(name);
        if (name.starts_with("fer_")) {
            continue;  // ours, unknown to the reference
        }
        const SafetensorsFile golden(fs::path(folder) / (name + ".safetensors"));
        const KerasFile file = read_keras(fs::path(folder) / (name + ".h5"));
        const ImportedWeights weights = match_weights(targets_of(model, 1, model.height), file, name + ".h5", name);
        const Distance exact = distance<double>(model, weights, golden, cpu_device(true));
        const Distance single = distance<float>(model, weights, golden, cpu_device());
        // In float32 a ReLU or a maximum at its kink falls to one side, and batch norms over three images carry it on:
        // the whole gradient can be no closer than that.
        const double own = std::stod(golden.metadata().at("keras_float32"));
        const double own_logits = std::stod(golden.metadata().at("keras_float32_logits"));
        EXPECT_LE(exact.logits, 1e-5);
        EXPECT_LE(exact.gradients, 1e-12);
        EXPECT_LE(single.logits, std::max(kLogitTolerance, 4 * own_logits));
        EXPECT_LE(single.gradients, model.height == 48 ? 1e-2 : std::max(kGradientTolerance, 4 * own));
        EXPECT_TRUE(exact.top5);
        EXPECT_TRUE(single.top5);
        fmt::print("| `{}` | {} | {:.1g}, {:.1g} | {:.1g}, {:.1g} | {:.1g}, {:.1g} |\n", name, model.total,
                   exact.logits, exact.gradients, single.logits, single.gradients, own_logits, own);
        std::fflush(stdout);
    }
}

}  // namespace
}  // namespace fer::test
