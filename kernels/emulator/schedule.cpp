#include "kernels/emulator/schedule.hpp"

#include <array>
#include <charconv>
#include <cstdlib>

#include "engine/core/error.hpp"

namespace fer::emulated {

namespace {

constexpr std::array<std::string_view, 4> kOrders{"forward", "reverse", "random", "greedy"};
constexpr std::array<std::string_view, 2> kLandings{"wait", "issue"};
constexpr std::array<std::string_view, 2> kStreams{"inorder", "deferred"};

template <class Enum, std::size_t N>
Enum pick(std::string_view value, const std::array<std::string_view, N>& names, std::string_view key) {
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == value) {
            return static_cast<Enum>(i);
        }
    }
    throw UsageError(fmt::format("schedule: '{}' is not a value of '{}'", value, key))
        .try_this(fmt::format("one of {}", fmt::join(names, ", ")));
}

}  // namespace

std::string Schedule::str() const {
    return fmt::format("order={},async={},streams={},seed={}", kOrders.at(static_cast<std::size_t>(order)),
                       kLandings.at(static_cast<std::size_t>(landing)), kStreams.at(static_cast<std::size_t>(streams)),
                       seed);
}

Schedule Schedule::parse(std::string_view text) {
    Schedule s;
    while (!text.empty()) {
        const std::string_view item = text.substr(0, text.find(','));
        text.remove_prefix(std::min(text.size(), item.size() + 1));
        const std::size_t equals = std::min(item.find('='), item.size());
        const std::string_view key = item.substr(0, equals);
        const std::string_view value = item.substr(std::min(equals + 1, item.size()));
        if (key == "order") {
            s.order = pick<Order>(value, kOrders, key);
        } else if (key == "async") {
            s.landing = pick<Landing>(value, kLandings, key);
        } else if (key == "streams") {
            s.streams = pick<Streams>(value, kStreams, key);
        } else if (key == "seed") {
            const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), s.seed);
            FER_CHECK(error == std::errc{} && end == value.data() + value.size(), "schedule: '{}' is no seed", value);
        } else {
            throw UsageError(fmt::format("schedule: unknown key '{}'", key)).try_this("order, async, streams or seed");
        }
    }
    return s;
}

Schedule& schedule() {
    static Schedule current = [] {
        const char* text = std::getenv("FER_SCHEDULE");
        return text == nullptr ? Schedule{} : Schedule::parse(text);
    }();
    return current;
}

std::vector<Schedule> all_schedules(std::uint64_t seed) {
    std::vector<Schedule> all;
    for (const Landing landing : {Landing::kAtWait, Landing::kAtIssue}) {
        for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom, Order::kGreedy}) {
            all.push_back({.order = order, .landing = landing, .seed = seed});
        }
    }
    return all;
}

}  // namespace fer::emulated
