// From a list of images to a Dataset: decode in parallel, leave out what cannot be used, check what remains.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/core/error.hpp"
#include "engine/data/dataset.hpp"

namespace fer {

/// The bytes of an image could not be fetched at all. Such a result says nothing lasting and is not cached.
class ReadError : public DataError {
public:
    using DataError::DataError;
};

/// One image to be. The fill function may still set `label`, `fold` and `usage`.
struct Slot {
    std::string name;
    Fold fold = Fold::kTrain;
    Usage usage = Usage::kUnknown;
    std::int32_t label = 0;
    std::string fault = {};  // "name: reason" once it is known to be bad; a bad slot gets no pixels
};

struct Gathered {
    Dataset data;
    bool complete = true;  // every byte could be read, whether or not it was an image
};

/// Writes image i into `out` (h * w bytes). Runs on many threads; throws DataError "name: reason" for a bad image.
using Fill = std::function<void(std::size_t i, Slot& slot, std::span<std::uint8_t> out)>;

inline constexpr std::size_t kMaxImages = 10'000'000;

/// Fills all slots that have no fault yet and keeps the good ones in order. With options.strict the first bad one, in
/// order, is thrown. Throws DataError if a class is left without training images.
Gathered gather(std::vector<Slot> slots, std::vector<std::string> classes, const std::string& source,
                const DataOptions& options, const Fill& fill);

/// Decodes `bytes`, resizes, and copies to `out`.
void fill_from_bytes(std::string_view bytes, const std::string& name, const DataOptions& options,
                     std::span<std::uint8_t> out);

/// With options.strict, throws the first entry of `skipped`.
void refuse_skipped(const Dataset& data, const DataOptions& options);

/// Dataset::fingerprint of what the other members say now.
std::uint64_t fingerprint_of(const Dataset& data);

/// "Training_1.jpg" -> kTraining, and so on, by prefix.
Usage usage_of_name(std::string_view file_name);

}  // namespace fer
