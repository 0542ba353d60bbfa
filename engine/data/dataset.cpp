#include "engine/data/dataset.hpp"

#include <charconv>
#include <cstdlib>
#include <optional>

#include "engine/core/error.hpp"
#include "engine/data/cache.hpp"
#include "engine/data/gather.hpp"
#include "engine/data/image.hpp"
#include "engine/data/source.hpp"
#include "engine/data/synthetic.hpp"

namespace fer {
namespace fs = std::filesystem;

namespace {

constexpr int kDefaultFaces = 4000;
constexpr int kMaxFaces = 1'000'000;

/// The N of "synthetic:N".
std::optional<int> synthetic_faces(std::string_view source) {
    constexpr std::string_view kName = "synthetic";
    if (source == kName) {
        return kDefaultFaces;
    }
    if (!source.starts_with(kName) || source.substr(kName.size(), 1) != ":") {
        return std::nullopt;
    }
    const std::string_view text = source.substr(kName.size() + 1);
    int count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    FER_CHECK(error == std::errc() && end == text.data() + text.size() && count >= 1 && count <= kMaxFaces,
              "synthetic:N needs a number of faces from 1 to {}, got '{}'", kMaxFaces, text);
    return count;
}

bool ends_with_suffix(const fs::path& path, std::string_view suffix) {
    std::string have = path.extension().string();
    for (char& c : have) {
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    return have == suffix;
}

std::unique_ptr<Source> open_source(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) {
        throw DataError(fmt::format("no data at '{}'", path.string()))
            .because(error ? error.message() : "no such file or folder")
            .try_this("--data FOLDER, ZIP or CSV of FER2013, or --data synthetic");
    }
    if (fs::is_directory(status)) {
        return open_folder(path);
    }
    if (fs::is_regular_file(status) && ends_with_suffix(path, ".zip")) {
        return open_zip(path);
    }
    if (fs::is_regular_file(status) && ends_with_suffix(path, ".csv")) {
        return open_csv(path);
    }
    throw DataError(fmt::format("{} is neither a folder nor a .zip or .csv file", path.string()))
        .try_this("unpack it and name the folder that holds train/ and test/");
}

/// The cached result, or empty. What is wrong with a cache becomes a note: it is rebuilt.
std::optional<Dataset> try_load(const fs::path& path, std::vector<std::string>& notes) {
    try {
        return load_cache(path);
    } catch (const DataError& error) {
        notes.push_back(fmt::format("{} ({}): read the source again", error.what(), error.why()));
        return std::nullopt;
    }
}

void try_store(const fs::path& path, Dataset& data) {
    try {
        store_cache(path, data);
    } catch (const OutputError& error) {
        data.notes.push_back(fmt::format("not cached: {} ({})", error.what(), error.why()));
    }
}

}  // namespace

fs::path default_cache_folder() {
    const auto value = [](const char* name) -> std::string {
        const char* text = std::getenv(name);
        return text != nullptr ? text : "";
    };
    if (const std::string folder = value("FER_CACHE"); !folder.empty()) {
        return folder;
    }
    if (const std::string folder = value("XDG_CACHE_HOME"); !folder.empty()) {
        return fs::path(folder) / "fer";
    }
    const std::string home = value("HOME");
    return home.empty() ? fs::path() : fs::path(home) / ".cache" / "fer";
}

const std::vector<std::string>& emotion_names() {
    static const std::vector<std::string> names{"angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"};
    return names;
}

Dataset open_dataset(const std::string& source, const DataOptions& options) {
    for (const int side : {options.height, options.width}) {
        FER_CHECK(side >= 1 && side <= kMaxImageSide, "an image side must be 1..{}, got {}", kMaxImageSide, side);
    }
    if (const std::optional<int> count = synthetic_faces(source)) {
        return synthetic_dataset(*count, options);
    }
    const std::unique_ptr<Source> input = open_source(source);
    const bool use_cache = options.use_cache && !options.cache.empty();
    std::vector<std::string> notes;
    const ContentKey key = use_cache ? input->key() : ContentKey{};
    const fs::path path = use_cache ? cache_path(options.cache, key.hash, options) : fs::path();
    if (use_cache) {
        if (std::optional<Dataset> data = try_load(path, notes)) {
            refuse_skipped(*data, options);
            return std::move(*data);
        }
    }
    Gathered fresh = input->read(options);
    if (use_cache && fresh.complete && key.settled) {
        try_store(path, fresh.data);
    }
    fresh.data.notes.insert(fresh.data.notes.begin(), notes.begin(), notes.end());
    return std::move(fresh.data);
}

}  // namespace fer
