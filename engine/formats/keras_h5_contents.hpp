// What was found in a Keras file, on its way out of the process that reads it.
#pragma once

#include <string>
#include <vector>

#include "engine/formats/hdf5_handle.hpp"
#include "engine/formats/isolated.hpp"
#include "engine/formats/keras_h5.hpp"

namespace fer {

/// Tensors that were checked and are still in the file.
struct H5Contents {
    struct Tensor {
        std::string name;
        Shape shape;
        Hdf5Handle dataset;
    };
    struct Group {
        std::string name;
        std::vector<Tensor> tensors;
    };
    KerasLayout layout = KerasLayout::kByName;
    std::string keras_version, config;
    std::vector<Group> groups;
};

/// u64 length of the index, the index (JSON), then the tensors as float32, each on a multiple of 64 bytes. DataError if
/// libhdf5 cannot read one.
void leave(const H5Contents& contents, SharedMemory& memory);

/// The same on the other side.
KerasFile take(const IsolatedBytes& shared);

}  // namespace fer
