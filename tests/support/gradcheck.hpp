// Gradients against central differences, in float64. The op under test stands in a small graph whose loss weighs every
// output differently:  loss = 1/2 * sum((y + r)^2)  with r random, so d(loss)/dy = y + r.
#pragma once

#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "engine/graph/gradient.hpp"
#include "engine/run/cpu/cpu_device.hpp"
#include "tests/support/interpreter.hpp"
#include "tests/support/threads.hpp"
#include "tests/support/tolerance.hpp"

namespace fer::test {

enum class Fill { kRandom, kAwayFromKinks, kHalves, kOddEighths, kPositive, kLabels, kPartners, kShares, kClock };

struct CaseInput {
    Shape shape;
    Fill fill = Fill::kRandom;
    bool differentiated = true;
};

struct GradientCase {
    std::string name;
    OpKind kind;
    Attributes attrs;
    std::vector<CaseInput> inputs;
    std::vector<CaseInput> state = {};
    std::vector<std::size_t> order = {};  // which inputs the op takes; empty: each once
};

inline DType type_of(Fill fill) {
    switch (fill) {
        case Fill::kLabels:
        case Fill::kPartners:
            return DType::kI32;
        case Fill::kShares:
            return DType::kF32;
        case Fill::kClock:
            return DType::kI64;
        default:
            return DType::kF64;
    }
}

inline std::vector<double> numbers(const CaseInput& input, std::uint64_t seed) {
    const auto count = static_cast<std::size_t>(input.shape.count());
    switch (input.fill) {
        case Fill::kRandom:
            return uniform(count, seed);
        case Fill::kAwayFromKinks:
            return away_from_kinks(count, seed);
        case Fill::kHalves:
            return halves(count, seed);
        case Fill::kOddEighths:
            return odd_eighths(count, seed);
        case Fill::kPositive:
            return uniform(count, seed, 0.5, 1.5);
        case Fill::kShares:
            return uniform(count, seed, 0.5, 1);
        case Fill::kLabels:
        case Fill::kPartners:
            break;
        case Fill::kClock:
            return {7, 3, 0, 0};
    }
    std::vector<double> labels(count);
    for (std::size_t i = 0; i < count; ++i) {
        labels[i] = static_cast<double>(input.fill == Fill::kLabels ? 3 * i % 4 : (i + 1) % 4);
    }
    return labels;
}

/// Five-point stencil: its error is h^4/30 times the fifth derivative, 1e-14 of it, and the rounding of the loss,
/// 2^-53 * |loss| * sqrt(additions) / h, stays below 1e-10 for the losses here (under 1000). Steps never cross a kink:
/// 2h is far below the distance the fills keep.
inline constexpr double kDifferenceStep = 1e-3;

/// Relative where a gradient is of ordinary size, absolute where it is nearly zero.
inline bool gradient_agrees(double analytic, double numeric) {
    const double allowed = std::abs(numeric) > 1e-3 ? 1e-6 * std::abs(numeric) : 1e-8;
    return std::abs(analytic - numeric) <= allowed;
}

/// What may be done to a correct gradient to see that the checker notices.
enum class Damage { kNone, kScaled, kSign, kShifted };

inline void damage(std::span<double> values, Damage what) {
    switch (what) {
        case Damage::kNone:
            return;
        case Damage::kScaled:
            for (double& v : values) {
                v *= 1.001;
            }
            return;
        case Damage::kSign:
            for (double& v : values) {
                v = -v;
            }
            return;
        case Damage::kShifted:
            if (!values.empty()) {
                std::rotate(values.begin(), values.begin() + 1, values.end());
            }
            return;
    }
}

class GradientCheck {
public:
    explicit GradientCheck(const GradientCase& c) : case_(c) {
        build();
        run_ = std::make_unique<Interpreter>(graph_, cpu_device(true));
        fill();
    }

    /// Nodes that the rule under test has appended.
    std::vector<std::size_t> own_nodes() const {
        std::vector<std::size_t> own;
        for (std::size_t n = forward_; n < graph_.nodes().size(); ++n) {
            if (graph_.nodes()[n].name.starts_with("op/") && !is_view(graph_.nodes()[n].kind)) {
                own.push_back(n);
            }
        }
        return own;
    }

    /// `victim`: the node whose first output suffers; graph().nodes().size() for the final gradients themselves.
    ::testing::AssertionResult check(Damage what = Damage::kNone, std::size_t victim = 0) {
        run_->after = [&](std::size_t node) {
            if (node == victim) {
                damage(run_->data<double>(graph_.nodes()[node].outputs[0]), what);
            }
        };
        run_->run();
        run_->after = nullptr;
        std::vector<std::vector<double>> analytic;
        for (const ValueId id : gradients_) {
            const auto values = run_->data<double>(id);
            analytic.emplace_back(values.begin(), values.end());
            if (victim >= graph_.nodes().size()) {
                damage(analytic.back(), what);
            }
        }
        for (std::size_t k = 0; k < wrt_.size(); ++k) {
            const auto result = compare(k, analytic[k]);
            if (!result) {
                return result;
            }
        }
        return ::testing::AssertionSuccess();
    }

    const Graph& graph() const { return graph_; }

private:
    void build() {
        std::vector<ValueId> ids;
        for (const CaseInput& input : case_.inputs) {
            const std::string name = fmt::format("in{}", ids.size());
            ids.push_back(graph_.add(name, Role::kState, {input.shape, type_of(input.fill)}));
            if (input.differentiated) {
                wrt_.push_back(ids.back());
            }
        }
        given_ = ids;
        std::vector<ValueId> state;
        for (const CaseInput& input : case_.state) {
            state.push_back(graph_.add("state", Role::kState, {input.shape, type_of(input.fill)}));
        }
        std::vector<ValueId> taken = ids;
        if (!case_.order.empty()) {
            taken.clear();
            for (const std::size_t i : case_.order) {
                taken.push_back(ids[i]);
            }
        }
        const ValueId y = graph_.apply1(case_.kind, "op", case_.attrs, taken, state);
        shift_ = graph_.add("r", Role::kState, graph_.value(y).info);
        const ValueId sum = graph_.apply1(OpKind::kAdd, "shifted", NoAttrs{}, {y, shift_});
        loss_ = graph_.apply1(OpKind::kL2Penalty, "loss", ScalarAttrs{0.5f}, {sum});
        forward_ = graph_.nodes().size();
        gradients_ = differentiate(graph_, loss_, wrt_);
    }

    void fill() {
        for (std::size_t i = 0; i < given_.size(); ++i) {
            run_->set(given_[i], numbers(case_.inputs[i], 100 + i));
        }
        const CaseInput shift{graph_.value(shift_).info.shape};
        run_->set(shift_, numbers(shift, 99));
    }

    double loss_at(double& x, double value) {
        x = value;
        run_->run(0, forward_);
        return run_->data<double>(loss_)[0];
    }

    ::testing::AssertionResult compare(std::size_t k, const std::vector<double>& analytic) {
        const auto x = run_->data<double>(wrt_[k]);
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double at = x[i];
            const double h = kDifferenceStep;
            const double far = loss_at(x[i], at + 2 * h) - loss_at(x[i], at - 2 * h);
            const double near = loss_at(x[i], at + h) - loss_at(x[i], at - h);
            const double numeric = (8 * near - far) / (12 * h);
            x[i] = at;
            if (!gradient_agrees(analytic[i], numeric)) {
                return ::testing::AssertionFailure()
                       << fmt::format("{}: d/d{}[{}] is {}, differences say {}", case_.name, graph_.value(wrt_[k]).name,
                                      i, analytic[i], numeric);
            }
        }
        return ::testing::AssertionSuccess();
    }

    const Threads one_{1};
    GradientCase case_;
    Graph graph_;
    std::vector<ValueId> given_, wrt_, gradients_;
    ValueId shift_ = kNoValue, loss_ = kNoValue;
    std::size_t forward_ = 0;
    std::unique_ptr<Interpreter> run_;
};

}  // namespace fer::test
