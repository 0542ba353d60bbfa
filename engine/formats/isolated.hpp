// A library that parses hostile files runs in a process of its own: if it crashes, hangs or eats memory, only that
// process does.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace fer {

/// Memory that both processes see. The child sizes it once and fills it.
class SharedMemory {
public:
    explicit SharedMemory(int fd) : fd_(fd) {}
    /// Throws MemoryError. Zeroed.
    char* resize(std::size_t bytes);

private:
    int fd_;
};

struct Isolation {
    double cpu_seconds = 1;        // the child is killed after them
    std::size_t memory_bytes = 0;  // it may allocate besides what this process has now; 0: no limit
};

struct IsolatedBytes {
    std::shared_ptr<const char> data;  // unmapped by the last owner
    std::size_t size = 0;
};

/// Runs `work` in a forked process and returns what it left in the shared memory. A fer::Error thrown there is thrown
/// here; a crash, a hang and too much memory are a DataError: `what` is damaged. Call it before threads are made.
IsolatedBytes run_isolated(const std::string& what, const Isolation& limits,
                           const std::function<void(SharedMemory&)>& work);

}  // namespace fer
