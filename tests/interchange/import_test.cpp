// Models that real Keras wrote: the same outputs here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/golden.hpp"
#include "tests/support/keras_files.hpp"

namespace fer::test {
namespace {

namespace fs = std::filesystem;

void expect_like_keras(const fs::path& folder) {
    for (const fs::path& file : keras_files(folder)) {
        SCOPED_TRACE(file.filename().string());
        try {
            EXPECT_LE(difference_from_keras(file), kOutputTolerance);
        } catch (const Error& error) {
            ADD_FAILURE() << error.what() << "\n" << error.why();
        }
    }
}

TEST(KerasImport, CommittedModelsGiveKerasOutputs) {
    const fs::path folder = golden_path("interchange");
    EXPECT_GE(keras_files(folder).size(), 6u);
    expect_like_keras(folder);
}

// tests/golden/golden_interchange.py writes 200 of them.
TEST(KerasImport, RandomModelsGiveKerasOutputs) {
    const char* folder = std::getenv("FER_RANDOM_MODELS");
    if (folder == nullptr) {
        GTEST_SKIP() << "FER_RANDOM_MODELS names no folder";
    }
    EXPECT_GE(keras_files(folder).size(), 200u);
    expect_like_keras(folder);
}

}  // namespace
}  // namespace fer::test
