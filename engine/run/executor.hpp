// Walks a plan. Knows no op.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/plan/plan.hpp"
#include "engine/run/variables.hpp"

namespace fer {

/// One arena, used by one executor at a time: plans of different batches of one model share it.
class Arena {
public:
    /// Grows to hold `bytes`; executors built on it before must be built again.
    void reserve(std::int64_t bytes) {
        if (bytes > buffer_.bytes()) {
            buffer_ = Buffer(bytes);
        }
    }
    char* data() const { return buffer_.data(); }
    std::int64_t bytes() const { return buffer_.bytes(); }

private:
    Buffer buffer_;
};

/// Bytes of known pattern behind every arena buffer in the checked build.
#ifdef FER_CHECKED
inline constexpr std::int64_t kCanaryBytes = 64;
#else
inline constexpr std::int64_t kCanaryBytes = 0;
#endif

class Executor {
public:
    /// `inputs`: an address for every kInput value of the plan, by name. `variables` and `arena` must outlive this.
    Executor(Plan plan, const Variables& variables, Arena& arena, const std::map<std::string, const void*>& inputs);

    /// Runs every step once. In the checked build, verifies the canaries and names the node that broke one.
    void run();

    const Plan& plan() const { return plan_; }
    void rebind(const std::string& input, const void* address);

    /// A value after run(): kept values, persistent values, or whatever nothing has overwritten since.
    template <class T>
    std::span<const T> read(ValueId id) const {
        const Value& value = plan_.graph.value(id);
        FER_CHECK(value.info.dtype == DTypeOf<T>::value, "'{}' is {}, not {}", value.name, name_of(value.info.dtype),
                  name_of(DTypeOf<T>::value));
        return {static_cast<const T*>(addresses_[static_cast<std::size_t>(id)]),
                static_cast<std::size_t>(value.info.shape.count())};
    }

    /// Seconds spent in each step so far when timing is on.
    void time_steps(bool on) { seconds_.assign(on ? plan_.steps.size() : 0, 0.0); }
    const std::vector<double>& step_seconds() const { return seconds_; }

private:
    struct Bound {
        Kernel kernel;
        std::vector<void*> in, out, state;
        std::vector<char*> ends;  // of the outputs that lie in the arena
        void* workspace = nullptr;
    };

    void bind();
    static void write_canaries(const Bound& step);
    static void check_canaries(const Bound& step, const std::string& node);

    Plan plan_;
    std::vector<void*> addresses_;  // per value
    std::vector<Bound> bound_;      // per step
    std::vector<double> seconds_;
};

}  // namespace fer
