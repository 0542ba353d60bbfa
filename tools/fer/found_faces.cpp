#include "tools/fer/found_faces.hpp"

#include <glob.h>

#include <algorithm>
#include <iostream>
#include <set>

#include "tools/fer/console.hpp"

namespace fer::tool {
namespace {

namespace fs = std::filesystem;

constexpr int kWholeSide = 64;  // a picture up to this size is a face, not a scene

std::string suffix_of(const fs::path& path) {
    std::string suffix = path.extension().string();
    std::ranges::transform(suffix, suffix.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return suffix;
}

bool looks_like_image(const fs::path& path) {
    const std::string suffix = suffix_of(path);
    return suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png";
}

bool looks_like_video(const fs::path& path) {
    static const std::set<std::string> suffixes{".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg"};
    return suffixes.contains(suffix_of(path));
}

/// What is wrong with a file, without its name: "FILE: what" or "cannot read FILE", why.
std::string reason_of(const Error& error, const std::string& file) {
    const std::string_view what = error.what();
    if (what.starts_with(file + ": ")) {
        return std::string(what.substr(file.size() + 2));
    }
    return error.why().empty() ? std::string(what) : error.why();
}

int camera_of(const std::string& input) {
    const std::string number = input.substr(std::string_view("camera:").size());
    FER_CHECK(!number.empty() && number.size() < 4 && number.find_first_not_of("0123456789") == std::string::npos,
              "'{}' is no camera: camera:0 is the first one", input);
    return std::stoi(number);
}

}  // namespace

FaceSearch::FaceSearch(SearchOptions options, const std::atomic<bool>& stop)
    : options_(std::move(options)), stop_(stop) {
    if (options_.detector == "haar" || options_.detector == "yunet") {
        detector();  // what is missing shows before anything is read
    }
}

FaceDetector& FaceSearch::detector() {
    if (detector_ == nullptr) {
        if (options_.detector == "yunet") {
            FER_CHECK(!options_.detector_model.empty(), "--detector yunet needs --detector-model FILE");
            detector_ = vision().yunet(options_.detector_model);
        } else {
            detector_ =
                vision().haar(options_.detector_model.empty() ? default_cascade() : fs::path(options_.detector_model));
        }
    }
    return *detector_;
}

bool FaceSearch::takes_whole(const GrayImage& image) {
    if (options_.detector != "auto") {
        return options_.detector == "none";
    }
    if (image.height <= kWholeSide && image.width <= kWholeSide) {
        return true;
    }
    const auto missing = vision_missing();
    if (missing && !told_missing_) {
        told_missing_ = true;
        warn("there is no OpenCV to find faces with: each picture is taken as one face");
    }
    return missing.has_value();
}

void FaceSearch::look(const std::string& input, const TakeFace& take) {
    if (input.starts_with("camera:")) {
        const auto frames = vision().camera(camera_of(input));
        look_into_frames(input, *frames, true, take);
        return;
    }
    if (input == "-") {
        for (std::string line; !stop_ && std::getline(std::cin, line);) {
            if (!line.empty()) {
                look(line, take);
            }
        }
        return;
    }
    if (fs::is_directory(input)) {
        std::vector<std::string> found;
        for (const auto& entry :
             fs::recursive_directory_iterator(input, fs::directory_options::skip_permission_denied)) {
            if (entry.is_regular_file() && (looks_like_image(entry.path()) || looks_like_video(entry.path()))) {
                found.push_back(entry.path().string());
            }
        }
        std::ranges::sort(found);
        for (const std::string& file : found) {
            look_into_file(file, take);
        }
        return;
    }
    glob_t matches{};
    if (!fs::exists(input) && ::glob(input.c_str(), 0, nullptr, &matches) == 0) {
        for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
            look(matches.gl_pathv[i], take);
        }
    } else {
        look_into_file(input, take);  // if it does not exist, its status will say so
    }
    ::globfree(&matches);
}

void FaceSearch::look_into_file(const std::string& file, const TakeFace& take) {
    if (stop_) {
        return;
    }
    try {
        if (looks_like_video(file) && fs::is_regular_file(file)) {
            const auto frames = vision().video(file);
            look_into_frames(file, *frames, false, take);
        } else {
            look_into_image(file, take);
        }
    } catch (const DataError& error) {
        if (options_.strict) {
            throw;
        }
        take({.file = file, .status = "unreadable", .reason = reason_of(error, file)}, {}, nullptr);
        picture_done(false);
    }
}

void FaceSearch::look_into_image(const std::string& file, const TakeFace& take) {
    const GrayImage image = load_gray(file);
    if (takes_whole(image)) {
        take({.file = file, .box = {0, 0, image.width, image.height}},
             resize_nearest(image, options_.height, options_.width), nullptr);
    } else {
        find_in(vision().read(file), {.file = file}, nullptr, take);
    }
    picture_done(false);
}

void FaceSearch::find_in(const Picture& picture, const FoundFace& where, const Picture* frame, const TakeFace& take) {
    const GrayImage gray = gray_of(picture);
    FoundFace found = where;
    if (options_.detector == "none") {
        found.box = {0, 0, picture.width, picture.height};
        take(found, face_of(gray, found.box, options_.height, options_.width), frame);
        return;
    }
    const std::vector<FaceBox> boxes = detector().find(picture);
    for (const FaceBox& box : boxes) {
        ++found.number;
        found.box = box;
        take(found, face_of(gray, squared(box, picture.width, picture.height), options_.height, options_.width), frame);
    }
    if (boxes.empty()) {
        found.status = "no_face";
        take(found, {}, frame);
    }
}

void FaceSearch::look_into_frames(const std::string& name, Frames& frames, bool live, const TakeFace& take) {
    Picture picture;
    std::int64_t frame = 0, taken = 0;
    bool more = true;
    while (!stop_ && (options_.frames == 0 || taken < options_.frames) && (more = frames.next(picture))) {
        if (frame % options_.every == 0) {
            const double rate = frames.per_second();
            find_in(picture,
                    {.file = name,
                     .frame = frame,
                     .time_s = static_cast<double>(frame) / rate,
                     .frames_per_second = rate / static_cast<double>(options_.every)},
                    &picture, take);
            picture_done(live);
            ++taken;
        }
        ++frame;
    }
    if (!more && frame == 0) {
        throw DataError(fmt::format("{}: not one picture could be read from it", name));
    }
    if (!live && !more && frame < frames.announced()) {
        notes.push_back(fmt::format("{} ends after {} of {} frames", name, frame, frames.announced()));
    }
}

}  // namespace fer::tool
