// Every gradient rule against central differences in float64, on the reference. The table is the list of tests: a row
// without a case and without an entry in kNoGradient fails.
#include <gtest/gtest.h>

#include "tests/support/gradient_cases.hpp"

namespace fer::test {
namespace {

std::string test_name(const ::testing::TestParamInfo<OpKind>& row) { return std::string(name_of(row.param)); }

std::vector<OpKind> rows(bool differentiable) {
    std::vector<OpKind> kinds;
    for (const OpSpec& row : all_ops()) {
        if ((row.grad != nullptr) == differentiable) {
            kinds.push_back(row.kind);
        }
    }
    return kinds;
}

class GradientRule : public ::testing::TestWithParam<OpKind> {};

TEST_P(GradientRule, AgreesWithDifferences) {
    const auto cases = gradient_cases(GetParam());
    ASSERT_FALSE(cases.empty()) << name_of(GetParam()) << " has a gradient rule and no gradient case";
    for (const GradientCase& c : cases) {
        EXPECT_TRUE(GradientCheck(c).check());
    }
}

// The checker must notice a wrong gradient of every row: in each node that its rule appended, or, where a rule only
// hands on what it was given, in the result.
TEST_P(GradientRule, WrongGradientsAreCaught) {
    for (const GradientCase& c : gradient_cases(GetParam())) {
        GradientCheck check(c);
        std::vector<std::size_t> victims = check.own_nodes();
        victims.push_back(check.graph().nodes().size());
        for (const std::size_t victim : victims) {
            EXPECT_FALSE(check.check(Damage::kScaled, victim)) << c.name << " scaled, node " << victim;
            EXPECT_FALSE(check.check(Damage::kSign, victim)) << c.name << " sign, node " << victim;
        }
    }
}

// Shifted by one element: what a transposed index looks like. Cases whose gradient is one number cannot show it.
TEST_P(GradientRule, MisplacedGradientsAreCaught) {
    int caught = 0;
    for (const GradientCase& c : gradient_cases(GetParam())) {
        GradientCheck check(c);
        std::vector<std::size_t> victims = check.own_nodes();
        victims.push_back(check.graph().nodes().size());
        bool all = true;
        for (const std::size_t victim : victims) {
            all = all && !check.check(Damage::kShifted, victim);
        }
        caught += all ? 1 : 0;
    }
    EXPECT_GT(caught, 0);
}

INSTANTIATE_TEST_SUITE_P(Rows, GradientRule, ::testing::ValuesIn(rows(true)), test_name);

TEST(GradientRows, EveryRowIsDecided) {
    for (const OpKind kind : rows(false)) {
        EXPECT_TRUE(kNoGradient.contains(kind))
            << name_of(kind) << " has neither a gradient nor an entry in kNoGradient";
    }
    for (const OpKind kind : rows(true)) {
        EXPECT_FALSE(kNoGradient.contains(kind)) << name_of(kind) << " has a gradient after all";
    }
}

}  // namespace
}  // namespace fer::test
