#include "tools/fer/classifier.hpp"

#include <algorithm>

namespace fer::tool {
namespace {

// Every number of faces is a plan of its own: beyond a few they come in steps.
constexpr std::int64_t kStep = 16;

std::int64_t padded(std::int64_t faces) { return faces <= kStep ? faces : (faces + kStep - 1) / kStep * kStep; }

}  // namespace

void Classifier::make_room(std::int64_t faces) {
    if (session_ != nullptr && faces <= data_.size()) {
        return;
    }
    session_.reset();
    const ModelCard& card = model_.card;
    data_ = Dataset();
    data_.height = card.height;
    data_.width = card.width;
    data_.classes = card.classes;
    const auto count = static_cast<std::size_t>(faces);
    data_.pixels.resize(count * static_cast<std::size_t>(card.height) * static_cast<std::size_t>(card.width));
    data_.labels.resize(count);
    data_.files.resize(count);
    session_ = model_.open(data_, static_cast<int>(std::min<std::int64_t>(batch_, faces)), where_);
}

std::vector<float> Classifier::probabilities(std::span<const GrayImage> faces) {
    if (faces.empty()) {
        return {};
    }
    const auto count = static_cast<std::int64_t>(faces.size());
    const std::int64_t rows = padded(count);
    make_room(rows);
    auto to = data_.pixels.begin();
    for (const GrayImage& face : faces) {
        FER_ASSERT(face.height == data_.height && face.width == data_.width, "a face of {} x {}", face.width,
                   face.height);
        to = std::ranges::copy(face.pixels, to).out;
    }
    session_->upload_images(data_.size());
    std::vector<std::int32_t> indices(static_cast<std::size_t>(rows));
    for (std::int64_t i = 0; i < count; ++i) {
        indices[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i);
    }
    std::vector<float> p = session_->evaluate(indices).probabilities;
    p.resize(faces.size() * data_.classes.size());
    return p;
}

}  // namespace fer::tool
