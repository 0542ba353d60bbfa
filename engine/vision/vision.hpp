// Pictures as people have them: photographs with faces somewhere in them, videos, cameras. The one door to OpenCV,
// which is optional: it lies in a library of its own that is loaded when it is first asked for, so that a program built
// with it starts as quickly, and runs without it on a machine that lacks it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/image.hpp"

namespace fer {

/// 8-bit RGB, (h, w, 3).
struct Picture {
    int height = 0, width = 0;
    std::vector<std::uint8_t> rgb;
};

/// Part of a picture, in pixels; lies within it.
struct FaceBox {
    int x = 0, y = 0, width = 0, height = 0;
    bool operator==(const FaceBox&) const = default;
};

/// What is written beside a face.
struct FaceLabel {
    FaceBox box;
    std::string text;
};

class FaceDetector {
public:
    virtual ~FaceDetector() = default;
    /// All faces, the largest first; of equal ones the upper, then the left one.
    virtual std::vector<FaceBox> find(const Picture& picture) = 0;
};

/// The pictures of a video or a camera, one after the other.
class Frames {
public:
    virtual ~Frames() = default;
    /// False when there is no further one.
    virtual bool next(Picture& picture) = 0;
    /// 25 where the source does not tell.
    virtual double per_second() const = 0;
    /// How many the file says it has; 0: it does not tell.
    virtual std::int64_t announced() const = 0;
};

class VideoWriter {
public:
    virtual ~VideoWriter() = default;
    virtual void write(const Picture& picture) = 0;
    /// Completes the file. OutputError if it is not there afterwards.
    virtual void finish() = 0;
};

class Vision {
public:
    virtual ~Vision() = default;
    virtual std::string version() const = 0;
    /// An image file as its maker held the camera: turned as its EXIF data say. JPEG, PNG and whatever else OpenCV
    /// reads, within the limits of image.hpp. DataError "name: reason".
    virtual Picture read(const std::filesystem::path& path) const = 0;
    /// A Haar cascade with the settings of the Python package fer: scale factor 1.1, five neighbours, faces from 50
    /// pixels on. DataError without its file.
    virtual std::unique_ptr<FaceDetector> haar(const std::filesystem::path& cascade) const = 0;
    /// YuNet, a small network in an ONNX file. DataError if the file is something else.
    virtual std::unique_ptr<FaceDetector> yunet(const std::filesystem::path& model) const = 0;
    /// DataError if it is no video.
    virtual std::unique_ptr<Frames> video(const std::filesystem::path& path) const = 0;
    /// DeviceError if there is no such camera.
    virtual std::unique_ptr<Frames> camera(int index) const = 0;
    /// Motion JPEG in an AVI file, which every OpenCV can write. OutputError.
    virtual std::unique_ptr<VideoWriter> write_video(const std::filesystem::path& path, int width, int height,
                                                     double per_second) const = 0;
    /// Draws boxes with their labels, as thick as suits the picture.
    virtual void annotate(Picture& picture, const std::vector<FaceLabel>& labels) const = 0;
};

/// OpenCV, loaded on the first call. UsageError with what to install if this program was built without it, or if it is
/// not there now.
const Vision& vision();

/// The same in a word: none if it can be had, else why not.
std::optional<std::string> vision_missing();

/// Debian's opencv-data, or FER_CASCADE; empty if neither is there.
std::filesystem::path default_cascade();

/// Grey by the same formula as decode_gray().
GrayImage gray_of(const Picture& picture);
/// The part of `image` within `box` at another size: each pixel the mean of the area it covers, or where the part is
/// smaller than that, of the pixel it lies in. UsageError if the box is not within the image.
GrayImage face_of(const GrayImage& image, const FaceBox& box, int height, int width);

/// How the Python package fer cuts a face out: 10 pixels more on each side, then a square around the same centre, moved
/// and cut to lie within the picture.
FaceBox squared(const FaceBox& box, int picture_width, int picture_height, int margin = 10);

}  // namespace fer
