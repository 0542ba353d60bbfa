#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/file.hpp"
#include "engine/core/random.hpp"
#include "engine/interchange/keras_export.hpp"
#include "engine/interchange/onnx_export.hpp"
#include "engine/interchange/weights.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/loaded_model.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct ExportFlags {
    std::string run, format = "onnx", output;
    double tolerance = 1e-5;
};

/// A model with what every format needs of it.
struct Source {
    const LoadedModel& model;
    Architecture architecture;
    VariableValues values;
};

Source source_of(const LoadedModel& model) {
    Source source{model, {}, {}};
    if (model.card.architecture.empty()) {
        StepOptions options = options_of_card(model.card);
        options.batch = options.input.images = 1;
        options.fuse = "off";
        source.architecture = architecture_of(training_step(model.build, options), model.card.model);
    } else {
        source.architecture = parse_keras_config(model.card.architecture, model.path.string()).architecture;
    }
    for (const auto& entry : model.file.entries()) {
        if (entry.dtype != DType::kF32) {
            throw DataError(
                fmt::format("{}: '{}' is {}, not float32", model.path.string(), entry.name, name_of(entry.dtype)));
        }
        source.values[entry.name] = model.file.data(entry);
    }
    for (const auto& target : target_layers(evaluation_step_of(source.architecture))) {
        for (std::size_t i = 0; i < target.kinds.size(); ++i) {
            const auto* entry = model.file.find(target.name + "/" + target.kinds[i]);
            if (entry == nullptr || entry->shape != target.shapes[i]) {
                throw DataError(fmt::format("{} does not fit its own layers", model.path.string()))
                    .because(fmt::format("'{}/{}' is missing or of another shape", target.name, target.kinds[i]));
            }
        }
    }
    return source;
}

/// Four images of random bytes, as the network sees them.
std::vector<float> probe(const ModelCard& card, const Shape& images) {
    const RandomStream random(2026, 0, stream_of("export"));
    std::vector<float> pixels(static_cast<std::size_t>(images.count()));
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        const std::size_t channel = i % static_cast<std::size_t>(card.channels);
        pixels[i] = std::floor(256 * random.uniform(i)) * static_cast<float>(card.rescale) + card.offset[channel];
    }
    return pixels;
}

std::map<std::string, std::string> onnx_metadata(const ModelCard& card) {
    const nlohmann::json preprocess{{"rescale", card.rescale},
                                    {"offset", card.offset},
                                    {"resize", card.bilinear ? "bilinear" : "nearest"},
                                    {"channels", card.channels == 1 ? "grey" : "grey repeated"}};
    return {{"classes", nlohmann::json(card.classes).dump()}, {"preprocess", preprocess.dump()}, {"model", card.model}};
}

void write(const Source& source, const std::string& format, const fs::path& path) {
    const ModelCard& card = source.model.card;
    if (format == "onnx") {
        OnnxModel model = to_onnx(builder_of(source.architecture), source.values,
                                  {card.height, card.width, card.channels}, source.architecture.softmax, card.model);
        model.metadata = onnx_metadata(card);
        write_file(path, onnx_bytes(model));
    } else if (format == "h5") {
        write_keras_h5(path, to_keras(source.architecture, source.values));
    } else if (format == "keras") {
        write_keras_archive(path, to_keras_archive(source.architecture, source.values));
    } else {
        ModelCard described = card;
        described.architecture = keras_config(source.architecture);
        described.width_factor = 1;
        std::vector<TensorView> tensors;
        for (const auto& entry : source.model.file.entries()) {
            tensors.push_back({entry.name, entry.dtype, entry.shape, source.model.file.data(entry)});
        }
        write_safetensors(path, tensors, card_metadata(described));
    }
}

/// What the written file gives, by its own description alone.
std::vector<float> read_back(const std::string& format, const fs::path& path, const Shape& images,
                             std::span<const float> pixels) {
    const std::string name = path.filename().string();
    if (format == "onnx") {
        return run_onnx(parse_onnx(read_file(path), name), images, pixels, cpu_device());
    }
    VariableValues values;
    if (format == "h5" || format == "keras") {
        const KerasFile file = read_keras(path);
        const KerasModel model = parse_keras_config(file.config, name);
        const ImportedWeights weights = take_weights(model, file, name);
        for (const TensorView& tensor : weights.tensors) {
            values[tensor.name] = tensor.data;
        }
        return run_network(builder_of(model.architecture), values, images, pixels,
                           {.softmax = model.architecture.softmax}, cpu_device());
    }
    const SafetensorsFile file(path);
    const Architecture architecture = parse_keras_config(read_card(file, name).architecture, name).architecture;
    for (const auto& entry : file.entries()) {
        values[entry.name] = file.data(entry);
    }
    return run_network(builder_of(architecture), values, images, pixels, {.softmax = architecture.softmax},
                       cpu_device());
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    double largest = a.size() == b.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        largest = d >= 0 ? std::max(largest, d) : INFINITY;
    }
    return largest;
}

int run_export(const ExportFlags& flags) {
    const LoadedModel model(flags.run);
    const Source source = source_of(model);
    const std::string suffix = flags.format == "safetensors" ? "described.safetensors" : flags.format;
    const fs::path output = flags.output.empty() ? model.card.model + "." + suffix : flags.output;
    const fs::path unchecked = output.string() + fmt::format(".unchecked-{}", ::getpid());
    struct Remove {
        fs::path path;
        ~Remove() {
            std::error_code ignored;
            fs::remove(path, ignored);
        }
    };
    const Remove remove{unchecked};
    write(source, flags.format, unchecked);

    const Shape images{4, model.card.height, model.card.width, model.card.channels};
    const std::vector<float> pixels = probe(model.card, images);
    const std::vector<float> want = run_network(
        model.build, source.values, images, pixels,
        {.softmax = source.architecture.softmax, .width = static_cast<float>(model.card.width_factor)}, cpu_device());
    const double difference = largest_difference(read_back(flags.format, unchecked, images, pixels), want);
    if (!(difference <= flags.tolerance)) {
        throw GateError(fmt::format("the export differs from {} by {:.3g}", model.path.string(), difference))
            .because(fmt::format("read back, its outputs for {} images may differ by {:g}", images[0], flags.tolerance))
            .try_this(fmt::format("--tolerance {:.1g} if that is near enough", difference * 2));
    }
    std::error_code error;
    fs::rename(unchecked, output, error);
    if (error) {
        throw OutputError(fmt::format("cannot write {}", output.string())).because(error.message());
    }
    fmt::print("read back: largest difference {:.3g} on {} images (tolerance {:g})\n", difference, images[0],
               flags.tolerance);
    fmt::print("saved {} ({} bytes)\n", output.string(), fs::file_size(output));
    return 0;
}

}  // namespace

void add_export(Program& program) {
    auto flags = std::make_shared<ExportFlags>();
    CLI::App* command =
        program.app.add_subcommand("export", "a trained network as ONNX, Keras or described safetensors");
    command->add_option("run", flags->run, "run folder or weights file")->required();
    command
        ->add_option("--format", flags->format,
                     "onnx (opset 17) | h5 (Keras 2) | keras (Keras v3) | safetensors (with its layers)")
        ->check(one_of({"onnx", "h5", "keras", "safetensors"}))
        ->capture_default_str();
    command->add_option("--output", flags->output, "default: the model's name with the format's suffix, here");
    command->add_option("--tolerance", flags->tolerance, "largest difference of an output, read back")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command->callback([&program, flags] { program.run = [flags] { return run_export(*flags); }; });
}

}  // namespace fer::tool
