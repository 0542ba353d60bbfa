#include "engine/data/gather.hpp"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "engine/data/hash.hpp"
#include "engine/data/image.hpp"

namespace fer {
namespace {

void allocate_pixels(Dataset& data, std::size_t count, const std::string& source) {
    const std::size_t bytes = count * static_cast<std::size_t>(data.height) * static_cast<std::size_t>(data.width);
    try {
        data.pixels.resize(bytes);
    } catch (const std::bad_alloc&) {
        throw MemoryError(fmt::format("not enough memory for {}", source))
            .because(fmt::format("{} images of {} x {} pixels need {} bytes", count, data.height, data.width, bytes));
    }
}

/// Closes the gaps of the images that turned out bad and fills the other members of `data`. `places` says where in the
/// pixel array each slot was decoded.
void keep_good(Dataset& data, std::vector<Slot>& slots, const std::vector<std::size_t>& places) {
    const std::size_t area = static_cast<std::size_t>(data.height) * static_cast<std::size_t>(data.width);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (!slots[i].fault.empty()) {
            data.skipped.push_back(std::move(slots[i].fault));
            continue;
        }
        if (kept != places[i]) {
            std::memmove(data.pixels.data() + kept * area, data.pixels.data() + places[i] * area, area);
        }
        data.labels.push_back(slots[i].label);
        data.folder.push_back(slots[i].fold);
        data.usage.push_back(slots[i].usage);
        data.files.push_back(std::move(slots[i].name));
        ++kept;
    }
    data.pixels.resize(kept * area);
}

void check_classes(const Dataset& data, const std::string& source) {
    if (data.size() == 0) {
        throw DataError(fmt::format("{}: none of its {} images can be used", source, data.skipped.size()))
            .because(data.skipped.empty() ? "there are no images" : data.skipped.front())
            .try_this("--data synthetic trains on drawn faces, without a download");
    }
    std::vector<std::int64_t> counts(data.classes.size());
    for (std::size_t i = 0; i < data.labels.size(); ++i) {
        counts[static_cast<std::size_t>(data.labels[i])] += data.folder[i] == Fold::kTrain;
    }
    const auto empty = std::ranges::find(counts, 0);
    if (empty != counts.end()) {
        const std::string& name = data.classes[static_cast<std::size_t>(empty - counts.begin())];
        const auto of_class = [part = fmt::format("/{}/", name)](const std::string& s) {
            return s.find(part) != std::string::npos;
        };
        const auto bad = std::ranges::find_if(data.skipped, of_class);
        throw DataError(fmt::format("{}: class '{}' has no usable training image", source, name))
            .because(bad != data.skipped.end() ? "the first bad one: " + *bad : "every class needs at least one")
            .try_this("restore its images, or leave the class out altogether");
    }
}

}  // namespace

Gathered gather(std::vector<Slot> slots, std::vector<std::string> classes, const std::string& source,
                const DataOptions& options, const Fill& fill) {
    if (slots.size() > kMaxImages) {
        throw DataError(fmt::format("{} lists {} images", source, slots.size()))
            .because(fmt::format("the limit is {}", kMaxImages));
    }
    Gathered result;
    Dataset& data = result.data;
    data.height = options.height;
    data.width = options.width;
    data.classes = std::move(classes);

    std::vector<std::size_t> places(slots.size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        places[i] = count;
        count += slots[i].fault.empty();
    }
    allocate_pixels(data, count, source);

    const std::size_t area = static_cast<std::size_t>(data.height) * static_cast<std::size_t>(data.width);
    std::atomic<bool> complete = true;
    tbb::parallel_for(tbb::blocked_range<std::size_t>(0, slots.size(), 64), [&](const auto& range) {
        for (std::size_t i = range.begin(); i < range.end(); ++i) {
            Slot& slot = slots[i];
            try {
                if (slot.fault.empty()) {
                    fill(i, slot, std::span(data.pixels).subspan(places[i] * area, area));
                }
            } catch (const ReadError& error) {
                slot.fault = error.what();
                complete = false;
            } catch (const DataError& error) {
                slot.fault = error.what();
            }
        }
    });
    result.complete = complete;
    keep_good(data, slots, places);
    refuse_skipped(data, options);
    check_classes(data, source);
    data.fingerprint = fingerprint_of(data);
    return result;
}

void fill_from_bytes(std::string_view bytes, const std::string& name, const DataOptions& options,
                     std::span<std::uint8_t> out) {
    GrayImage image = decode_gray(std::as_bytes(std::span(bytes)), name);
    if (image.height != options.height || image.width != options.width) {
        image = resize_nearest(image, options.height, options.width);
    }
    std::ranges::copy(image.pixels, out.begin());
}

void refuse_skipped(const Dataset& data, const DataOptions& options) {
    if (options.strict && !data.skipped.empty()) {
        throw DataError(data.skipped.front())
            .because(fmt::format("strict reading refuses bad images; there {} {} in all",
                                 data.skipped.size() == 1 ? "is" : "are", data.skipped.size()))
            .try_this("repair or remove it, or read without strict: bad images are then left out and counted");
    }
}

std::uint64_t fingerprint_of(const Dataset& data) {
    std::uint64_t hash = hash_bytes(data.pixels.data(), data.pixels.size());
    hash = combine(hash, static_cast<std::uint64_t>(data.height));
    hash = combine(hash, static_cast<std::uint64_t>(data.width));
    hash = hash_bytes(data.labels.data(), data.labels.size() * sizeof(std::int32_t), hash);
    hash = hash_bytes(data.folder.data(), data.folder.size(), hash);
    hash = hash_bytes(data.usage.data(), data.usage.size(), hash);
    for (const std::string& name : data.classes) {
        hash = hash_text(name, hash);
    }
    return hash;
}

Usage usage_of_name(std::string_view file_name) {
    if (file_name.starts_with("Training_")) {
        return Usage::kTraining;
    }
    if (file_name.starts_with("PublicTest_")) {
        return Usage::kPublicTest;
    }
    return file_name.starts_with("PrivateTest_") ? Usage::kPrivateTest : Usage::kUnknown;
}

}  // namespace fer
