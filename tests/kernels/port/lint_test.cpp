// Only kernels/port may speak to the hardware: everything else in kernels/ is read here, comments and texts removed.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Rule {
    std::string_view text;     // as a word of its own, if it is one
    std::string_view instead;  // what to write
};

constexpr Rule kRules[] = {
    {"__shared__", "FER_SHARED or FER_DYNAMIC_SHARED"},
    {"<<<", "launch()"},
    {"asm", "a function of kernels/port"},
    {"__asm__", "a function of kernels/port"},
    {"__activemask", "an explicit mask"},
    {"__match_any_sync", "an explicit mask"},
    {"__match_all_sync", "an explicit mask"},
    {"thread_local", "nothing: a fiber is not a thread"},
    {"#include <cuda", "kernels/port/port.hpp"},
    {"#include <mma", "kernels/port/matrix.hpp"},
    {"#include <cub/", "kernels/port/reduce.hpp"},
    {"#include <thrust/", "a kernel"},
    {"#include <cooperative_groups", "last_block_ticket()"},
};

bool is_word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool mentions(std::string_view line, std::string_view text) {
    for (std::size_t at = line.find(text); at != std::string_view::npos; at = line.find(text, at + 1)) {
        const std::size_t end = at + text.size();
        const bool joined_before = is_word_char(text.front()) && at > 0 && is_word_char(line[at - 1]);
        const bool joined_after =
            is_word_char(text.back()) && text.front() != '#' && end < line.size() && is_word_char(line[end]);
        if (!joined_before && !joined_after) {
            return true;
        }
    }
    return false;
}

/// Removes comments and what stands between quotes, line by line.
class Stripper {
public:
    std::string strip(std::string_view line) {
        std::string code;
        char quote = 0;
        const bool include = line.starts_with("#include");  // whose quotes are not text
        for (std::size_t i = 0; i < line.size(); ++i) {
            const std::string_view rest = line.substr(i);
            if (in_comment_) {
                if (rest.starts_with("*/")) {
                    in_comment_ = false;
                    ++i;
                }
            } else if (quote != 0) {
                if (line[i] == '\\') {
                    ++i;
                } else if (line[i] == quote) {
                    quote = 0;
                }
            } else if (rest.starts_with("//")) {
                break;
            } else if (rest.starts_with("/*")) {
                in_comment_ = true;
                ++i;
            } else if (line[i] == '"' && !include) {
                quote = '"';
            } else {
                code += line[i];
            }
        }
        return code;
    }

private:
    bool in_comment_ = false;
};

std::vector<std::string> findings(const fs::path& path) {
    std::vector<std::string> found;
    const auto add = [&](int number, std::string_view instead, const std::string& line) {
        found.push_back(path.filename().string() + ":" + std::to_string(number) + ": write " + std::string(instead) +
                        " instead of: " + line);
    };
    std::ifstream file(path);
    Stripper stripper;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
        const std::string code = stripper.strip(line);
        for (const Rule& rule : kRules) {
            if (mentions(code, rule.text)) {
                add(number, rule.instead, line);
            }
        }
        if (mentions(code, "#include \"engine/") && !mentions(code, "#include \"engine/core/")) {
            add(number, "engine/core/ at most", line);
        }
    }
    return found;
}

/// Kernels whose first statement is not wait_for_previous(), by the line their body begins on.
std::vector<std::string> hasty_kernels(const fs::path& path, int& kernels) {
    std::vector<std::string> found;
    std::ifstream file(path);
    Stripper stripper;
    std::string line;
    enum { kOutside, kHead, kBody } where = kOutside;
    for (int number = 1; std::getline(file, line); ++number) {
        const std::string code = stripper.strip(line);
        if (where == kBody && code.find_first_not_of(' ') != std::string::npos) {
            ++kernels;
            if (code != "    wait_for_previous();") {
                found.push_back(path.filename().string() + ":" + std::to_string(number) + ": " + line);
            }
            where = kOutside;
        }
        if (mentions(code, "__global__")) {
            where = kHead;
        }
        if (where == kHead && code.ends_with("{")) {
            where = kBody;
        }
    }
    return found;
}

TEST(PortLint, KernelsUseThePort) {
    int files = 0;
    int kernels = 0;
    for (const auto& entry :
         fs::directory_iterator(fs::path(FER_SOURCE_DIR) / "kernels")) {  // port/ is not looked into
        const std::string extension = entry.path().extension();
        if (extension == ".cu" || extension == ".cuh" || extension == ".hpp") {
            ++files;
            for (const std::string& finding : findings(entry.path())) {
                ADD_FAILURE() << finding;
            }
            for (const std::string& finding : hasty_kernels(entry.path(), kernels)) {
                ADD_FAILURE() << finding << "\n  stands before wait_for_previous()";
            }
        }
    }
    EXPECT_GT(files, 0);
    EXPECT_GT(kernels, 60);
}

TEST(PortLint, FindsWhatItLooksFor) {
    const fs::path path = fs::path(::testing::TempDir()) / "port_lint_sample.cu";
    std::ofstream(path) << "// __shared__ in a comment\n"
                           "const char* text = \"asm\"; int plasma = 1; /* <<<\n"
                           "asm */ float fine;\n"
                           "__shared__ float raw[32];\n"
                           "kernel<<<1, 2>>>();\n"
                           "#include \"engine/core/dtype.hpp\"\n"
                           "#include \"engine/graph/op.hpp\"\n"
                           "#include <cuda_runtime.h>\n";
    const std::vector<std::string> found = findings(path);
    fs::remove(path);
    ASSERT_EQ(found.size(), 4u);
    EXPECT_EQ(found[0],
              "port_lint_sample.cu:4: write FER_SHARED or FER_DYNAMIC_SHARED instead of: __shared__ float raw[32];");
    EXPECT_TRUE(found[1].starts_with("port_lint_sample.cu:5: write launch()"));
    EXPECT_TRUE(found[2].starts_with("port_lint_sample.cu:7: write engine/core/ at most"));
    EXPECT_TRUE(found[3].starts_with("port_lint_sample.cu:8: write kernels/port/port.hpp"));
}

TEST(PortLint, FindsKernelsThatDoNotWait) {
    const fs::path path = fs::path(::testing::TempDir()) / "port_lint_kernels.cu";
    std::ofstream(path) << "__global__ void fine(Args a) {\n    // first\n    wait_for_previous();\n}\n"
                           "template <class T>\n__global__ void __launch_bounds__(kThreads) hasty(\n    Args a) {\n"
                           "    if (a.count == 0) {\n        return;\n    }\n    wait_for_previous();\n}\n";
    int kernels = 0;
    const std::vector<std::string> found = hasty_kernels(path, kernels);
    fs::remove(path);
    EXPECT_EQ(kernels, 2);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0], "port_lint_kernels.cu:8:     if (a.count == 0) {");
}

}  // namespace
