// Which of the many legal executions the emulator runs. A correct kernel gives the same result under all of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fer::emulated {

/// In what order the threads of a block (and the blocks of a grid) go on when several could.
enum class Order : std::uint8_t {
    kForward,  // lowest rank first
    kReverse,  // highest rank first
    kRandom,   // any thread
    kGreedy,   // warps by a random priority: one runs as far ahead of the others as the barriers let it
};

/// When the bytes of a cp.async arrive.
enum class Landing : std::uint8_t {
    kAtWait,   // at the last moment: finds reads that come too early
    kAtIssue,  // at the first moment: finds stages overwritten while still being read
};

/// When work put into a stream is done.
enum class Streams : std::uint8_t {
    kInOrder,   // at once, in the order of the calls
    kDeferred,  // later, in any order that streams and events permit: finds waits that are missing
};

struct Schedule {
    Order order = Order::kForward;
    Landing landing = Landing::kAtWait;
    Streams streams = Streams::kInOrder;
    std::uint64_t seed = 1;

    bool operator==(const Schedule&) const = default;
    /// "order=greedy,async=issue,streams=deferred,seed=7"
    std::string str() const;
    /// The reverse of str(); what is not named keeps its default. Throws UsageError.
    static Schedule parse(std::string_view text);
};

/// The schedule in force. At first: the environment variable FER_SCHEDULE, written as in str(), or the default.
Schedule& schedule();

/// Every order with both landings, streams in order: what a kernel's tests run under.
std::vector<Schedule> all_schedules(std::uint64_t seed = 1);

/// Sets the schedule for a scope.
class ScopedSchedule {
public:
    explicit ScopedSchedule(const Schedule& s) : before_(schedule()) { schedule() = s; }
    ~ScopedSchedule() { schedule() = before_; }
    ScopedSchedule(const ScopedSchedule&) = delete;
    ScopedSchedule& operator=(const ScopedSchedule&) = delete;

private:
    Schedule before_;
};

}  // namespace fer::emulated
