// A data set of faces: one uint8 array (n, h, w) with labels, in the order Keras would list the files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace fer {

/// Where an image lies in the Kaggle layout. In a CSV file Usage "Training" is train, the other two are test.
enum class Fold : std::uint8_t { kTrain, kTest };

/// The official split of FER2013: the Usage column, or the prefix of the file name; kUnknown where neither tells.
enum class Usage : std::uint8_t { kTraining, kPublicTest, kPrivateTest, kUnknown };

/// Everything in memory, decoded. Folders and zips are laid out train/ before test/, class by class, and within a
/// class as Keras sorts them: by directory path, then by file name, both by code point. CSV rows keep their order.
struct Dataset {
    int height = 48;
    int width = 48;
    std::vector<std::uint8_t> pixels;  // (n, h, w)
    std::vector<std::int32_t> labels;  // an index into classes
    std::vector<std::string> files;    // "train/happy/Training_1.jpg", "fer2013.csv:17", "train/happy/synthetic_00003"
    std::vector<Fold> folder;          // as laid out
    std::vector<Usage> usage;          // as published
    std::vector<std::string> classes;  // sorted by code point: "angry", "disgust", ...
    std::vector<std::string> skipped;  // "file: reason", one per image that could not be used
    std::vector<std::string> notes;    // what a person should know: a hidden folder left out, a cache rebuilt
    std::uint64_t fingerprint = 0;     // of size, pixels, labels, folds, usage and classes; not of the file names

    std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
    const std::uint8_t* image(std::int64_t i) const { return pixels.data() + i * height * width; }
};

/// FER_CACHE, else $XDG_CACHE_HOME/fer, else ~/.cache/fer; empty if none of the three is set.
std::filesystem::path default_cache_folder();

struct DataOptions {
    int height = 48;
    int width = 48;
    bool strict = false;  // the first bad image is an error, not an entry of `skipped`
    std::filesystem::path cache = default_cache_folder();
    bool use_cache = true;
    std::uint64_t seed = 0;  // of synthetic faces
};

/// Reads `source`:
///   a folder        train/<class>/*.jpg and test/<class>/*.jpg, or a folder that holds exactly one such folder
///   a .zip          of such a folder
///   a .csv          fer2013.csv or icml_face_data.csv
///   synthetic[:N]   N drawn training faces (default 4000) and N/5 test faces, at least 7 each
///
/// Images become grey and are resized as Keras and Pillow do. What bmp, ppm and tif files contain is not decoded:
/// they are skipped. A skipped image is missing from the class it was listed in, so validation fractions are of
/// the images that could be read. The result does not depend on the number of threads.
/// Throws DataError when the source cannot be used, UsageError for an option out of range.
Dataset open_dataset(const std::string& source, const DataOptions& options = {});

/// The seven classes of FER2013 in the order of this program: alphabetical.
const std::vector<std::string>& emotion_names();

}  // namespace fer
