// The library behind the door: everything that includes OpenCV.
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>
#include <opencv2/videoio.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <tuple>

#include "engine/core/error.hpp"
#include "engine/vision/vision.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

cv::Mat bgr_of(const Picture& picture) {
    cv::Mat bgr;
    const cv::Mat rgb(picture.height, picture.width, CV_8UC3, const_cast<std::uint8_t*>(picture.rgb.data()));
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
    return bgr;
}

void take(const cv::Mat& bgr, Picture& picture) {
    picture.height = bgr.rows;
    picture.width = bgr.cols;
    picture.rgb.resize(bgr.total() * 3);
    cv::Mat rgb(bgr.rows, bgr.cols, CV_8UC3, picture.rgb.data());
    cv::cvtColor(bgr, rgb, bgr.channels() == 1 ? cv::COLOR_GRAY2RGB : cv::COLOR_BGR2RGB);
}

/// Within the picture, the largest first; a detector may reach over the edge.
std::vector<FaceBox> tidy(const std::vector<cv::Rect>& found, const Picture& picture) {
    std::vector<FaceBox> boxes;
    for (const cv::Rect& rect : found) {
        const cv::Rect inside = rect & cv::Rect(0, 0, picture.width, picture.height);
        if (inside.area() > 0) {
            boxes.push_back({inside.x, inside.y, inside.width, inside.height});
        }
    }
    std::ranges::sort(boxes, {}, [](const FaceBox& b) { return std::tuple(-b.width * b.height, b.y, b.x); });
    return boxes;
}

/// The settings of the Python package fer.
class Haar : public FaceDetector {
public:
    explicit Haar(const fs::path& cascade) {
        if (cascade.empty() || !load(cascade)) {
            throw DataError(cascade.empty() ? "there is no face cascade"
                                            : fmt::format("{}: not a face cascade", cascade.string()))
                .because("--detector haar reads haarcascade_frontalface_default.xml")
                .try_this("apt-get install opencv-data, or --detector-model FILE");
        }
    }
    std::vector<FaceBox> find(const Picture& picture) override {
        cv::Mat gray;
        cv::cvtColor(bgr_of(picture), gray, cv::COLOR_BGR2GRAY);
        std::vector<cv::Rect> found;
        classifier_.detectMultiScale(gray, found, 1.1, 5, 0, cv::Size(50, 50));
        return tidy(found, picture);
    }

private:
    bool load(const fs::path& cascade) {
        try {
            return fs::exists(cascade) && classifier_.load(cascade.string());
        } catch (const cv::Exception&) {
            return false;  // not XML
        }
    }

    cv::CascadeClassifier classifier_;
};

class YuNet : public FaceDetector {
public:
    explicit YuNet(const fs::path& model) {
        try {
            detector_ = cv::FaceDetectorYN::create(model.string(), "", cv::Size(320, 320), 0.7f, 0.3f);
        } catch (const cv::Exception&) {
            throw DataError(fmt::format("{}: not a YuNet model that OpenCV {} reads", model.string(), CV_VERSION))
                .because("--detector yunet reads a face_detection_yunet file in ONNX format")
                .try_this("--detector-model FILE, of OpenCV's model zoo; 2022mar for OpenCV 4.6");
        }
    }
    std::vector<FaceBox> find(const Picture& picture) override {
        detector_->setInputSize(cv::Size(picture.width, picture.height));
        cv::Mat faces;
        detector_->detect(bgr_of(picture), faces);
        std::vector<cv::Rect> found;
        for (int i = 0; i < faces.rows; ++i) {
            const auto at = [&](int k) { return static_cast<int>(std::lround(faces.at<float>(i, k))); };
            found.emplace_back(at(0), at(1), at(2), at(3));
        }
        return tidy(found, picture);
    }

private:
    cv::Ptr<cv::FaceDetectorYN> detector_;
};

class Capture : public Frames {
public:
    explicit Capture(const cv::VideoCapture& capture) : capture_(capture) {}  // a handle

    bool next(Picture& picture) override {
        cv::Mat frame;
        if (!capture_.read(frame) || frame.empty()) {
            return false;
        }
        take(frame, picture);
        return true;
    }
    double per_second() const override {
        const double rate = capture_.get(cv::CAP_PROP_FPS);
        return rate > 0 && rate < 1000 ? rate : 25;
    }
    std::int64_t announced() const override {
        return std::max<std::int64_t>(0, std::llround(capture_.get(cv::CAP_PROP_FRAME_COUNT)));
    }

private:
    cv::VideoCapture capture_;
};

/// Written under another name until it is complete.
class AviWriter : public VideoWriter {
public:
    AviWriter(fs::path path, int width, int height, double per_second)
        : path_(std::move(path)),
          part_(path_.parent_path() / (".fer-" + path_.stem().string() + ".avi")),
          size_(width, height) {
        if (!writer_.open(part_.string(), cv::CAP_OPENCV_MJPEG, cv::VideoWriter::fourcc('M', 'J', 'P', 'G'), per_second,
                          size_)) {
            throw OutputError(fmt::format("cannot write {}", path_.string())).because("the video cannot be begun");
        }
    }
    ~AviWriter() override {
        writer_.release();
        std::error_code ignored;
        fs::remove(part_, ignored);
    }
    AviWriter(const AviWriter&) = delete;
    AviWriter& operator=(const AviWriter&) = delete;

    void write(const Picture& picture) override {
        cv::Mat frame = bgr_of(picture);
        if (frame.size() != size_) {
            cv::resize(frame, frame, size_);
        }
        writer_.write(frame);
    }
    void finish() override {
        writer_.release();
        std::error_code error;
        fs::rename(part_, path_, error);
        if (error) {
            throw OutputError(fmt::format("cannot write {}", path_.string())).because(error.message());
        }
    }

private:
    fs::path path_, part_;
    cv::Size size_;
    cv::VideoWriter writer_;
};

class OpenCv : public Vision {
public:
    OpenCv() {
        // Before anything is decoded: limits as everywhere in this program, and no words but its own.
        ::setenv("OPENCV_IO_MAX_IMAGE_PIXELS", fmt::format("{}", kMaxImagePixels).c_str(), 1);
        ::setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", 0);
        cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    }

    std::string version() const override { return CV_VERSION; }

    Picture read(const fs::path& path) const override {
        cv::Mat image;
        try {
            image = cv::imread(path.string(), cv::IMREAD_COLOR);
        } catch (const cv::Exception& error) {
            throw DataError(fmt::format("{}: {}", path.string(), error.err));
        }
        if (image.empty()) {
            throw DataError(fmt::format("{}: OpenCV cannot read it", path.string()));
        }
        Picture picture;
        take(image, picture);
        return picture;
    }
    std::unique_ptr<FaceDetector> haar(const fs::path& cascade) const override {
        return std::make_unique<Haar>(cascade);
    }
    std::unique_ptr<FaceDetector> yunet(const fs::path& model) const override { return std::make_unique<YuNet>(model); }
    std::unique_ptr<Frames> video(const fs::path& path) const override {
        cv::VideoCapture capture(path.string(), cv::CAP_FFMPEG);
        if (!capture.isOpened() && !capture.open(path.string(), cv::CAP_OPENCV_MJPEG)) {
            throw DataError(fmt::format("{}: not a video that OpenCV reads", path.string()));
        }
        return std::make_unique<Capture>(capture);
    }
    std::unique_ptr<Frames> camera(int index) const override {
        const std::string device = fmt::format("/dev/video{}", index);
        cv::VideoCapture capture;
        if (!fs::exists(device) || !capture.open(index, cv::CAP_V4L2)) {
            throw DeviceError(fmt::format("no camera {}", index))
                .because(fs::exists(device) ? device + " is there, but gives no pictures" : device + " does not exist")
                .try_this("ls /dev/video* shows the cameras there are; a video file works without one");
        }
        return std::make_unique<Capture>(capture);
    }
    std::unique_ptr<VideoWriter> write_video(const fs::path& path, int width, int height,
                                             double per_second) const override {
        return std::make_unique<AviWriter>(path, width, height, per_second);
    }

    void annotate(Picture& picture, const std::vector<FaceLabel>& labels) const override {
        cv::Mat image(picture.height, picture.width, CV_8UC3, picture.rgb.data());  // RGB: colours are given so
        const double scale = std::clamp(std::min(picture.width, picture.height) / 720.0, 0.45, 3.0);
        const int thick = std::max(1, static_cast<int>(std::lround(2 * scale)));
        const cv::Scalar ink(35, 96, 224), paper(255, 255, 255);
        for (const FaceLabel& label : labels) {
            const FaceBox& box = label.box;
            cv::rectangle(image, cv::Rect(box.x, box.y, box.width, box.height), ink, thick, cv::LINE_AA);
            if (label.text.empty()) {
                continue;
            }
            int below = 0;
            const cv::Size size = cv::getTextSize(label.text, cv::FONT_HERSHEY_DUPLEX, scale * 0.7, 1, &below);
            const int height = size.height + below + 2 * thick;
            const int left = std::clamp(box.x - thick / 2, 0, std::max(0, picture.width - size.width - 4 * thick));
            const int top = box.y >= height ? box.y - height : std::min(box.y + box.height, picture.height - height);
            cv::rectangle(image, cv::Rect(left, top, size.width + 4 * thick, height), ink, cv::FILLED);
            cv::putText(image, label.text, cv::Point(left + 2 * thick, top + thick + size.height),
                        cv::FONT_HERSHEY_DUPLEX, scale * 0.7, paper, 1, cv::LINE_AA);
        }
    }
};

}  // namespace
}  // namespace fer

extern "C" const fer::Vision* fer_vision() {
    static const fer::OpenCv opencv;
    return &opencv;
}
