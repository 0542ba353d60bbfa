#include "engine/vision/vision.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "engine/core/error.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

struct Loaded {
    const Vision* vision = nullptr;
    std::string why;  // there is none
};

/// The library lies beside the program.
Loaded load() {
#ifdef FER_VISION_LIBRARY
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    void* library = ::dlopen((program.parent_path() / FER_VISION_LIBRARY).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return {nullptr, ::dlerror()};
    }
    void* door = ::dlsym(library, "fer_vision");
    return door == nullptr ? Loaded{nullptr, ::dlerror()} : Loaded{reinterpret_cast<const Vision* (*)()>(door)(), ""};
#else
    return {nullptr, "this fer was built without it"};
#endif
}

const Loaded& loaded() {
    static const Loaded once = load();
    return once;
}

}  // namespace

const Vision& vision() {
    if (loaded().vision == nullptr) {
        throw UsageError("faces in pictures, videos and cameras need OpenCV")
            .because(loaded().why)
            .try_this("bash tools/setup.sh opencv, then build again; or --detector none with JPEG and PNG files");
    }
    return *loaded().vision;
}

std::optional<std::string> vision_missing() {
    return loaded().vision != nullptr ? std::nullopt : std::optional(loaded().why);
}

fs::path default_cascade() {
    if (const char* named = std::getenv("FER_CASCADE"); named != nullptr && *named != '\0') {
        return named;
    }
    const fs::path debian = "/usr/share/opencv4/haarcascades/haarcascade_frontalface_default.xml";
    return fs::exists(debian) ? debian : fs::path();
}

GrayImage gray_of(const Picture& picture) {
    GrayImage gray{picture.height, picture.width, std::vector<std::uint8_t>(picture.rgb.size() / 3)};
    for (std::size_t i = 0; i < gray.pixels.size(); ++i) {
        gray.pixels[i] = luma(picture.rgb[3 * i], picture.rgb[3 * i + 1], picture.rgb[3 * i + 2]);
    }
    return gray;
}

GrayImage face_of(const GrayImage& image, const FaceBox& box, int height, int width) {
    FER_CHECK(box.x >= 0 && box.y >= 0 && box.width > 0 && box.height > 0 && box.x + box.width <= image.width &&
                  box.y + box.height <= image.height,
              "the box [{}, {}, {}, {}] is not within {} x {} pixels", box.x, box.y, box.width, box.height, image.width,
              image.height);
    GrayImage face{height, width, {}};
    const auto range = [](int i, int from, int to) {
        const auto first = static_cast<int>(std::int64_t{i} * from / to);
        return std::pair(first, std::max(first + 1, static_cast<int>(std::int64_t{i + 1} * from / to)));
    };
    for (int y = 0; y < height; ++y) {
        const auto [top, bottom] = range(y, box.height, height);
        for (int x = 0; x < width; ++x) {
            const auto [left, right] = range(x, box.width, width);
            std::int64_t sum = 0;
            for (int row = box.y + top; row < box.y + bottom; ++row) {
                const std::uint8_t* line = image.pixels.data() + std::ptrdiff_t{row} * image.width + box.x;
                sum = std::accumulate(line + left, line + right, sum);
            }
            const std::int64_t count = std::int64_t{bottom - top} * (right - left);
            face.pixels.push_back(static_cast<std::uint8_t>((sum + count / 2) / count));
        }
    }
    return face;
}

FaceBox squared(const FaceBox& box, int picture_width, int picture_height, int margin) {
    const int side = std::min({std::max(box.width, box.height) + 2 * margin, picture_width, picture_height});
    const int x = box.x + box.width / 2 - side / 2;
    const int y = box.y + box.height / 2 - side / 2;
    return {std::clamp(x, 0, picture_width - side), std::clamp(y, 0, picture_height - side), side, side};
}

}  // namespace fer
