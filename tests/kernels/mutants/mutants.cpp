// Which place is wrong in this run (FER_MUTANT=n), and which places each test reaches (FER_MUTANT_REACH=file).
#include "tests/kernels/mutants/mutants.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace fer::mutants {

namespace {

constexpr int kMost = 100000;

int number_from_environment() {
    const char* text = std::getenv("FER_MUTANT");
    return text == nullptr ? -1 : std::atoi(text);
}

/// A line per test: its name, its milliseconds, the numbers of the places it reached.
class Reach : public ::testing::EmptyTestEventListener {
public:
    explicit Reach(const char* file) : out_(file) {}

private:
    void OnTestStart(const ::testing::TestInfo&) override { std::fill(reached, reached + kMost, 0); }
    void OnTestEnd(const ::testing::TestInfo& test) override {
        out_ << test.test_suite_name() << '.' << test.name() << ' ' << test.result()->elapsed_time();
        for (int n = 0; n < kMost; ++n) {
            if (reached[n] != 0) {
                out_ << ' ' << n;
            }
        }
        out_ << std::endl;
    }
    std::ofstream out_;
};

const bool listening = [] {
    if (const char* file = std::getenv("FER_MUTANT_REACH"); file != nullptr) {
        ::testing::UnitTest::GetInstance()->listeners().Append(new Reach(file));
    }
    return true;
}();

}  // namespace

int active = number_from_environment();
unsigned char reached[kMost];

}  // namespace fer::mutants
