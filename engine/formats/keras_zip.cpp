#include "engine/formats/keras_zip.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/core/error.hpp"
#include "engine/core/zip_archive.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxJson = std::uint64_t{8} << 20;
constexpr std::uint64_t kMaxWeights = std::uint64_t{4} << 30;
constexpr zip_int64_t kMaxMembers = 4096;
constexpr std::uint64_t kMaxRatio = 100;

[[noreturn]] void fail(const std::string& name, const std::string& why) {
    throw DataError(fmt::format("{} is not a usable .keras archive", name)).because(why);
}

struct CloseMember {
    void operator()(zip_file_t* file) const { zip_fclose(file); }
};

ZipArchive open_archive(const fs::path& path, const std::string& name) {
    std::string why;
    ZipArchive archive = open_zip(path, why);
    if (!archive) {
        fail(name, why);
    }
    const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
    if (count > kMaxMembers) {
        fail(name, fmt::format("it has {} members", count));
    }
    for (zip_int64_t i = 0; i < count; ++i) {
        const char* text = zip_get_name(archive.get(), static_cast<zip_uint64_t>(i), 0);
        const std::string member = text == nullptr ? "" : text;
        if (member.starts_with('/') || member.find("..") != std::string::npos ||
            member.find('\\') != std::string::npos) {
            fail(name, fmt::format("the member '{}' points outside the archive", member));
        }
    }
    return archive;
}

std::string read_member(zip_t* archive, const std::string& name, const char* member, std::uint64_t limit) {
    zip_stat_t info;
    if (zip_stat(archive, member, 0, &info) != 0 || (info.valid & ZIP_STAT_SIZE) == 0 ||
        (info.valid & ZIP_STAT_COMP_SIZE) == 0) {
        fail(name, fmt::format("it has no {}", member));
    }
    if (info.size > limit || info.size / kMaxRatio > info.comp_size) {
        fail(name, fmt::format("{} unpacks from {} to {} bytes", member, info.comp_size, info.size));
    }
    const std::unique_ptr<zip_file_t, CloseMember> file(zip_fopen(archive, member, 0));
    if (!file) {
        fail(name, fmt::format("{}: {}", member, zip_strerror(archive)));
    }
    // One byte more than announced: it must not be there, and asking for it makes libzip check the CRC-32.
    std::string bytes(info.size + 1, '\0');
    std::size_t have = 0;
    while (have < bytes.size()) {
        const zip_int64_t got = zip_fread(file.get(), bytes.data() + have, bytes.size() - have);
        if (got < 0) {
            fail(name, fmt::format("{}: {}", member, zip_file_strerror(file.get())));
        }
        if (got == 0) {
            break;
        }
        have += static_cast<std::size_t>(got);
    }
    if (have != info.size) {
        fail(name, fmt::format("{} is not as long as the archive says", member));
    }
    bytes.resize(have);
    return bytes;
}

void add_member(zip_t* archive, const char* name, const std::string& bytes) {
    zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
    const zip_int64_t index = zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8);
    FER_ASSERT(index >= 0 && zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0) == 0,
               "libzip cannot add {}: {}", name, zip_strerror(archive));
}

}  // namespace

std::string keras_zip_bytes(const KerasZip& keras, const std::string& date) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, &error);
    FER_ASSERT(target != nullptr, "libzip makes no buffer");
    zip_source_keep(target);
    zip_t* archive = zip_open_from_source(target, ZIP_TRUNCATE, &error);
    FER_ASSERT(archive != nullptr, "libzip makes no archive: {}", zip_error_strerror(&error));
    const std::string metadata = nlohmann::json{{"keras_version", keras.keras_version}, {"date_saved", date}}.dump();
    add_member(archive, "metadata.json", metadata);
    add_member(archive, "config.json", keras.config);
    add_member(archive, "model.weights.h5", keras.weights);
    FER_ASSERT(zip_close(archive) == 0, "libzip cannot finish the archive: {}", zip_strerror(archive));
    zip_stat_t info;
    FER_ASSERT(zip_source_stat(target, &info) == 0 && zip_source_open(target) == 0, "libzip gives no bytes");
    std::string bytes(info.size, '\0');
    FER_ASSERT(zip_source_read(target, bytes.data(), bytes.size()) == static_cast<zip_int64_t>(bytes.size()),
               "libzip gives fewer bytes than it wrote");
    zip_source_close(target);
    zip_source_free(target);
    return bytes;
}

std::string read_head(const fs::path& path, std::size_t count) {
    std::ifstream in(path, std::ios::binary);
    std::string bytes(count, '\0');
    in.read(bytes.data(), static_cast<std::streamsize>(count));
    bytes.resize(static_cast<std::size_t>(in.gcount()));
    return bytes;
}

KerasZip read_keras_zip(const fs::path& path) {
    const std::string name = path.filename().string();
    const ZipArchive archive = open_archive(path, name);
    KerasZip result;
    result.config = read_member(archive.get(), name, "config.json", kMaxJson);
    const auto metadata =
        nlohmann::json::parse(read_member(archive.get(), name, "metadata.json", kMaxJson), nullptr, false);
    if (metadata.is_object() && metadata.contains("keras_version") && metadata["keras_version"].is_string()) {
        result.keras_version = metadata["keras_version"];
    }
    result.weights = read_member(archive.get(), name, "model.weights.h5", kMaxWeights);
    return result;
}

}  // namespace fer
