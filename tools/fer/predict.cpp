#include <algorithm>
#include <atomic>
#include <csignal>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "engine/core/file.hpp"
#include "engine/report/classification.hpp"
#include "tools/fer/classifier.hpp"
#include "tools/fer/commands.hpp"
#include "tools/fer/console.hpp"
#include "tools/fer/found_faces.hpp"
#include "tools/fer/sample_grid.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct PredictFlags {
    std::string run;
    DeviceFlags device;
    std::vector<std::string> inputs;
    SearchOptions search;
    SampleFlags sample;
    std::string save_images;
    int top = 3, batch = 256;
    bool json = false, jsonl = false;
};

std::atomic<bool> stop_requested{false};

void on_signal(int signal) {
    stop_requested = true;
    std::signal(signal, SIG_DFL);  // a second one ends the program at once
}

Json row_json(const FoundFace& found, const std::vector<std::string>& classes) {
    Json json{{"file", found.file}, {"status", found.status}};
    if (found.frame >= 0) {
        json["frame"] = found.frame;
        json["time_s"] = found.time_s;
    }
    if (found.status != "ok") {
        if (!found.reason.empty()) {
            json["reason"] = found.reason;
        }
        return json;
    }
    if (found.number > 0) {
        json["face"] = found.number;
        json["box"] = {found.box.x, found.box.y, found.box.width, found.box.height};
    }
    const int best = argmax(found.scores);
    json["label"] = classes[static_cast<std::size_t>(best)];
    json["score"] = found.scores[static_cast<std::size_t>(best)];
    for (std::size_t c = 0; c < classes.size(); ++c) {
        json["emotions"][classes[c]] = found.scores[c];
    }
    return json;
}

std::string row_text(const FoundFace& found, const std::vector<std::string>& classes, std::size_t width, int top) {
    std::string text = fmt::format("{:<{}}", found.file, width);
    if (found.frame >= 0) {
        text += fmt::format("  frame {}", found.frame);
    }
    if (found.status == "no_face") {
        return text + "  no face";
    }
    if (found.status != "ok") {
        return fmt::format("{}  {}: {}", text, found.status, found.reason);
    }
    if (found.number > 0) {
        text += fmt::format("  face {}  [{},{},{},{}]", found.number, found.box.x, found.box.y, found.box.width,
                            found.box.height);
    }
    std::vector<std::size_t> order(classes.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t c) { return found.scores[c]; });
    for (std::size_t k = 0; k < std::min(order.size(), static_cast<std::size_t>(top)); ++k) {
        text += fmt::format("  {} {:.2f}", classes[order[k]], found.scores[order[k]]);
    }
    return text;
}

/// Copies of what was looked at, with a box and a word at every face.
class AnnotatedCopies {
public:
    AnnotatedCopies(fs::path folder, std::vector<std::string> classes)
        : folder_(std::move(folder)), classes_(std::move(classes)) {
        static_cast<void>(vision());  // nothing can be drawn without it
        make_folder(folder_);
    }

    void image(const std::string& file, std::span<const FoundFace> faces) {
        Picture picture = vision().read(file);
        const int factor = enlarge(picture);
        vision().annotate(picture, labels_of(faces, factor));
        write_png(name_for(file, ".png"), picture.width, picture.height, 3, picture.rgb);
    }
    void frame(const std::string& file, Picture picture, double per_second, std::span<const FoundFace> faces) {
        auto& writer = videos_[file];
        if (writer == nullptr) {
            writer = vision().write_video(name_for(file, ".avi"), picture.width, picture.height, per_second);
        }
        vision().annotate(picture, labels_of(faces, 1));
        writer->write(picture);
    }
    void finish() {
        for (auto& [file, writer] : videos_) {
            writer->finish();
        }
    }

private:
    /// What is as small as a face is hard to write on. Returns how much larger it is now.
    static int enlarge(Picture& picture) {
        const int factor = std::max(1, 192 / std::min(picture.width, picture.height));
        if (factor > 1) {
            Picture large{picture.height * factor, picture.width * factor, {}};
            for (int y = 0; y < large.height; ++y) {
                for (int x = 0; x < large.width; ++x) {
                    const auto at = static_cast<std::ptrdiff_t>((y / factor) * picture.width + x / factor) * 3;
                    large.rgb.insert(large.rgb.end(), picture.rgb.begin() + at, picture.rgb.begin() + at + 3);
                }
            }
            picture = std::move(large);
        }
        return factor;
    }
    std::vector<FaceLabel> labels_of(std::span<const FoundFace> faces, int factor) const {
        std::vector<FaceLabel> labels;
        for (const FoundFace& face : faces) {
            if (face.status == "ok") {
                const auto best = static_cast<std::size_t>(argmax(face.scores));
                labels.push_back(
                    {{face.box.x * factor, face.box.y * factor, face.box.width * factor, face.box.height * factor},
                     fmt::format("{} {:.2f}", classes_[best], face.scores[best])});
            }
        }
        return labels;
    }
    /// Two inputs of one name get two files.
    fs::path name_for(const std::string& file, const char* suffix) {
        std::string stem = fs::path(file).stem().string();
        std::ranges::replace(stem, ':', '_');
        std::string name = stem;
        for (int number = 2; !names_.insert(name + suffix).second; ++number) {
            name = fmt::format("{}-{}", stem, number);
        }
        return folder_ / (name + suffix);
    }

    fs::path folder_;
    std::vector<std::string> classes_;
    std::set<std::string> names_;
    std::map<std::string, std::unique_ptr<VideoWriter>> videos_;
};

/// Collects faces until a batch is full, whatever pictures they are from.
class Predictor {
public:
    Predictor(const LoadedModel& model, const PredictFlags& flags)
        : flags_(flags), classes_(model.card.classes), classifier_(model, flags.device, flags.batch) {
        if (!flags.save_images.empty()) {
            copies_ = std::make_unique<AnnotatedCopies>(flags.save_images, classes_);
        }
    }

    void take(FoundFace found, GrayImage face, const Picture* frame) {
        if (found.status == "ok") {
            faces_.push_back(std::move(face));
        }
        if (frame != nullptr && copies_ != nullptr &&
            (frames_.empty() || frames_.back().row_frame != found.frame ||
             rows_[frames_.back().first].file != found.file)) {
            frames_.push_back({*frame, rows_.size(), found.frame});
            held_bytes_ += frame->rgb.size();
        }
        rows_.push_back(std::move(found));
    }

    void picture_done(bool live) {
        if (live || static_cast<int>(faces_.size()) >= flags_.batch || held_bytes_ > kMaxHeldBytes) {
            flush(live);
        }
    }

    /// Everything that was taken, in order; prints what has not been printed.
    void finish() {
        flush(false);
        if (copies_ != nullptr) {
            copies_->finish();
        }
        if (flags_.json) {
            Json list = Json::array();
            for (const FoundFace& row : rows_) {
                list.push_back(row_json(row, classes_));
            }
            fmt::print("{}\n", list.dump(2, ' ', false, Json::error_handler_t::replace));
        } else {
            print_from(printed_);
        }
    }

    const std::vector<FoundFace>& rows() const { return rows_; }

private:
    struct HeldFrame {
        Picture picture;
        std::size_t first;  // of its rows
        std::int64_t row_frame;
    };
    static constexpr std::size_t kMaxHeldBytes = std::size_t{256} << 20;

    void flush(bool live) {
        const std::vector<float> p = classifier_.probabilities(faces_);
        auto scores = p.begin();
        for (std::size_t i = done_; i < rows_.size(); ++i) {
            if (rows_[i].status == "ok") {
                rows_[i].scores.assign(scores, scores + static_cast<std::ptrdiff_t>(classes_.size()));
                scores += static_cast<std::ptrdiff_t>(classes_.size());
            }
        }
        if (copies_ != nullptr) {
            draw();
        }
        done_ = rows_.size();
        faces_.clear();
        frames_.clear();
        held_bytes_ = 0;
        if (flags_.jsonl || (live && !flags_.json)) {
            print_from(printed_);
            std::fflush(stdout);
            printed_ = rows_.size();
        }
    }

    void draw() {
        for (std::size_t i = done_; i < rows_.size();) {
            std::size_t end = i + 1;
            while (end < rows_.size() && rows_[end].file == rows_[i].file && rows_[end].frame == rows_[i].frame &&
                   rows_[end].number > 1) {
                ++end;
            }
            const std::span<const FoundFace> faces(&rows_[i], end - i);
            if (rows_[i].frame >= 0) {
                const auto held = std::ranges::find(frames_, i, &HeldFrame::first);
                FER_ASSERT(held != frames_.end(), "frame {} was not held", rows_[i].frame);
                copies_->frame(rows_[i].file, std::move(held->picture), rows_[i].frames_per_second, faces);
            } else if (rows_[i].status != "unreadable") {
                copies_->image(rows_[i].file, faces);
            }
            i = end;
        }
    }

    void print_from(std::size_t first) const {
        std::size_t width = 4;
        for (std::size_t i = first; i < rows_.size(); ++i) {
            width = std::max(width, rows_[i].file.size());
        }
        for (std::size_t i = first; i < rows_.size(); ++i) {
            if (flags_.jsonl) {
                fmt::print("{}\n", row_json(rows_[i], classes_).dump(-1, ' ', false, Json::error_handler_t::replace));
            } else {
                fmt::print("{}\n", row_text(rows_[i], classes_, width, flags_.top));
            }
        }
    }

    const PredictFlags& flags_;
    std::vector<std::string> classes_;
    Classifier classifier_;
    std::unique_ptr<AnnotatedCopies> copies_;
    std::vector<FoundFace> rows_;
    std::vector<GrayImage> faces_;   // of the rows that are not done
    std::vector<HeldFrame> frames_;  // to be drawn on when they are done
    std::size_t done_ = 0, printed_ = 0, held_bytes_ = 0;
};

/// Pictures, not rows: one with three faces counts once.
std::int64_t pictures_with(const std::vector<FoundFace>& rows, std::string_view status) {
    return std::ranges::count_if(
        rows, [&](const FoundFace& row) { return (status.empty() || row.status == status) && row.number <= 1; });
}

int predict_inputs(const LoadedModel& model, PredictFlags flags) {
    flags.search.height = model.card.height;
    flags.search.width = model.card.width;
    FaceSearch search(flags.search, stop_requested);
    Predictor predictor(model, flags);
    search.picture_done = [&](bool live) { predictor.picture_done(live); };
    std::signal(SIGINT, on_signal);
    for (const std::string& input : flags.inputs) {
        if (!stop_requested) {
            search.look(input, [&](FoundFace found, GrayImage face, const Picture* frame) {
                predictor.take(std::move(found), std::move(face), frame);
            });
        }
    }
    predictor.finish();
    const std::vector<FoundFace>& rows = predictor.rows();
    for (const std::string& text : search.notes) {
        warn(text);
    }
    const std::int64_t pictures = pictures_with(rows, "");
    if (const std::int64_t bad = pictures_with(rows, "unreadable"); bad > 0) {
        warn(fmt::format("{} of {} images could not be read", bad, pictures));
    }
    if (const std::int64_t empty = pictures_with(rows, "no_face"); empty > 0) {
        warn(fmt::format("no face was found in {} of {} images", empty, pictures));
    }
    if (pictures_with(rows, "ok") == 0) {
        throw DataError(rows.empty()                         ? "there are no images in what was given"
                        : pictures_with(rows, "no_face") > 0 ? "no face was found"
                                                             : "no image could be read")
            .try_this(pictures_with(rows, "no_face") > 0
                          ? "--detector none takes each picture as one face"
                          : "JPEG and PNG files, folders of them, or patterns like 'faces/*.jpg'");
    }
    return 0;
}

int predict(const PredictFlags& flags) {
    open_runtime(find_device(flags.device.device));  // a device that is not there shows before the files are read
    const LoadedModel model(flags.run);
    FER_CHECK(flags.sample.count > 0 || !flags.inputs.empty(), "nothing to look at: images, or --sample N --grid FILE");
    if (flags.sample.count > 0) {
        FER_CHECK(flags.inputs.empty(), "--sample takes images of the run's data: leave '{}' out", flags.inputs[0]);
        return sample_grid(model, flags.run, flags.sample, flags.device, flags.batch);
    }
    FER_CHECK(flags.sample.grid.empty(), "--grid needs --sample N");
    return predict_inputs(model, flags);
}

}  // namespace

void add_predict(Program& program) {
    auto flags = std::make_shared<PredictFlags>();
    CLI::App* command = program.app.add_subcommand("predict", "emotions of faces in images, videos, cameras");
    command->add_option("run", flags->run, "run folder or weights file")->required();
    command->add_option("inputs", flags->inputs, "images, videos, folders, patterns, camera:0, - (list on stdin)");
    command->add_option("--detector", flags->search.detector, "auto | none | haar | yunet (auto: haar above 64 pixels)")
        ->check(one_of({"auto", "none", "haar", "yunet"}));
    command->add_option("--detector-model", flags->search.detector_model, "file of the cascade, or of YuNet");
    command->add_option("--every", flags->search.every, "of a video, each n-th frame")->check(CLI::Range(1, 100000));
    command->add_option("--frames", flags->search.frames, "of a video or camera, at most so many")
        ->check(CLI::Range(1, 100000000));
    command->add_option("--save-images", flags->save_images, "folder for copies with a box at each face");
    command->add_option("--sample", flags->sample.count, "instead of inputs: so many of the run's validation images")
        ->check(CLI::Range(1, 400));
    command->add_option("--grid", flags->sample.grid, "PNG of the sample, true and predicted (default: sample.png)");
    command->add_option("--data", flags->sample.data, "where the sample is from (default: the run's)");
    command->add_option("--seed", flags->sample.seed, "which images the sample has");
    command->add_option("--top", flags->top, "classes to show")->check(CLI::Range(1, 100))->capture_default_str();
    command->add_option("--batch", flags->batch, "faces at a time")->check(CLI::Range(1, 65536))->capture_default_str();
    add_device_flags(command, flags->device);
    command->add_flag("--json", flags->json, "one JSON list");
    command->add_flag("--jsonl", flags->jsonl, "one JSON object a line");
    command->add_flag("--strict", flags->search.strict, "stop at the first unreadable image");
    command->callback([&program, flags] { program.run = [flags] { return predict(*flags); }; });
}

}  // namespace fer::tool
