// Small data sets made in a temporary folder.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <turbojpeg.h>
#include <unistd.h>
#include <zip.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/core/error.hpp"
#include "engine/data/dataset.hpp"
#include "engine/data/image.hpp"

namespace fer::test {
namespace fs = std::filesystem;

class TempFolder {
public:
    TempFolder() {
        std::string name = (fs::temp_directory_path() / "fer-data-XXXXXX").string();
        path = ::mkdtemp(name.data());
    }
    ~TempFolder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    fs::path path;
};

inline void write_bytes(const fs::path& path, std::string_view bytes) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_bytes(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// A grey JPEG of one tone, which JPEG keeps exactly.
inline std::string flat_jpeg(std::uint8_t tone, int width = 48, int height = 48, int flags = 0) {
    const std::vector<unsigned char> pixels(static_cast<std::size_t>(width) * static_cast<std::size_t>(height), tone);
    const tjhandle tj = tjInitCompress();
    unsigned char* jpeg = nullptr;
    unsigned long size = 0;
    EXPECT_EQ(tjCompress2(tj, pixels.data(), width, 0, height, TJPF_GRAY, &jpeg, &size, TJSAMP_GRAY, 90, flags), 0);
    std::string bytes(reinterpret_cast<char*>(jpeg), size);
    tjFree(jpeg);
    tjDestroy(tj);
    return bytes;
}

/// train/ and test/ with two images in each class; the tone of an image is its number, counted from 10.
inline void make_tree(const fs::path& root, const std::vector<std::string>& classes = {"happy", "sad"}) {
    std::uint8_t tone = 10;
    for (const char* fold : {"train", "test"}) {
        for (const std::string& name : classes) {
            for (const char* file : {"a.jpg", "b.jpg"}) {
                write_bytes(root / fold / name / file, flat_jpeg(tone++));
            }
        }
    }
}

using Members = std::vector<std::pair<std::string, std::string>>;

inline void make_zip(const fs::path& path, const Members& members, int method = ZIP_CM_STORE) {
    int code = 0;
    zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
    ASSERT_NE(archive, nullptr);
    for (const auto& [name, bytes] : members) {
        zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
        const zip_int64_t index = zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8);
        ASSERT_GE(index, 0);
        ASSERT_EQ(zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0), 0);
    }
    ASSERT_EQ(zip_close(archive), 0);
}

/// The files of a folder as zip members below `prefix`.
inline Members members_of(const fs::path& root, const std::string& prefix = "") {
    Members members;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
        if (entry.is_regular_file()) {
            members.emplace_back(prefix + fs::relative(entry.path(), root).string(), read_bytes(entry.path()));
        }
    }
    return members;
}

inline DataOptions uncached() {
    DataOptions options;
    options.use_cache = false;
    return options;
}

/// The error `call` throws; fails the test if it throws none.
template <class Call>
DataError data_error_of(Call&& call) {
    try {
        call();
    } catch (const DataError& error) {
        return error;
    }
    ADD_FAILURE() << "no DataError";
    return DataError("");
}

/// The tone of every image, by its first pixel.
inline std::vector<int> tones(const Dataset& data) {
    std::vector<int> result;
    for (std::int64_t i = 0; i < data.size(); ++i) {
        result.push_back(data.image(i)[0]);
    }
    return result;
}

/// Files younger than this are not cached: nobody could tell a later change.
inline void let_times_settle() { std::this_thread::sleep_for(std::chrono::milliseconds(150)); }

/// Where the real FER2013 is, or empty.
inline std::string fer2013() {
    const char* named = std::getenv("FER2013_DATA");
    if (named != nullptr && *named != '\0') {
        return named;
    }
    for (fs::path at = fs::current_path();; at = at.parent_path()) {
        for (const char* below : {"shared/data/fer2013.zip", "../shared/data/fer2013.zip"}) {
            if (fs::exists(at / below)) {
                return (at / below).string();
            }
        }
        if (at == at.parent_path()) {
            return {};
        }
    }
}

}  // namespace fer::test
