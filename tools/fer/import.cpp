#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "engine/core/text.hpp"
#include "engine/formats/file_kind.hpp"
#include "engine/graph/step.hpp"
#include "engine/interchange/torch_weights.hpp"
#include "engine/interchange/weights.hpp"
#include "engine/train/checkpoint.hpp"
#include "engine/train/trainer.hpp"
#include "models/models.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/preprocess.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

struct ImportFlags {
    std::string file, model = "auto", output, classes, class_order, preprocess, input;
    bool list = false, quiet_table = false;
};

/// What an import gives, whatever it came from.
struct Imported {
    ModelCard card;
    ImportedWeights weights;
    int outputs = 0;  // 0: a trunk
    std::vector<std::string> notes;
};

/// "48x48x1"
Shape parse_size(const std::string& text) {
    Shape shape;
    const char* at = text.data();
    const char* end = at + text.size();
    while (at < end && shape.rank() < 3) {
        int value = 0;
        const auto [next, error] = std::from_chars(at, end, value);
        FER_CHECK(error == std::errc() && value > 0 && value <= 4096 && (next == end || *next == 'x'),
                  "--input: '{}' is not HEIGHTxWIDTHxCHANNELS", text);
        shape.push_back(value);
        at = next + (next == end ? 0 : 1);
    }
    FER_CHECK(text.empty() || (shape.rank() == 3 && at == end), "--input: '{}' is not HEIGHTxWIDTHxCHANNELS", text);
    return shape;
}

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> words;
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        words.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(std::min(rest.size(), comma + 1));
    }
    return words;
}

std::vector<std::string> numbered(int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) {
        names.push_back(std::to_string(i));
    }
    return names;
}

/// Seven outputs without names could be in either of two orders: the file does not say, so a person must.
std::vector<std::string> class_names(const ImportFlags& flags, int outputs) {
    if (!flags.classes.empty()) {
        std::vector<std::string> names = split(flags.classes);
        FER_CHECK(static_cast<int>(names.size()) == outputs, "--classes: {} names for {} outputs", names.size(),
                  outputs);
        FER_CHECK(std::set(names.begin(), names.end()).size() == names.size(), "--classes: a name stands twice");
        return names;
    }
    if (!flags.class_order.empty()) {
        FER_CHECK(outputs == models::kClasses, "--class-order: the model has {} outputs, not {}", outputs,
                  models::kClasses);
        return flags.class_order == "folder" ? kFolderOrder : kCsvOrder;
    }
    if (outputs == models::kClasses) {
        throw DataError(fmt::format("class order of '{}' is unknown ({} outputs, no names stored)",
                                    fs::path(flags.file).filename().string(), outputs))
            .because("Kaggle's folders end in neutral, sad, surprise, fer2013.csv in sad, surprise, neutral")
            .try_this("--class-order folder, or --class-order csv");
    }
    return numbered(outputs);
}

Step step_of(const models::Model& model) {
    StepOptions options = step_options({}, model.height, model.width, model.channels, models::kClasses);
    options.batch = options.input.images = 1;
    options.fuse = "off";
    return evaluation_step(model.build, options);
}

Imported onto(const models::Model& model, const KerasFile& file, const std::string& name) {
    Imported result;
    result.weights = match_weights(target_layers(step_of(model)), file, name, std::string(model.name));
    result.card.model = model.name;
    result.card.height = model.height;
    result.card.width = model.width;
    result.card.channels = model.channels;
    result.outputs = models::kClasses;
    return result;
}

/// The one network whose layers these are.
Imported onto_any(const KerasFile& file, const std::string& name) {
    std::vector<Imported> fits;
    std::string why;
    for (const models::Model& model : models::all()) {
        try {
            fits.push_back(onto(model, file, name));
        } catch (const DataError& error) {
            if (std::string_view(error.what()).find("does not fit") == std::string_view::npos) {
                throw;  // damaged, or known to be something else
            }
            why = error.why();
        }
    }
    if (fits.size() == 1) {
        return std::move(fits.front());
    }
    std::vector<std::string> names;
    for (const Imported& fit : fits) {
        names.push_back(fit.card.model);
    }
    if (fits.empty()) {
        throw DataError(fmt::format("the weights in {} fit no network of fer", name))
            .because("they are without their layer graph, so only known networks can take them")
            .try_this("--model NAME says what is missing or surplus (fer summary --list)");
    }
    throw DataError(fmt::format("the weights in {} fit several networks", name))
        .because(fmt::format("{}", fmt::join(names, ", ")))
        .try_this("--model " + names.front());
}

Imported from_keras(const ImportFlags& flags) {
    const std::string name = fs::path(flags.file).filename().string();
    const KerasFile file = read_keras(flags.file);
    if (flags.model != "auto") {
        return onto(models::find(flags.model), file, name);
    }
    if (file.config.empty()) {
        return onto_any(file, name);
    }
    Imported result;
    const KerasModel model = parse_keras_config(file.config, name, parse_size(flags.input));
    try {
        result.outputs = classes_of(model.architecture);
    } catch (const UsageError& error) {
        throw DataError(fmt::format("{} is no classifier", name))
            .because(error.what())
            .try_this("--model NAME takes a trunk's weights into one of fer's networks");
    }
    result.weights = take_weights(model, file, name);
    result.card.model = model.architecture.name;
    result.card.height = model.architecture.height;
    result.card.width = model.architecture.width;
    result.card.channels = model.architecture.channels;
    result.card.architecture = keras_config(model.architecture);
    result.notes = model.notes;
    const bool rescales = std::ranges::any_of(
        model.architecture.layers, [](const LayerSpec& layer) { return layer.kind == LayerKind::kRescaling; });
    if (rescales) {
        result.card.rescale = 1;
    }
    return result;
}

Imported from_torch(const ImportFlags& flags) {
    const std::string name = fs::path(flags.file).filename().string();
    const SafetensorsFile file{fs::path(flags.file)};
    if (file.metadata().contains("fer.model")) {
        throw DataError(fmt::format("{} is fer's own already", name)).try_this("fer evaluate " + flags.file);
    }
    TorchModel model = read_torch_weights(file, name);
    Imported result;
    result.outputs = classes_of(model.architecture);
    result.weights = std::move(model.weights);
    result.card.model = model.architecture.name;
    result.card.height = model.architecture.height;
    result.card.width = model.architecture.width;
    result.card.channels = model.architecture.channels;
    result.card.architecture = keras_config(model.architecture);
    result.card.offset = model.offset;
    result.notes = model.notes;
    return result;
}

void print_table(const std::vector<Mapping>& table) {
    std::size_t source = 6;
    std::size_t target = 8;
    for (const Mapping& row : table) {
        source = std::max(source, row.source.size());
        target = std::max(target, row.target.size());
    }
    fmt::print("{:<{}}  {:<{}}  {:<20} {:>9}\n", "source", source, "variable", target, "shape", "max |w|");
    for (const Mapping& row : table) {
        fmt::print("{:<{}}  {:<{}}  {:<20} {:>9.4g}{}{}\n", row.source.empty() ? "-" : row.source, source,
                   row.target.empty() ? "-" : row.target, target, row.shape.str(), row.max_abs,
                   row.remark.empty() ? "" : "  ", row.remark);
    }
}

int list(const ImportFlags& flags) {
    if (file_kind(flags.file) == FileKind::kSafetensors) {
        const SafetensorsFile file{fs::path(flags.file)};
        for (const auto& entry : file.entries()) {
            fmt::print("{:<60} {:<5} {}\n", entry.name, name_of(entry.dtype), entry.shape.str());
        }
        return 0;
    }
    const KerasFile file = read_keras(flags.file);
    fmt::print("Keras {}, {}, {}\n", file.keras_version.empty() ? "of unknown version" : file.keras_version,
               file.layout == KerasLayout::kByName ? "layers by name" : "layers by container",
               file.config.empty() ? "weights alone" : "with its layer graph");
    for (const KerasGroup& group : file.groups) {
        for (const KerasTensor& tensor : group.tensors) {
            fmt::print("{:<32} {:<48} {}\n", group.name, tensor.name, tensor.shape.str());
        }
    }
    return 0;
}

void set_preprocess(Imported& imported, const ImportFlags& flags) {
    if (!flags.preprocess.empty()) {
        const Preprocess scale = preprocess_of(flags.preprocess);
        imported.card.rescale = scale.rescale;
        imported.card.offset = scale.offset;
    }
}

int import(const ImportFlags& flags) {
    if (flags.list) {
        return list(flags);
    }
    if (flags.model != "auto") {
        models::find(flags.model);
    }
    const fs::path input = flags.file;
    const bool state_dict = input.extension() == ".safetensors";
    const fs::path output = !flags.output.empty() ? flags.output
                            : state_dict          ? input.stem().string() + ".fer.safetensors"
                                                  : input.stem().string() + ".safetensors";
    std::error_code error;
    FER_CHECK(!fs::equivalent(input, output, error), "--output: {} is the file that is imported", output.string());
    const FileKind kind = file_kind(input);
    FER_CHECK(kind != FileKind::kSafetensors || flags.model == "auto",
              "--model is for Keras files; the names in a state dict tell its network");
    Imported imported = kind == FileKind::kSafetensors ? from_torch(flags) : from_keras(flags);
    imported.card.complete = imported.weights.complete;
    imported.card.classes = imported.weights.complete ? class_names(flags, imported.outputs) : kFolderOrder;
    imported.card.data = "";
    set_preprocess(imported, flags);
    write_safetensors(output, imported.weights.tensors, card_metadata(imported.card));
    print_table(imported.weights.table);
    std::int64_t count = 0;
    for (const TensorView& tensor : imported.weights.tensors) {
        count += tensor.shape.count();
    }
    for (const std::string& text : imported.notes) {
        note(text);
    }
    const ModelCard& card = imported.card;
    fmt::print("{}: {} parameters, images {}x{}x{}, {}\n", card.model, thousands(count), card.height, card.width,
               card.channels,
               card.complete ? fmt::format("{} classes", card.classes.size()) : "a trunk without its head");
    if (card.complete) {
        fmt::print("input: bytes times {:.6g}, plus {:.6g}, {:.6g}, {:.6g}\n", card.rescale, card.offset[0],
                   card.offset[1], card.offset[2]);
    }
    fmt::print("saved {}\n", output.string());
    return 0;
}

}  // namespace

void add_import(Program& program) {
    auto flags = std::make_shared<ImportFlags>();
    CLI::App* command = program.app.add_subcommand("import", "Keras and PyTorch weights into fer's own");
    command->add_option("file", flags->file, ".h5, .weights.h5, .keras, or a state dict as .safetensors")->required();
    command->add_option("--model", flags->model,
                        "a network of fer that takes the weights; auto: the file's own layers");
    command->add_option("--output", flags->output, "default: the file's name with .safetensors, here");
    command->add_flag("--list", flags->list, "show the tensors in the file and stop");
    command->add_option("--classes", flags->classes, "names of the outputs, separated by commas");
    command->add_option("--class-order", flags->class_order, "of seven emotions: folder | csv")
        ->check(one_of({"folder", "csv"}));
    command->add_option("--preprocess", flags->preprocess, "of the bytes: rescale (1/255) | none | caffe | tf")
        ->check(one_of({"rescale", "none", "caffe", "tf"}));
    command->add_option("--input", flags->input, "HEIGHTxWIDTHxCHANNELS, where the file leaves it open");
    command->callback([&program, flags] { program.run = [flags] { return import(*flags); }; });
}

}  // namespace fer::tool
