#include <fmt/chrono.h>

#include <ctime>
#include <filesystem>

#include "engine/core/file.hpp"
#include "engine/formats/hdf5_handle.hpp"
#include "engine/formats/keras_h5.hpp"
#include "engine/formats/keras_zip.hpp"

namespace fer {
namespace {

hid_t good(hid_t id, const char* what) {
    FER_ASSERT(id >= 0, "libhdf5 cannot make {}", what);
    return id;
}

void write_text(hid_t object, const char* name, const std::string& text) {
    const Hdf5Handle type(good(H5Tcopy(H5T_C_S1), "a type"), H5Tclose);
    H5Tset_size(type.id(), H5T_VARIABLE);
    H5Tset_cset(type.id(), H5T_CSET_UTF8);
    const Hdf5Handle space(good(H5Screate(H5S_SCALAR), "a space"), H5Sclose);
    const Hdf5Handle attribute(good(H5Acreate2(object, name, type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT), name),
                               H5Aclose);
    const char* pointer = text.c_str();
    H5Awrite(attribute.id(), type.id(), static_cast<const void*>(&pointer));
}

/// Names of one width, as h5py 2 wrote them; in pieces NAME0, NAME1, ... above what an attribute holds.
void write_names(hid_t object, const std::string& name, const std::vector<std::string>& list) {
    constexpr std::size_t kMaxAttribute = 64512;
    std::size_t width = 1;
    for (const std::string& text : list) {
        width = std::max(width, text.size());
    }
    const std::size_t per_piece = kMaxAttribute / width;
    for (std::size_t begin = 0, piece = 0; begin < list.size() || piece == 0; begin += per_piece, ++piece) {
        const std::size_t count = std::min(per_piece, list.size() - std::min(begin, list.size()));
        std::string bytes(count * width + 1, '\0');
        for (std::size_t i = 0; i < count; ++i) {
            list[begin + i].copy(bytes.data() + i * width, width);
        }
        const Hdf5Handle type(good(H5Tcopy(H5T_C_S1), "a type"), H5Tclose);
        H5Tset_size(type.id(), width);
        H5Tset_strpad(type.id(), H5T_STR_NULLPAD);
        const hsize_t extent = count;
        const Hdf5Handle space(good(H5Screate_simple(1, &extent, nullptr), "a space"), H5Sclose);
        const std::string own = list.size() > per_piece ? name + std::to_string(piece) : name;
        const Hdf5Handle attribute(
            good(H5Acreate2(object, own.c_str(), type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT), "an attribute"),
            H5Aclose);
        H5Awrite(attribute.id(), type.id(), bytes.data());
    }
}

void write_tensor(hid_t group, const KerasTensor& tensor) {
    hsize_t extents[Shape::kMaxRank] = {};
    for (int i = 0; i < tensor.shape.rank(); ++i) {
        extents[i] = static_cast<hsize_t>(tensor.shape[i]);
    }
    const Hdf5Handle space(good(H5Screate_simple(tensor.shape.rank(), extents, nullptr), "a space"), H5Sclose);
    const Hdf5Handle links(good(H5Pcreate(H5P_LINK_CREATE), "a property list"), H5Pclose);
    H5Pset_create_intermediate_group(links.id(), 1);
    const Hdf5Handle dataset(
        good(H5Dcreate2(group, tensor.name.c_str(), H5T_IEEE_F32LE, space.id(), links.id(), H5P_DEFAULT, H5P_DEFAULT),
             "a tensor"),
        H5Dclose);
    FER_ASSERT(H5Dwrite(dataset.id(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.values.data()) >= 0,
               "libhdf5 cannot write '{}'", tensor.name);
}

Hdf5Handle make_group(hid_t where, const std::string& path) {
    const Hdf5Handle links(good(H5Pcreate(H5P_LINK_CREATE), "a property list"), H5Pclose);
    H5Pset_create_intermediate_group(links.id(), 1);
    return {good(H5Gcreate2(where, path.c_str(), links.id(), H5P_DEFAULT, H5P_DEFAULT), "a group"), H5Gclose};
}

void write_by_name(hid_t file, const KerasFile& keras) {
    write_text(file, "backend", "tensorflow");
    write_text(file, "keras_version", keras.keras_version);
    write_text(file, "model_config", keras.config);
    const Hdf5Handle weights = make_group(file, "model_weights");
    write_text(weights.id(), "backend", "tensorflow");
    write_text(weights.id(), "keras_version", keras.keras_version);
    std::vector<std::string> layers;
    for (const KerasGroup& group : keras.groups) {
        layers.push_back(group.name);
        const Hdf5Handle own = make_group(weights.id(), group.name);
        std::vector<std::string> names;
        for (const KerasTensor& tensor : group.tensors) {
            names.push_back(tensor.name);
            write_tensor(own.id(), tensor);
        }
        write_names(own.id(), "weight_names", names);
    }
    write_names(weights.id(), "layer_names", layers);
}

void write_by_container(hid_t file, const KerasFile& keras) {
    make_group(file, "vars");
    for (const KerasGroup& group : keras.groups) {
        const Hdf5Handle vars = make_group(file, group.name + "/vars");
        for (const KerasTensor& tensor : group.tensors) {
            write_tensor(vars.id(), tensor);
        }
    }
}

/// The bytes of the file, made in memory: the disk sees it whole or not at all.
std::string h5_bytes(const KerasFile& keras) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    const Hdf5Handle access(good(H5Pcreate(H5P_FILE_ACCESS), "a property list"), H5Pclose);
    H5Pset_fapl_core(access.id(), std::size_t{16} << 20, 0);
    const Hdf5Handle file(good(H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, access.id()), "a file"), H5Fclose);
    if (keras.layout == KerasLayout::kByName) {
        write_by_name(file.id(), keras);
    } else {
        write_by_container(file.id(), keras);
    }
    H5Fflush(file.id(), H5F_SCOPE_GLOBAL);
    const ssize_t size = H5Fget_file_image(file.id(), nullptr, 0);
    FER_ASSERT(size > 0, "libhdf5 gives no image of the file");
    std::string bytes(static_cast<std::size_t>(size), '\0');
    H5Fget_file_image(file.id(), bytes.data(), bytes.size());
    return bytes;
}

}  // namespace

void write_keras_archive(const std::filesystem::path& path, const KerasFile& file) {
    FER_ASSERT(file.layout == KerasLayout::kByContainer, "an archive holds containers");
    const std::string date = fmt::format("{:%Y-%m-%d@%H:%M:%S}", fmt::gmtime(std::time(nullptr)));
    write_file(path, keras_zip_bytes({file.config, file.keras_version, h5_bytes(file)}, date));
}

void write_keras_h5(const std::filesystem::path& path, const KerasFile& file) { write_file(path, h5_bytes(file)); }

}  // namespace fer
