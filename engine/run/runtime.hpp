// What running a plan needs of a device besides implementations: memory, and a queue of work in order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fer {

/// Work that was enqueued once, to be enqueued again as it was.
class Recording {
public:
    virtual ~Recording() = default;
    virtual void start() = 0;
};

/// A few bytes of the device that the host looks at now and then without stopping the queue.
class Watch {
public:
    virtual ~Watch() = default;
    /// Enqueues a copy to the host, unless one is still under way.
    virtual void refresh() = 0;
    /// The newest copy that has arrived since the last call, or null.
    virtual const void* arrived() = 0;
};

/// A point in one queue that another waits for.
class Mark {
public:
    virtual ~Mark() = default;
    /// Behind what the queue of `branch` holds by now.
    virtual void set(int branch) = 0;
    /// What the queue of `branch` is given from now on starts after the point that was set last.
    virtual void wait(int branch) = 0;
};

/// All work goes into one queue and is done in order; a recording may spread it over several, joined at its end.
/// Addresses are the device's: the host reads and writes what lies there by upload() and download() alone, unless
/// host_memory().
class Runtime {
public:
    virtual ~Runtime() = default;

    /// Zeroed bytes, aligned to 256. MemoryError if there are not enough.
    virtual void* allocate(std::int64_t bytes) = 0;
    virtual void release(void* address) noexcept = 0;
    /// Bytes that could still be allocated; the host does not say.
    virtual std::optional<std::int64_t> free_bytes() const { return std::nullopt; }
    /// The host may address the device's memory, and work is done when the call that enqueues it returns.
    virtual bool host_memory() const = 0;

    /// `from` may change as soon as this returns.
    virtual void upload(void* to, const void* from, std::int64_t bytes) = 0;
    /// Waits for all work enqueued before.
    virtual void download(void* to, const void* from, std::int64_t bytes) = 0;
    virtual void clear(void* address, std::int64_t bytes) = 0;
    /// From one place of the device's memory to another.
    virtual void copy(void* to, const void* from, std::int64_t bytes) = 0;
    virtual void wait() = 0;

    /// What kernels of this device enqueue into; null where they run at once. Branches but the first are only used
    /// while recording.
    virtual void* queue(int branch = 0) const = 0;
    virtual std::unique_ptr<Mark> mark() { return nullptr; }
    /// Everything `enqueue` puts into the queue, without doing it. Null if this device does not record. `overlap`: what
    /// follows in a queue may be brought to the device while what it follows still runs.
    virtual std::unique_ptr<Recording> record(const std::function<void()>& enqueue, bool overlap) = 0;
    /// While record() runs: how many nodes of the device's own (kernels, copies) it holds by now. Else 0.
    virtual std::int64_t recorded_nodes() const { return 0; }
    /// Tells a profiler that waits for it to begin (nsys --capture-range=cudaProfilerApi), or to end.
    virtual void profile(bool /*begin*/) {}
    virtual std::unique_ptr<Watch> watch(const void* address, std::int64_t bytes) = 0;
    /// Seconds that what `enqueue` puts into the queue takes.
    virtual double seconds(const std::function<void()>& enqueue) = 0;

    /// "AMD EPYC 9B14, 2 threads"; what the run folder records.
    virtual std::string description() const = 0;
    /// That, and the versions of the libraries that implementations come from: what measured times depend on.
    virtual std::string tuning_key() const { return description(); }
};

/// The memory of this process.
Runtime& host_runtime();

}  // namespace fer
