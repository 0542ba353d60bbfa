// How an op can be run: ordered lists of implementations, each of which runs a node or says why not.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/graph/op.hpp"

namespace fer {

/// Why an implementation cannot run a node; empty means it can.
using Refusal = std::optional<std::string>;

/// Addresses of one node's tensors, in the order of its descriptor, its scratch memory, and the queue to put work into.
struct Operands {
    std::span<void* const> in;
    std::span<void* const> out;
    std::span<void* const> state;
    void* workspace = nullptr;
    void* queue = nullptr;         // Runtime::queue(), of the step's branch
    std::uint64_t generation = 0;  // of the inputs in OpDesc::fixed: another number if anything may have changed them

    template <class T>
    const T* input(std::size_t i) const {
        return static_cast<const T*>(in[i]);
    }
    template <class T>
    T* output(std::size_t i) const {
        return static_cast<T*>(out[i]);
    }
    template <class T>
    T* updated(std::size_t i) const {
        return static_cast<T*>(state[i]);
    }
};

/// Runs one node on given addresses. On a stream device it enqueues; the device decides where.
using Kernel = std::function<void(const Operands&)>;

struct Implementation {
    std::string_view name;                     // "onednn", "reference", "handwritten", "cudnn"
    Refusal (*refuses)(const OpDesc&);         // null: accepts everything
    std::int64_t (*workspace)(const OpDesc&);  // bytes of scratch; null: none
    Kernel (*make)(const OpDesc&);
    std::string (*note)(const OpDesc&) = nullptr;  // which of its ways it takes, "engine 45"; null: it has one
    int overwrites = 0;  // the input whose memory the first output takes where that dies and the op may overwrite, or
                         // where it is another than the first
};

/// What a plan needs to know of a device.
class Device {
public:
    virtual ~Device() = default;
    virtual std::string_view name() const = 0;
    /// The fusion rules (engine/graph/fuse.hpp) whose results this device has fast implementations of, as --fuse takes
    /// them.
    virtual std::string_view fusions() const = 0;
    /// Whether it works on the branches of a plan at the same time.
    virtual bool overlaps() const { return false; }
    /// In order of preference; one of them accepts everything. Empty: the op does not exist on this device.
    virtual std::span<const Implementation> implementations(OpKind kind) const = 0;
};

/// What --fuse says, "on" being the rules that suit the device.
inline std::string fusions_for(const Device& device, const std::string& choice) {
    return choice == "on" ? std::string(device.fusions()) : choice;
}

}  // namespace fer
