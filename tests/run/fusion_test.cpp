// Every rule by itself: the step with it against the step without, on every device that this machine can run on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "engine/run/devices.hpp"
#include "models/models.hpp"
#include "tests/support/golden_bounds.hpp"
#include "tests/support/open_devices.hpp"
#include "tests/support/step_runner.hpp"

namespace fer::test {
namespace {

/// Convolutions before a batch norm, one of them after a ReLU and with a pool behind, and a residual.
void norms(Net& net) {
    net.conv(8, 3).relu();
    const ValueId shortcut = net.here();
    net.conv(8, 3).batch_norm().relu().conv(8, 1, {.bias = false}).batch_norm();
    net.add(shortcut).relu().conv(16, 3, {.l2 = 0.01f}).relu().batch_norm().max_pool();
    net.flatten().dense(12).batch_norm().relu();
    net.logits(7);
}

/// A frozen trunk as the pretrained ones begin, with batch norms that only know their moving statistics.
void frozen(Net& net) {
    net.freeze_first(20);  // all but the head
    net.zero_pad({1, 1, 1, 1}).conv(6, 3, {.stride = 2, .padding = Padding::kValid});
    const ValueId shortcut = net.here();
    net.conv(6, 1, {.bias = false}).batch_norm().relu6().depthwise_conv(3, {.bias = false}).batch_norm().relu6();
    net.conv(6, 1).batch_norm().add(shortcut).relu();
    const ValueId again = net.here();
    net.conv(6, 3).add(again).relu();
    net.conv(8, 3).batch_norm().relu().global_avg_pool().dense(6).relu();
    net.logits(7);
}

/// The statistics of a norm in the first convolution.
void first_norm(Net& net) {
    net.conv(8, 3).batch_norm().relu().max_pool().flatten().dense(6).relu();
    net.logits(7);
}

/// A depthwise convolution whose bias and activation are taken in, with gradients of all three.
void trained_depthwise(Net& net) {
    net.conv(4, 3).relu().depthwise_conv(3).relu6().global_avg_pool();
    net.logits(7);
}

/// Zeros as those of `same` padding, at stride 1 and behind an even side at stride 2; and others.
void padded(Net& net) {
    net.zero_pad({1, 1, 1, 1}).conv(4, 3, {.padding = Padding::kValid}).relu();
    net.zero_pad({0, 1, 0, 1}).depthwise_conv(3, {.stride = 2, .padding = Padding::kValid}).relu();
    net.zero_pad({1, 1, 1, 1}).conv(4, 3, {.stride = 2, .padding = Padding::kValid}).relu().global_avg_pool();
    net.logits(7);
}

/// A frozen norm before its convolution: there is nothing to fold it into.
void preactivated(Net& net) {
    net.freeze_first(5);
    net.conv(4, 3).max_pool().batch_norm().relu().global_avg_pool();
    net.logits(7);
}

/// One layer with most of the weights.
void large(Net& net) {
    net.conv(2, 3).relu().flatten().dense(4096).relu();
    net.logits(7);
}

enum class Expect {
    kSameBits,     // the same arithmetic in fewer nodes
    kSameKernels,  // that, where both are handwritten: the CPU has oneDNN for the convolution alone
    kRounding,     // the same numbers, rounded in other places
};

struct Rule {
    const char* name;
    ModelBuilder model;
    Expect expect;
    int channels = 1;
    bool only_16_bit = false;  // nothing to do in float32
    bool not_scaled = false;   // nothing to do in fp16, where gradients are scaled
    const char* needs = "";    // rules that must come before it
};

void PrintTo(const Rule& rule, std::ostream* out) { *out << rule.name; }

const Rule kRules[] = {
    {"fold", frozen, Expect::kRounding},
    {"residual", frozen, Expect::kRounding},
    {"pad", padded, Expect::kRounding},
    {"depthwise", frozen, Expect::kRounding},
    {"depthwise", trained_depthwise, Expect::kRounding},
    {"fixed_norm", preactivated, Expect::kRounding},
    {"norm_sums", norms, Expect::kRounding},
    {"loss", norms, Expect::kSameBits},
    {"l2", norms, Expect::kRounding},
    {"gray", frozen, Expect::kRounding, 3},
    {"input", norms, Expect::kSameBits},
    {"input", frozen, Expect::kSameBits, 3},
    {.name = "image_conv", .model = first_norm, .expect = Expect::kSameKernels, .needs = ",norm_sums,input"},
    {"hoist", frozen, Expect::kSameBits, 3},
    {"shadow", norms, Expect::kSameBits, 1, true},
    {"early_update", large, Expect::kSameBits, 1, false, true},
};

constexpr const char* kBase = "bias,activation,norm,norm_pool,norm_mask";

using Case = std::tuple<std::string_view, Precision, Rule>;

/// On every device that this machine can run on, in what it can store.
std::vector<Case> cases() {
    std::vector<Case> list;
    for (const std::string_view name : open_devices()) {
        const bool halves = !open_runtime(find_device(name)).host_memory();
        for (const Rule& rule : kRules) {
            list.emplace_back(name, Precision::kFp32, rule);
            if (halves) {
                list.emplace_back(name, Precision::kBf16, rule);
                list.emplace_back(name, Precision::kFp16, rule);
            }
        }
    }
    return list;
}

class Fusion : public ::testing::TestWithParam<Case> {
protected:
    const Device& device() const { return find_device(std::get<0>(GetParam())); }
    Precision precision() const { return std::get<1>(GetParam()); }
    const Rule& rule() const { return std::get<2>(GetParam()); }

    StepOptions options(const std::string& fusions) const {
        StepOptions options;
        options.batch = 3;
        options.fuse = fusions;
        options.precision = precision();
        options.input.images = 3;
        options.input.stored_height = options.input.stored_width = 12;
        options.input.height = options.input.width = rule().channels == 3 ? 18 : 12;
        options.input.channels = rule().channels;
        options.input.rescale = {1.0f / 127.5f, {-1, -1, -1}};
        if (*rule().model.target<void (*)(Net&)>() == norms) {
            options.rate_groups = {{"batch_normalization", 0.5f}, {"dense", 2}};
        }
        options.input.augment.rotation = 20;
        options.input.augment.horizontal_flip = true;
        return options;
    }
    std::string unfused() const { return fmt::format("{}{}", kBase, rule().needs); }
    std::string fused() const { return fmt::format("{},{}", unfused(), rule().name); }
    StepRunner runner(const std::string& fusions) const {
        StepRunner run(rule().model, options(fusions), device(), 1, open_runtime(device()), false);
        if (precision() == Precision::kFp16) {  // low enough not to overflow at once
            const LossScaleState start{.scale = 16};
            run.variables().write_bytes(run.variables().at(kLossScale), &start);
        }
        return run;
    }
};

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
    const Rule& rule = std::get<2>(info.param);
    void (*const model)(Net&) = *rule.model.target<void (*)(Net&)>();
    return fmt::format("{}_{}_{}_{}", std::get<0>(info.param), name_of(std::get<1>(info.param)), rule.name,
                       model == frozen || model == preactivated ? "frozen" : "trained");
}

INSTANTIATE_TEST_SUITE_P(All, Fusion, ::testing::ValuesIn(cases()), case_name);

/// Bytes of every variable that both steps have, gradients included.
void expect_same_bits(const StepRunner& got, const StepRunner& want) {
    for (const auto& [name, entry] : want.variables().entries()) {
        if (got.variables().has(name)) {
            EXPECT_TRUE(got.variables().read_bytes(got.variables().at(name)) == want.variables().read_bytes(entry))
                << name;
        }
    }
}

/// By the parameter they belong to.
std::map<std::string, std::vector<double>> gradients_of(const StepRunner& run) {
    std::map<std::string, std::vector<double>> gradients;
    const Graph& graph = run.step().graph;
    for (std::size_t id = 0; id < graph.values().size(); ++id) {
        if (graph.values()[id].role == Role::kGradient) {
            gradients[graph.value(graph.values()[id].of).name] = run.numbers(static_cast<ValueId>(id));
        }
    }
    return gradients;
}

void expect_close_gradients(const StepRunner& got, const StepRunner& want, double worst) {
    const auto all = gradients_of(got);
    for (const auto& [parameter, theirs] : gradients_of(want)) {
        const std::vector<double>& ours = all.at(parameter);
        if (largest_magnitude(theirs) > 1e-5) {  // else a bias before a batch norm: zero but for rounding
            EXPECT_LE(nmse(std::span<const double>(ours), std::span<const double>(theirs)), worst) << parameter;
        }
    }
}

/// Of a 16-bit step whose roundings stand elsewhere. A rounding is 2^-9 (bf16) or 2^-12 (fp16) of a value; some twenty
/// lie between an image and the loss; a ReLU or a pool that they turn takes a value of a gradient with it.
double gradient_bound(Precision precision) {
    const double rounding = precision == Precision::kBf16 ? 0x1p-9 : 0x1p-12;
    return precision == Precision::kFp32 ? 1e-8 : 20 * 20 * rounding;
}

TEST_P(Fusion, FusedEqualsUnfused) {
    StepRunner want = runner(unfused());
    StepRunner got = runner(fused());
    const auto& counts = got.step().fusions;
    const auto mine = std::ranges::find(counts, rule().name, &FusionCount::rule);
    ASSERT_NE(mine, counts.end());
    const bool idle = (rule().only_16_bit && precision() == Precision::kFp32) ||
                      (rule().not_scaled && precision() == Precision::kFp16);
    EXPECT_EQ(mine->count > 0, !idle);
    const bool exact = rule().expect == Expect::kSameBits ||
                       (rule().expect == Expect::kSameKernels && !open_runtime(device()).host_memory());
    const double relative = precision() == Precision::kFp32 ? 1e-5 : 2e-2;
    for (int step = 0; step < 2; ++step) {
        const double ours = got.train();
        EXPECT_TRUE(close(ours, want.train(), exact ? Tolerance{} : Tolerance{0, relative})) << step;
        if (exact) {
            expect_same_bits(got, want);
        } else if (step == 0) {
            expect_close_gradients(got, want, gradient_bound(precision()));
        }
    }
    // Adam has made steps of full size of what was rounding: ten times a step's own bound.
    EXPECT_TRUE(close(got.evaluate(), want.evaluate(), exact ? Tolerance{} : Tolerance{0, 10 * relative}));
}

}  // namespace
}  // namespace fer::test
