// What outlives a step: parameters, gradients and state, shared by all plans of one model.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/step.hpp"
#include "engine/run/buffer.hpp"

namespace fer {

/// Named tensors. All parameters lie in one contiguous block in graph order, their gradients in a second block at the
/// same offsets, and everything else in a third: an optimizer may treat a block as one long vector. Tensors begin at
/// multiples of 16 elements, so neighbours of one shape but of other types lie at the same distances in elements.
class Variables {
public:
    struct Entry {
        TensorInfo info;
        Role role = Role::kState;
        char* address = nullptr;
        bool derived = false;  // Value::derived

        /// Belongs into a checkpoint.
        bool saved() const { return role != Role::kGradient && !derived; }
    };

    /// Lays out the persistent values of all graphs; values of one name are one tensor. Zeroed.
    /// UsageError if two graphs disagree about a shape or type.
    explicit Variables(std::span<const Graph* const> graphs, Runtime& runtime = host_runtime());

    /// Bytes that the variables of these graphs take.
    static std::int64_t bytes_of(std::span<const Graph* const> graphs);

    bool has(std::string_view name) const { return entries_.find(name) != entries_.end(); }
    /// UsageError names the nearest when there is none of that name.
    const Entry& at(std::string_view name) const;
    const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
    Runtime& runtime() const { return parameters_.runtime(); }
    /// Grows whenever the host may have written something: what is derived from the variables must then be made anew.
    std::uint64_t changes() const { return changes_; }
    /// Grows with every change, those that executors make included.
    std::uint64_t writes() const { return changes_ + runs_; }
    /// An executor has run that writes some of them.
    void note_run() const { ++runs_; }
    std::int64_t bytes() const { return parameters_.bytes() + gradients_.bytes() + state_.bytes(); }

    /// The tensor itself, where the host may address it.
    template <class T>
    std::span<T> get(std::string_view name) const {
        FER_ASSERT(runtime().host_memory(), "'{}' lies in the memory of a device", name);
        const Entry& entry = typed<T>(name);
        ++changes_;
        return {reinterpret_cast<T*>(entry.address), static_cast<std::size_t>(entry.info.shape.count())};
    }
    /// A copy, after all work so far.
    template <class T>
    std::vector<T> read(std::string_view name) const {
        const Entry& entry = typed<T>(name);
        std::vector<T> values(static_cast<std::size_t>(entry.info.shape.count()));
        runtime().download(values.data(), entry.address, entry.info.bytes());
        return values;
    }
    std::vector<char> read_bytes(const Entry& entry) const;
    void write_bytes(const Entry& entry, const void* bytes) const;
    /// The first `values.size()` elements from `first` on, in the order of the queue.
    template <class T>
    void write(std::string_view name, std::span<const T> values, std::int64_t first = 0) const {
        const Entry& entry = typed<T>(name);
        const auto count = static_cast<std::int64_t>(values.size());
        FER_CHECK(first + count <= entry.info.shape.count(), "'{}' has {} elements, {} were written", name,
                  entry.info.shape.count(), first + count);
        ++changes_;
        runtime().upload(entry.address + first * static_cast<std::int64_t>(sizeof(T)), values.data(),
                         count * static_cast<std::int64_t>(sizeof(T)));
    }
    template <class T>
    void write(std::string_view name, T value, std::int64_t first = 0) const {
        write(name, std::span<const T>(&value, 1), first);
    }
    void clear(std::string_view name) const;

private:
    struct Layout;

    template <class T>
    const Entry& typed(std::string_view name) const {
        const Entry& entry = at(name);
        FER_CHECK(entry.info.dtype == DTypeOf<T>::value, "'{}' is {}, not {}", name, name_of(entry.info.dtype),
                  name_of(DTypeOf<T>::value));
        return entry;
    }

    std::map<std::string, Entry, std::less<>> entries_;
    Buffer parameters_, gradients_, state_;
    mutable std::uint64_t changes_ = 1;  // the tensors, not the table of them, are what changes
    mutable std::uint64_t runs_ = 0;
};

/// Starting values: kernels by their initializer from (seed, name), moving variances and weights one, all else zero.
void initialize(const Variables& variables, const Step& step, std::uint64_t seed);

}  // namespace fer
