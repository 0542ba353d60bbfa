// In place of the code that needs libcurl and libcrypto.
#include "engine/core/error.hpp"
#include "engine/fetch/download.hpp"
#include "engine/fetch/hash.hpp"

namespace fer {
namespace {

[[noreturn]] void left_out() {
    throw UsageError("this fer was built without libcurl and libcrypto: it downloads and checks no files")
        .try_this("bash tools/setup.sh, then build again");
}

}  // namespace

void download(const Download& /*what*/) { left_out(); }
std::string hash_of_file(const std::filesystem::path& /*path*/, Hash /*hash*/) { left_out(); }

}  // namespace fer
