// Runs one op on given numbers by a chosen implementation. Outputs start as poison, so an element nobody writes shows
// as NaN; sentinels behind outputs, state and workspace must survive.
#pragma once

#include <string_view>
#include <vector>

#include "engine/run/cpu/cpu_device.hpp"
#include "tests/support/interpreter.hpp"

namespace fer::test {

/// Numbers of any type, held in double (which holds every float and small integer exactly).
struct Tensor {
    Shape shape;
    std::vector<double> values;
    DType dtype = DType::kF32;

    Tensor as_type(DType type) const { return {shape, values, type}; }
};

struct OpResult {
    std::vector<Tensor> out;
    std::vector<Tensor> state;
};

inline std::size_t count_of(const Shape& shape) { return static_cast<std::size_t>(shape.count()); }
inline Tensor random_tensor(const Shape& shape, std::uint64_t seed, double low = -1, double high = 1) {
    Tensor t{shape, uniform(count_of(shape), seed, low, high)};
    return t;
}
inline Tensor integer_tensor(const Shape& shape, std::uint64_t seed) {
    return {shape, small_integers(count_of(shape), seed)};
}
inline Tensor constant_tensor(const Shape& shape, double value) {
    return {shape, std::vector<double>(count_of(shape), value)};
}
inline Tensor clock_tensor(std::int64_t seed, std::int64_t step, std::int64_t cursor = 0) {
    return {{kClockFields},
            {static_cast<double>(seed), static_cast<double>(step), static_cast<double>(cursor), 0},
            DType::kI64};
}

/// The descriptor with its outputs inferred.
inline OpDesc describe_op(OpKind kind, const Attributes& attrs, const std::vector<Tensor>& in,
                          const std::vector<Tensor>& state = {}) {
    OpDesc op{kind, std::string(name_of(kind)), attrs, {}, {}, {}};
    for (const Tensor& t : in) {
        op.in.push_back({t.shape, t.dtype});
    }
    for (const Tensor& t : state) {
        op.state.push_back({t.shape, t.dtype});
    }
    op.out = spec_of(kind).infer(op);
    return op;
}

/// By name; InternalError if the CPU has none such.
inline const Implementation& cpu_implementation(OpKind kind, std::string_view name) {
    for (const Implementation& implementation : cpu_device().implementations(kind)) {
        if (implementation.name == name) {
            return implementation;
        }
    }
    throw InternalError(fmt::format("no {}.{}", name_of(kind), name));
}

namespace detail {

template <class T>
void copy_in(const Tensor& t, void* to) {
    std::ranges::copy(as<T>(t.values), static_cast<T*>(to));
}
template <class T>
void copy_out(const void* from, Tensor& t) {
    const T* begin = static_cast<const T*>(from);
    t.values.assign(begin, begin + t.shape.count());
}

template <class Body>
void by_type(DType dtype, Body body) {
    switch (dtype) {
        case DType::kF32:
            return body(float{});
        case DType::kF64:
            return body(double{});
        case DType::kU8:
            return body(std::uint8_t{});
        case DType::kI32:
            return body(std::int32_t{});
        case DType::kI64:
            return body(std::int64_t{});
        default:
            throw InternalError("no such numbers");
    }
}

inline std::vector<Guarded> load(const std::vector<Tensor>& tensors) {
    std::vector<Guarded> memory;
    for (const Tensor& t : tensors) {
        FER_ASSERT(t.values.size() == count_of(t.shape), "{} numbers for {}", t.values.size(), t.shape.str());
        memory.emplace_back(t.shape.count() * static_cast<std::int64_t>(size_of(t.dtype)));
        by_type(t.dtype, [&]<class T>(T) { copy_in<T>(t, memory.back().data()); });
    }
    return memory;
}

inline std::vector<Tensor> unload(const std::vector<TensorInfo>& infos, const std::vector<Guarded>& memory) {
    std::vector<Tensor> tensors;
    for (std::size_t i = 0; i < infos.size(); ++i) {
        FER_ASSERT(memory[i].intact(), "wrote past the end of output or state {}", i);
        tensors.push_back({infos[i].shape, {}, infos[i].dtype});
        by_type(infos[i].dtype, [&]<class T>(T) { copy_out<T>(memory[i].data(), tensors.back()); });
    }
    return tensors;
}

inline std::vector<void*> pointers(const std::vector<Guarded>& memory) {
    std::vector<void*> list;
    for (const Guarded& g : memory) {
        list.push_back(g.data());
    }
    return list;
}

}  // namespace detail

inline OpResult run_op(const OpDesc& op, const Implementation& implementation, const std::vector<Tensor>& in,
                       const std::vector<Tensor>& state = {}) {
    const std::vector<Guarded> inputs = detail::load(in);
    const std::vector<Guarded> states = detail::load(state);
    std::vector<Guarded> outputs;
    for (const TensorInfo& info : op.out) {
        outputs.emplace_back(info.bytes());
    }
    const Guarded workspace(workspace_of(implementation, op));
    const auto in_list = detail::pointers(inputs);
    const auto out_list = detail::pointers(outputs);
    const auto state_list = detail::pointers(states);
    implementation.make(op)({in_list, out_list, state_list, workspace.data()});
    FER_ASSERT(workspace.intact(), "{} wrote past its workspace", op.name);
    return {detail::unload(op.out, outputs), detail::unload(op.state, states)};
}

/// By the reference.
inline OpResult run_reference(OpKind kind, const Attributes& attrs, const std::vector<Tensor>& in,
                              const std::vector<Tensor>& state = {}) {
    return run_op(describe_op(kind, attrs, in, state), cpu_implementation(kind, "reference"), in, state);
}

}  // namespace fer::test
