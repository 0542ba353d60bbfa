#include "engine/run/variables.hpp"

#include <algorithm>
#include <cmath>

#include "engine/core/random.hpp"
#include "engine/core/text.hpp"

namespace fer {
namespace {

/// Where `info` may begin at or behind `end`, and what it takes are multiples of this.
std::int64_t grain(const TensorInfo& info) { return is_16_bit(info.dtype) ? 32 : 64; }

std::int64_t round_up(std::int64_t bytes, std::int64_t grain) { return (bytes + grain - 1) / grain * grain; }

double initial(const Variable& variable, const RandomStream& random, std::uint64_t element) {
    switch (variable.init) {
        case Init::kZeros:
            return 0;
        case Init::kOnes:
            return 1;
        case Init::kGlorotUniform: {
            const double limit = std::sqrt(6.0 / static_cast<double>(variable.fan_in + variable.fan_out));
            return (2.0 * random.uniform(element) - 1.0) * limit;
        }
        case Init::kHeNormal: {  // truncated at two sigma, sigma corrected for the cut
            const double sigma = std::sqrt(2.0 / static_cast<double>(variable.fan_in)) / 0.87962566103423978;
            for (std::uint64_t attempt = 0;; ++attempt) {
                const double z = normal(random, element * 16 + attempt % 16);
                if (std::abs(z) <= 2 || attempt == 15) {
                    return std::clamp(z, -2.0, 2.0) * sigma;
                }
            }
        }
    }
    return 0;
}

template <class T>
void fill(const Variables& variables, const std::string& name, const Variable& variable, std::uint64_t seed) {
    const RandomStream random(seed, 0, stream_of(name));
    std::vector<T> values(static_cast<std::size_t>(variables.at(name).info.shape.count()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<T>(initial(variable, random, i));
    }
    variables.write(name, std::span<const T>(values));
}

void fill_ones(const Variables& variables, const std::string& name) {
    const TensorInfo& info = variables.at(name).info;
    const auto count = static_cast<std::size_t>(info.shape.count());
    if (info.dtype == DType::kF64) {
        variables.write(name, std::span<const double>(std::vector<double>(count, 1.0)));
    } else {
        variables.write(name, std::span<const float>(std::vector<float>(count, 1.0f)));
    }
}

}  // namespace

/// Entries without addresses, their offsets, and the sizes of the blocks.
struct Variables::Layout {
    std::map<std::string, Entry, std::less<>> entries;
    std::map<std::string, std::int64_t> offsets;
    std::map<std::string, std::string> parameter_of;  // gradient -> parameter
    std::int64_t parameter_bytes = 0;
    std::int64_t state_bytes = 0;

    explicit Layout(std::span<const Graph* const> graphs) {
        for (const Graph* graph : graphs) {
            for (const Value& value : graph->values()) {
                if (value.role != Role::kInput && value.role != Role::kTemporary) {
                    place(*graph, value);
                }
            }
        }
    }
    std::int64_t gradient_bytes() const { return parameter_of.empty() ? 0 : parameter_bytes; }

private:
    void place(const Graph& graph, const Value& value) {
        const auto [at, added] = entries.try_emplace(value.name, Entry{value.info, value.role, nullptr, value.derived});
        FER_CHECK(at->second.info == value.info, "'{}' is {} in one graph and {} in another", value.name,
                  at->second.info.shape.str(), value.info.shape.str());
        if (!added) {
            return;
        }
        if (value.role == Role::kGradient) {
            parameter_of[value.name] = graph.value(value.of).name;
            return;
        }
        std::int64_t& end = value.role == Role::kParameter ? parameter_bytes : state_bytes;
        offsets[value.name] = round_up(end, grain(value.info));
        end = offsets[value.name] + round_up(value.info.bytes(), grain(value.info));
    }
};

std::int64_t Variables::bytes_of(std::span<const Graph* const> graphs) {
    const Layout layout(graphs);
    return layout.parameter_bytes + layout.gradient_bytes() + layout.state_bytes;
}

Variables::Variables(std::span<const Graph* const> graphs, Runtime& runtime)
    : parameters_(runtime), gradients_(runtime), state_(runtime) {
    Layout layout(graphs);
    parameters_ = Buffer(runtime, layout.parameter_bytes);
    gradients_ = Buffer(runtime, layout.gradient_bytes());
    state_ = Buffer(runtime, layout.state_bytes);
    entries_ = std::move(layout.entries);
    for (auto& [name, entry] : entries_) {
        switch (entry.role) {
            case Role::kParameter:
                entry.address = parameters_.data() + layout.offsets[name];
                break;
            case Role::kGradient:
                entry.address = gradients_.data() + layout.offsets[layout.parameter_of[name]];
                break;
            default:
                entry.address = state_.data() + layout.offsets[name];
        }
    }
}

const Variables::Entry& Variables::at(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
        std::vector<std::string> names;
        for (const auto& [known, entry] : entries_) {
            names.push_back(known);
        }
        const std::string near = nearest(name, names);
        throw UsageError(fmt::format("no variable '{}'", name))
            .try_this(near.empty() ? "fer summary MODEL lists them" : fmt::format("did you mean '{}'?", near));
    }
    return found->second;
}

std::vector<char> Variables::read_bytes(const Entry& entry) const {
    std::vector<char> bytes(static_cast<std::size_t>(entry.info.bytes()));
    runtime().download(bytes.data(), entry.address, entry.info.bytes());
    return bytes;
}

void Variables::write_bytes(const Entry& entry, const void* bytes) const {
    ++changes_;
    runtime().upload(entry.address, bytes, entry.info.bytes());
}

void Variables::clear(std::string_view name) const {
    const Entry& entry = at(name);
    ++changes_;
    runtime().clear(entry.address, entry.info.bytes());
}

void initialize(const Variables& variables, const Step& step, std::uint64_t seed) {
    for (const Variable& variable : step.variables) {
        const std::string& name = step.graph.value(variable.id).name;
        if (variables.at(name).info.dtype == DType::kF64) {
            fill<double>(variables, name, variable, seed);
        } else {
            fill<float>(variables, name, variable, seed);
        }
    }
    for (const char* name : {kClassWeights, "unweighted"}) {
        if (variables.has(name)) {
            fill_ones(variables, name);
        }
    }
    if (variables.has(kLossScale)) {
        const LossScaleState start;
        variables.write_bytes(variables.at(kLossScale), &start);
    }
    for (const char* name : {kClock, kEvaluationClock}) {
        if (variables.has(name)) {
            variables.write(name, static_cast<std::int64_t>(seed), kClockSeed);
        }
    }
}

}  // namespace fer
