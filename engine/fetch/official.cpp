#include "engine/fetch/official.hpp"

#include <fmt/ranges.h>

#include <array>
#include <cstdlib>
#include <vector>

#include "engine/core/error.hpp"
#include "engine/core/text.hpp"
#include "engine/fetch/hash.hpp"

namespace fer {
namespace {

// clang-format off
constexpr std::array kFiles{
    OfficialFile{"vgg16-notop",       "vgg16_tl",       "vgg16",        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",               58'889'256, "6d6bbae143d832006294945121d1f1fc", ""},
    OfficialFile{"vgg16",             "vgg16_fc_tl",    "vgg16",        "vgg16_weights_tf_dim_ordering_tf_kernels.h5",                              0, "64373286793e3c8b2b4e3219cbf3544b", ""},
    OfficialFile{"resnet50v2-notop",  "resnet50v2_tl",  "resnet",       "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",          94'668'760, "fac2f116257151a9d068a22e544a4917", ""},
    OfficialFile{"resnet50v2",        "resnet50v2_tl",  "resnet",       "resnet50v2_weights_tf_dim_ordering_tf_kernels.h5",                         0, "3ef43a0b657b3be2300d5770ece849e0", ""},
    OfficialFile{"resnet50-notop",    "resnet50_tl",    "resnet",       "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",            94'765'736, "4d473c1dd8becc155b73f8504c6f6626", "66c8b43daff3fcc15bc4f30e3d2a167e21a14d9c9598a5394e5516471f4af504"},
    OfficialFile{"resnet50",          "resnet50_tl",    "resnet",       "resnet50_weights_tf_dim_ordering_tf_kernels.h5",                           0, "2cb95161c43110f7111970584f804107", ""},
    OfficialFile{"mobilenetv2-notop", "mobilenetv2_tl", "mobilenet_v2", "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", 9'406'464, "",                                 "f8aff69536bd77a692c594f559c798c19bf7f3f36668fc9fa00b21c6aab4797c"},
};
// clang-format on

constexpr std::string_view kServer = "https://storage.googleapis.com/tensorflow/keras-applications";
constexpr std::uint64_t kOldResnetBytes = 94'653'016;

}  // namespace

std::span<const OfficialFile> official_files() { return kFiles; }

const OfficialFile& find_official(std::string_view name) {
    std::vector<std::string_view> names;
    for (const OfficialFile& file : kFiles) {
        if (file.name == name) {
            return file;
        }
        names.push_back(file.name);
    }
    const std::string near = nearest(name, names);
    throw UsageError(fmt::format("no official weights are named '{}'", name))
        .try_this(near.empty() ? fmt::format("one of: {}", fmt::join(names, ", "))
                               : fmt::format("did you mean '{}'?", near));
}

std::filesystem::path keras_cache() {
    const char* keras = std::getenv("KERAS_HOME");
    if (keras != nullptr && *keras != '\0') {
        return std::filesystem::path(keras) / "models";
    }
    const char* home = std::getenv("HOME");
    return std::filesystem::path(home == nullptr ? "." : home) / ".keras" / "models";
}

std::string url_of(const OfficialFile& file, std::string_view mirror) {
    return fmt::format("{}/{}/{}", mirror.empty() ? kServer : mirror, file.folder, file.file);
}

std::string difference_from_official(const std::filesystem::path& path, const OfficialFile& file) {
    const std::uint64_t bytes = std::filesystem::file_size(path);
    if (file.name == "resnet50-notop" && bytes == kOldResnetBytes) {
        return "it is the ResNet50 of the first Keras versions, which has the same name and other layers "
               "(res2a_branch2a)";
    }
    if (file.bytes != 0 && bytes != file.bytes) {
        return fmt::format("it has {} bytes, the official file {}", bytes, file.bytes);
    }
    for (const auto& [hash, want] : {std::pair{Hash::kMd5, file.md5}, {Hash::kSha256, file.sha256}}) {
        const std::string got = want.empty() ? std::string() : hash_of_file(path, hash);
        if (got != want) {
            return fmt::format("its {} is {}, not {}", hash == Hash::kMd5 ? "MD5" : "SHA-256", got, want);
        }
    }
    return {};
}

}  // namespace fer
