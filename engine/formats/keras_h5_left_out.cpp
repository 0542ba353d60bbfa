// In place of the code that needs libhdf5.
#include "engine/core/error.hpp"
#include "engine/formats/keras_h5.hpp"

namespace fer {
namespace {

[[noreturn]] void left_out() {
    throw UsageError("this fer was built without libhdf5: it reads and writes no Keras files")
        .try_this("bash tools/setup.sh, then build again");
}

}  // namespace

KerasFile read_keras(const std::filesystem::path& /*path*/) { left_out(); }
void write_keras_h5(const std::filesystem::path& /*path*/, const KerasFile& /*file*/) { left_out(); }
void write_keras_archive(const std::filesystem::path& /*path*/, const KerasFile& /*file*/) { left_out(); }
bool can_read_keras() { return false; }

}  // namespace fer
