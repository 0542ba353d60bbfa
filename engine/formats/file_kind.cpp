#include "engine/formats/file_kind.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

#include "engine/core/error.hpp"

namespace fer {

FileKind file_kind(const std::filesystem::path& path) {
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    char bytes[512] = {};
    in.read(bytes, sizeof bytes);
    if (std::filesystem::is_directory(path) || (!in && in.gcount() == 0 && !in.eof())) {
        throw DataError(fmt::format("cannot read {}", path.string()))
            .because(std::filesystem::is_directory(path) ? "it is a folder" : std::strerror(errno));
    }
    const std::string_view text(bytes, static_cast<std::size_t>(in.gcount()));
    if (text.empty()) {
        return FileKind::kEmpty;
    }
    if (text.starts_with("\x89HDF\r\n\x1a\n")) {
        return FileKind::kHdf5;
    }
    if (text.starts_with("version https://git-lfs")) {
        return FileKind::kLfsPointer;
    }
    if (text.starts_with("PK")) {
        return FileKind::kZip;
    }
    if (text.starts_with("\x80\x02") || text.starts_with("\x80\x03") || text.starts_with("\x80\x04")) {
        return FileKind::kPickle;
    }
    if (text.size() > 8 && text[8] == '{') {
        return FileKind::kSafetensors;
    }
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    return first != std::string_view::npos && text[first] == '<' ? FileKind::kHtml : FileKind::kOther;
}

void refuse_kind(const std::filesystem::path& path, FileKind kind, const std::string& wanted) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path, error);
    const std::string name = path.filename().string();
    const auto is = [&](const char* what) {
        return DataError(fmt::format("{} is {} ({} bytes), not {}", name, what, error ? 0 : bytes, wanted));
    };
    switch (kind) {
        case FileKind::kLfsPointer:
            throw is("a Git LFS pointer")
                .because("the repository stores weights with Git LFS and it was not pulled")
                .try_this("git lfs pull in that repository, or fer weights list for the official files");
        case FileKind::kHtml:
            throw is("a web page")
                .because("a download saved the page about the file, not the file")
                .try_this("download it again from its raw address, or fer weights list");
        case FileKind::kEmpty:
            throw is("empty").try_this("download it again");
        case FileKind::kPickle:
            throw is("a Python pickle")
                .because("a pickle runs code when it is read; fer reads data only")
                .try_this(
                    "save it as safetensors: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')");
        case FileKind::kZip:
            throw is("a zip archive");
        case FileKind::kHdf5:
            throw is("an HDF5 file");
        case FileKind::kSafetensors:
            throw is("a safetensors file");
        case FileKind::kOther:
            break;
    }
    throw is("of no known kind").because("its first bytes are the mark of no file format that fer reads");
}

}  // namespace fer
