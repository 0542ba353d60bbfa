#include <algorithm>
#include <cstring>
#include <set>

#include "engine/core/file.hpp"
#include "engine/core/text.hpp"
#include "engine/formats/file_kind.hpp"
#include "engine/formats/keras_h5_contents.hpp"
#include "engine/formats/keras_zip.hpp"

namespace fer {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{4} << 30;
constexpr std::size_t kMaxObjects = 65536;
constexpr std::size_t kMaxNames = std::size_t{8} << 20;  // bytes of all strings of an attribute
constexpr int kMaxDepth = 16;

[[noreturn]] void damaged(const std::string& name, const std::string& why) {
    throw DataError(fmt::format("{} is not a usable Keras file", name)).because(why);
}

std::uint64_t little_endian(const char* bytes) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

/// The superblock says where the file ends: a download that stopped early is known by it.
void check_superblock(std::string_view head, std::uint64_t size, const std::string& name) {
    if (size > kMaxFileBytes) {
        damaged(name, fmt::format("it has {} bytes, more than {}", size, kMaxFileBytes));
    }
    if (head.size() < 64 || !head.starts_with("\x89HDF\r\n\x1a\n")) {
        damaged(name, "it is shorter than the first block of an HDF5 file");
    }
    const int version = static_cast<unsigned char>(head[8]);
    const std::size_t widths = version < 2 ? 13 : 9;
    if (version > 3 || head[widths] != 8 || head[widths + 1] != 8) {
        damaged(name, "its first block is damaged, or of a version that Keras never wrote");
    }
    const std::size_t base = version == 0 ? 24 : version == 1 ? 28 : 12;
    const std::uint64_t end = little_endian(head.data() + base + 16);
    if (little_endian(head.data() + base) != 0 || end > size) {
        damaged(name, end > size ? fmt::format("it is truncated: {} bytes of {}", size, end) : "its base is not zero");
    }
}

class H5Reader {
public:
    H5Reader(hid_t file, std::string name, std::uint64_t bytes) : file_(file), name_(std::move(name)), bytes_(bytes) {}

    using Group = H5Contents::Group;

    H5Contents contents;

    void read() {
        const Hdf5Handle root = open_group(file_, "/");
        const bool whole = has_child(root.id(), "model_weights");
        contents.config = text_attribute(root.id(), "model_config");
        contents.keras_version = text_attribute(root.id(), "keras_version");
        if (whole || H5Aexists(root.id(), "layer_names") > 0 || H5Aexists(root.id(), "layer_names0") > 0) {
            const Hdf5Handle weights = whole ? open_child(root.id(), "model_weights") : open_group(file_, "/");
            read_by_name(weights.id());
        } else if (has_child(root.id(), "layers") || has_child(root.id(), "_layer_checkpoint_dependencies")) {
            contents.layout = KerasLayout::kByContainer;
            walk_containers(root.id(), "", 0);
        } else {
            damaged(name_, "it is an HDF5 file without Keras's layer names: other programs use the format too");
        }
    }

private:
    [[noreturn]] void fail(const std::string& why) const { damaged(name_, why); }

    Hdf5Handle open_group(hid_t from, const char* path) const {
        Hdf5Handle group(H5Gopen2(from, path, H5P_DEFAULT), H5Gclose);
        if (!group.good()) {
            fail(fmt::format("its group '{}' cannot be opened", path));
        }
        return group;
    }

    static bool has_child(hid_t group, const std::string& name) {
        return H5Lexists(group, name.c_str(), H5P_DEFAULT) > 0;
    }

    /// A link of the file itself: soft and external ones could lead anywhere.
    void check_link(hid_t group, const std::string& name) const {
        H5L_info_t info;
        if (!has_child(group, name) || H5Lget_info(group, name.c_str(), &info, H5P_DEFAULT) < 0) {
            fail(fmt::format("it names '{}' but does not hold it", name));
        }
        if (info.type != H5L_TYPE_HARD) {
            fail(fmt::format("'{}' is a link to another place", name));
        }
    }

    Hdf5Handle open_child(hid_t group, const std::string& name) const {
        check_link(group, name);
        return open_group(group, name.c_str());
    }

    /// Every string of an attribute: fixed or variable length, a list or a single one, or the empty list of numbers
    /// that h5py writes for no strings at all.
    std::vector<std::string> strings(hid_t object, const std::string& name) const {
        const Hdf5Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
        const Hdf5Handle type(attribute.good() ? H5Aget_type(attribute.id()) : -1, H5Tclose);
        const Hdf5Handle space(attribute.good() ? H5Aget_space(attribute.id()) : -1, H5Sclose);
        if (!type.good() || !space.good()) {
            fail(fmt::format("its attribute '{}' cannot be read", name));
        }
        const hssize_t count = H5Sget_simple_extent_npoints(space.id());
        if (count == 0) {
            return {};
        }
        if (count < 0 || count > static_cast<hssize_t>(kMaxObjects) || H5Tget_class(type.id()) != H5T_STRING) {
            fail(fmt::format("its attribute '{}' is no list of names", name));
        }
        return H5Tis_variable_str(type.id()) > 0
                   ? variable_strings(attribute.id(), type.id(), space.id(), static_cast<std::size_t>(count), name)
                   : fixed_strings(attribute.id(), type.id(), static_cast<std::size_t>(count), name);
    }

    std::vector<std::string> variable_strings(hid_t attribute, hid_t type, hid_t space, std::size_t count,
                                              const std::string& name) const {
        std::vector<char*> pointers(count, nullptr);
        if (H5Aread(attribute, type, pointers.data()) < 0) {
            fail(fmt::format("its attribute '{}' cannot be read", name));
        }
        std::vector<std::string> list;
        for (const char* text : pointers) {
            list.emplace_back(text == nullptr ? "" : text);
        }
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
        return list;
    }

    std::vector<std::string> fixed_strings(hid_t attribute, hid_t type, std::size_t count,
                                           const std::string& name) const {
        const std::size_t width = H5Tget_size(type);
        if (width == 0 || width > kMaxNames / count) {
            fail(fmt::format("its attribute '{}' is too large", name));
        }
        std::vector<char> bytes(width * count);
        if (H5Aread(attribute, type, bytes.data()) < 0) {
            fail(fmt::format("its attribute '{}' cannot be read", name));
        }
        std::vector<std::string> list;
        for (std::size_t i = 0; i < count; ++i) {
            list.emplace_back(bytes.data() + i * width, ::strnlen(bytes.data() + i * width, width));
        }
        return list;
    }

    std::string text_attribute(hid_t object, const std::string& name) const {
        if (H5Aexists(object, name.c_str()) <= 0) {
            return {};
        }
        const auto list = strings(object, name);
        if (!list.empty() && list.front().size() > kMaxNames) {
            fail(fmt::format("its attribute '{}' is too large", name));
        }
        return list.empty() ? std::string() : list.front();
    }

    /// The attribute, or its pieces NAME0, NAME1, ... that h5py makes of lists above 64 KiB.
    std::vector<std::string> names(hid_t object, const std::string& name) const {
        if (H5Aexists(object, name.c_str()) > 0) {
            return strings(object, name);
        }
        std::vector<std::string> all;
        for (int piece = 0; H5Aexists(object, fmt::format("{}{}", name, piece).c_str()) > 0; ++piece) {
            const auto part = strings(object, fmt::format("{}{}", name, piece));
            all.insert(all.end(), part.begin(), part.end());
            if (all.size() > kMaxObjects) {
                fail(fmt::format("its attribute '{}' has too many pieces", name));
            }
        }
        return all;
    }

    void read_by_name(hid_t weights) {
        if (contents.keras_version.empty()) {
            contents.keras_version = text_attribute(weights, "keras_version");
        }
        std::set<std::string> seen;
        for (const std::string& layer : names(weights, "layer_names")) {
            if (!seen.insert(layer).second) {
                fail(fmt::format("layer '{}' stands twice in its list", layer));
            }
            const Hdf5Handle group = open_child(weights, layer);
            contents.groups.push_back({layer, {}});
            for (const std::string& weight : names(group.id(), "weight_names")) {
                take_tensor(contents.groups.back(), open_dataset(group.id(), weight), weight);
            }
        }
    }

    /// Weight names contain slashes: a path, every part of which must be a plain link.
    Hdf5Handle open_dataset(hid_t group, const std::string& path) const {
        std::string done;
        for (std::size_t start = 0; start <= path.size();) {
            const std::size_t end = std::min(path.find('/', start), path.size());
            if (end == start || path.substr(start, end - start) == "." || path.substr(start, end - start) == "..") {
                fail(fmt::format("'{}' is no name of a tensor", path));
            }
            done.append(done.empty() ? "" : "/").append(path, start, end - start);
            check_link(group, done);
            start = end + 1;
        }
        Hdf5Handle dataset(H5Dopen2(group, path.c_str(), H5P_DEFAULT), H5Dclose);
        if (!dataset.good()) {
            fail(fmt::format("its tensor '{}' cannot be opened", path));
        }
        return dataset;
    }

    void take_tensor(Group& group, Hdf5Handle dataset, const std::string& name) {
        if (++tensors_ > kMaxObjects) {
            fail("it has too many tensors");
        }
        const Hdf5Handle space(H5Dget_space(dataset.id()), H5Sclose);
        const Hdf5Handle type(H5Dget_type(dataset.id()), H5Tclose);
        const Hdf5Handle creation(H5Dget_create_plist(dataset.id()), H5Pclose);
        const int rank = space.good() ? H5Sget_simple_extent_ndims(space.id()) : -1;
        if (!type.good() || !creation.good() || rank < 0) {
            fail(fmt::format("its tensor '{}' cannot be read", name));
        }
        if (H5Tget_class(type.id()) != H5T_FLOAT) {
            return;  // a counter or a seed
        }
        if (rank > Shape::kMaxRank) {
            fail(fmt::format("'{}' has {} axes; the tensors of these layers have at most {}", name, rank,
                             Shape::kMaxRank));
        }
        hsize_t extents[Shape::kMaxRank] = {};
        H5Sget_simple_extent_dims(space.id(), extents, nullptr);
        std::uint64_t needed = H5Tget_size(type.id());
        Shape shape;
        for (int i = 0; i < rank; ++i) {
            if (__builtin_mul_overflow(needed, extents[i], &needed) || needed > bytes_) {
                fail(fmt::format("'{}' is larger than the file", name));
            }
            shape.push_back(static_cast<std::int64_t>(extents[i]));
        }
        const H5D_layout_t stored = H5Pget_layout(creation.id());
        if ((stored != H5D_CONTIGUOUS && stored != H5D_COMPACT) || H5Pget_external_count(creation.id()) != 0) {
            fail(fmt::format("'{}' is compressed or in pieces; Keras stores tensors whole", name));
        }
        if (H5Dget_storage_size(dataset.id()) < needed) {
            fail(fmt::format("'{}' has no data behind it", name));
        }
        total_ += needed;
        if (total_ > 2 * bytes_) {
            fail("its tensors together are larger than the file");
        }
        group.tensors.push_back({name, shape, std::move(dataset)});
    }

    void walk_containers(hid_t group, const std::string& path, int depth) {
        if (depth > kMaxDepth) {
            fail("its groups are nested too deeply");
        }
        for (const std::string& child : children(group)) {
            check_link(group, child);
            H5O_info_t info;
            if (H5Oget_info_by_name(group, child.c_str(), &info, H5P_DEFAULT) < 0 || ++objects_ > kMaxObjects) {
                fail(fmt::format("'{}/{}' cannot be opened, or there are too many like it", path, child));
            }
            if (info.type != H5O_TYPE_GROUP || child == "optimizer") {
                continue;
            }
            const Hdf5Handle inner = open_child(group, child);
            if (child == "vars") {
                take_vars(inner.id(), path);
            } else {
                walk_containers(inner.id(), path.empty() ? child : path + "/" + child, depth + 1);
            }
        }
    }

    void take_vars(hid_t vars, const std::string& path) {
        contents.groups.push_back({path, {}});
        for (std::size_t i = 0; has_child(vars, std::to_string(i)); ++i) {
            take_tensor(contents.groups.back(), open_dataset(vars, std::to_string(i)), std::to_string(i));
        }
    }

    std::vector<std::string> children(hid_t group) const {
        H5G_info_t info;
        if (H5Gget_info(group, &info) < 0 || info.nlinks > kMaxObjects) {
            fail("one of its groups cannot be listed");
        }
        std::vector<std::string> list;
        for (hsize_t i = 0; i < info.nlinks; ++i) {
            char text[256] = {};
            if (H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, text, sizeof text, H5P_DEFAULT) < 0) {
                fail("one of its groups cannot be listed");
            }
            list.emplace_back(text);
        }
        return list;
    }

    hid_t file_;
    std::string name_;
    std::uint64_t bytes_;
    std::size_t tensors_ = 0, objects_ = 0;
    std::uint64_t total_ = 0;
};

/// A file on disk, or the bytes of one.
Hdf5Handle open_h5(const std::string& path, std::string* image) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    if (image != nullptr) {
        H5Pset_fapl_core(access.id(), 1 << 20, 0);
        H5Pset_file_image(access.id(), image->data(), image->size());
    }
    return {H5Fopen(image == nullptr ? path.c_str() : "image", H5F_ACC_RDONLY, access.id()), H5Fclose};
}

void read_here(const fs::path& path, bool zip, SharedMemory& memory) {
    const std::string name = path.filename().string();
    KerasZip archive;
    std::uint64_t size = fs::file_size(path);
    if (zip) {
        archive = read_keras_zip(path);
        size = archive.weights.size();
        check_superblock(std::string_view(archive.weights).substr(0, 512), size, name + ": model.weights.h5");
    }
    const Hdf5Handle file = open_h5(path.string(), zip ? &archive.weights : nullptr);
    if (!file.good()) {
        damaged(name, "libhdf5 cannot open it: it is damaged");
    }
    H5Reader reader(file.id(), name, size);
    reader.read();
    if (zip) {
        reader.contents.config = archive.config;
        reader.contents.keras_version = archive.keras_version;
    }
    leave(reader.contents, memory);
}

}  // namespace

bool can_read_keras() { return true; }

KerasFile read_keras(const fs::path& path) {
    const FileKind kind = file_kind(path);
    if (kind != FileKind::kHdf5 && kind != FileKind::kZip) {
        refuse_kind(path, kind, "a Keras file");
    }
    const std::uint64_t size = fs::file_size(path);
    if (kind == FileKind::kHdf5) {
        const std::string head = read_head(path, 512);
        check_superblock(head, size, path.filename().string());
    }
    const Isolation limits{.cpu_seconds = 0.08 + 20e-9 * static_cast<double>(size),
                           .memory_bytes = (std::size_t{64} << 20) + 4 * static_cast<std::size_t>(size)};
    return take(run_isolated(path.filename().string(), limits,
                             [&](SharedMemory& memory) { read_here(path, kind == FileKind::kZip, memory); }));
}

}  // namespace fer
