// The pretrained files of keras.applications, by name.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace fer {

/// What is known of a published file. Zero bytes or an empty hash: not known.
struct OfficialFile {
    std::string_view name;    // resnet50-notop
    std::string_view model;   // of fer, that it is a trunk of
    std::string_view folder;  // below keras-applications/
    std::string_view file;
    std::uint64_t bytes;
    std::string_view md5, sha256;
};

/// Names and MD5 sums as in keras/applications of Keras 2.15; sizes and SHA-256 as published with the files.
std::span<const OfficialFile> official_files();

/// UsageError with the nearest name if there is none.
const OfficialFile& find_official(std::string_view name);

/// Where Keras keeps them: $KERAS_HOME/models, else ~/.keras/models.
std::filesystem::path keras_cache();

std::string url_of(const OfficialFile& file, std::string_view mirror = {});

/// Empty if the file is what was published; else what is wrong with it, in words. Also knows the older ResNet50 that
/// circulates under the same name.
std::string difference_from_official(const std::filesystem::path& path, const OfficialFile& file);

}  // namespace fer
