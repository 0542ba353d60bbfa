// A zip archive opened for reading by libzip, which whoever includes this links.
#pragma once

#include <zip.h>

#include <filesystem>
#include <memory>
#include <string>

namespace fer {

struct DiscardZip {
    void operator()(zip_t* archive) const { zip_discard(archive); }
};
using ZipArchive = std::unique_ptr<zip_t, DiscardZip>;

/// Null if it cannot be opened, and why.
inline ZipArchive open_zip(const std::filesystem::path& path, std::string& why) {
    int code = 0;
    ZipArchive archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
    if (!archive) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        why = std::string(zip_error_strerror(&error)) + ": it is damaged, or its download stopped early";
        zip_error_fini(&error);
    }
    return archive;
}

}  // namespace fer
