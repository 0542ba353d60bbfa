// Text held against a committed file; FER_UPDATE_GOLDENS=1 writes the file instead.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "engine/core/file.hpp"

namespace fer::test {

inline void expect_golden_text(const std::string& text, const std::string& path) {
    const std::string full = std::string(FER_SOURCE_DIR) + "/" + path;
    if (std::getenv("FER_UPDATE_GOLDENS") != nullptr) {
        write_file(full, text);
    }
    const std::string want = read_file(full);
    const auto differs = std::mismatch(text.begin(), text.end(), want.begin(), want.end());
    const auto line = 1 + std::count(text.begin(), differs.first, '\n');
    EXPECT_TRUE(text == want) << path << " differs from line " << line
                              << "; if that is meant, run again with FER_UPDATE_GOLDENS=1\n"
                              << text;
}

}  // namespace fer::test
