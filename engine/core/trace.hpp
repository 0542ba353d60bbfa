// Ranges for Nsight and whatever else reads NVTX, in the domain "fer". They cost next to nothing where no tool listens,
// and nothing in a build without NVIDIA's headers.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace fer::trace {

/// A text that the tool knows by a handle; filters by name (nsys --nvtx-capture, ncu --nvtx-include) see no other
/// ranges. Texts that are equal have one handle.
class Name {
public:
    explicit Name(const std::string& text);
    void* handle() const { return handle_; }

private:
    void* handle_ = nullptr;
};

/// What a node does, for the tool to show beside its range (an NVTX payload "fer.node").
struct Work {
    std::int64_t flops = 0;                  // two per multiply-add
    std::int64_t bytes = 0;                  // of memory traffic if nothing stays in a cache
    std::array<std::int64_t, 4> shape = {};  // of the first result, outermost extent first; 0 behind the last
};

/// From construction to destruction, on this thread. Ranges of one thread lie in each other.
class Range {
public:
    /// `work`: null for ranges that are no node.
    explicit Range(const Name& name, const Work* work = nullptr);
    ~Range();
    Range(const Range&) = delete;
    Range& operator=(const Range&) = delete;
};

}  // namespace fer::trace
