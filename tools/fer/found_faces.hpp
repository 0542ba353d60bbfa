// From what was named on the command line to faces: files, folders, patterns, lists, videos, cameras.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/image.hpp"
#include "engine/vision/vision.hpp"

namespace fer::tool {

/// One row of the result: a face, or a picture in which there is none.
struct FoundFace {
    std::string file;              // "a.jpg", "clip.avi", "camera:0"
    std::string status = "ok";     // ok | no_face | unreadable
    std::string reason = {};       // why it is unreadable
    std::int64_t frame = -1;       // of a video, from 0
    double time_s = 0;             // of that frame
    double frames_per_second = 0;  // of its video
    int number = 0;                // of the face in its picture, from 1; 0: the whole picture
    FaceBox box = {};              // as it was found
    std::vector<float> scores = {};
};

struct SearchOptions {
    std::string detector = "auto";  // auto | none | haar | yunet
    std::string detector_model;     // file of the cascade or network; empty: the default cascade
    int height = 48, width = 48;    // of a face
    bool strict = false;            // an unreadable picture is an error
    std::int64_t every = 1;         // of a video, each n-th frame
    std::int64_t frames = 0;        // of a video or camera, at most so many; 0: all
};

/// Takes one row, and the pixels of its face if its status is ok. `picture` is the one it lies in where that was a
/// frame.
using TakeFace = std::function<void(FoundFace found, GrayImage face, const Picture* frame)>;

/// Looks for faces in one input after the other, in order. A folder is read whole, sorted; "-" is a list of names on
/// stdin, one a line; "camera:0" goes on until `stop`.
class FaceSearch {
public:
    FaceSearch(SearchOptions options, const std::atomic<bool>& stop);

    void look(const std::string& input, const TakeFace& take);
    /// A picture ended here: what was taken so far can be shown at once where that matters.
    std::function<void(bool live)> picture_done = [](bool) {};
    /// What a person should know of a source as a whole: it ended early.
    std::vector<std::string> notes;

private:
    void look_into_file(const std::string& file, const TakeFace& take);
    void look_into_image(const std::string& file, const TakeFace& take);
    void look_into_frames(const std::string& name, Frames& frames, bool live, const TakeFace& take);
    /// Every face of a picture that is larger than one.
    void find_in(const Picture& picture, const FoundFace& where, const Picture* frame, const TakeFace& take);
    FaceDetector& detector();
    bool takes_whole(const GrayImage& image);

    SearchOptions options_;
    const std::atomic<bool>& stop_;
    std::unique_ptr<FaceDetector> detector_;
    bool told_missing_ = false;
};

}  // namespace fer::tool
