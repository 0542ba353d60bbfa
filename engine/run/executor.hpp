// Walks a plan. Knows no op.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/trace.hpp"
#include "engine/plan/phases.hpp"
#include "engine/plan/plan.hpp"
#include "engine/run/variables.hpp"

namespace fer {

/// One arena, used by one executor at a time: plans of different batches of one model share it.
class Arena {
public:
    explicit Arena(Runtime& runtime = host_runtime()) : buffer_(runtime) {}
    /// Grows to hold `bytes`; executors built on it before must be built again.
    void reserve(std::int64_t bytes) {
        if (bytes > buffer_.bytes()) {
            Runtime& runtime = buffer_.runtime();
            buffer_ = Buffer(runtime);  // the old memory goes before the new comes
            buffer_ = Buffer(runtime, bytes);
        }
    }
    Runtime& runtime() const { return buffer_.runtime(); }
    char* data() const { return buffer_.data(); }
    std::int64_t bytes() const { return buffer_.bytes(); }

private:
    Buffer buffer_;
};

/// Bytes of known pattern behind every buffer of the arena: PlanOptions::gap of every plan in the checked build.
#ifdef FER_CHECKED
inline constexpr std::int64_t kCanaryBytes = 64;
#else
inline constexpr std::int64_t kCanaryBytes = 0;
#endif

class Executor {
public:
    /// `inputs`: an address for every kInput value of the plan, by name. `variables` and `arena` must outlive this and
    /// lie in the memory of one runtime. `record`: the second and later runs repeat a recording of all steps, where
    /// the device can record.
    Executor(Plan plan, const Variables& variables, Arena& arena, const std::map<std::string, const void*>& inputs,
             bool record = true);

    /// Enqueues every step once.
    void run();
    /// The same one by one in order, without a recording or branches. If the plan has gaps, verifies the canaries in
    /// them and names the node that wrote past the end of a result or of its scratch memory.
    void run_step_by_step();
    bool recorded() const { return recording_ != nullptr; }
    /// The device's own nodes (kernels, copies) that each step became in the recording, by their number in the order of
    /// their creation: [first, last). Empty unless recorded().
    const std::vector<std::pair<std::int64_t, std::int64_t>>& recorded_nodes() const { return recorded_nodes_; }
    /// Enqueues the steps before `step`; after that run_one() may be called on it again and again, for those who look
    /// at one node. What a node updates in place it updates each time.
    void run_before(std::size_t step);
    void run_one(std::size_t step) { enqueue(step); }
    /// Runs the steps one by one up to the first whose results are not all finite, and returns its name; empty if all
    /// of them are. Slow: it looks at every result.
    std::string find_not_finite();

    const Plan& plan() const { return plan_; }
    void rebind(const std::string& input, const void* address);

    /// A value after run(): kept values, persistent values, or whatever nothing has overwritten since.
    template <class T>
    std::vector<T> read(ValueId id) const {
        const Value& value = plan_.graph.value(id);
        FER_CHECK(value.info.dtype == DTypeOf<T>::value, "'{}' is {}, not {}", value.name, name_of(value.info.dtype),
                  name_of(DTypeOf<T>::value));
        std::vector<T> values(static_cast<std::size_t>(value.info.shape.count()));
        runtime_.download(values.data(), addresses_[static_cast<std::size_t>(id)], value.info.bytes());
        return values;
    }

    /// The same as bytes, of any type.
    std::vector<char> read_bytes(ValueId id) const {
        std::vector<char> bytes(static_cast<std::size_t>(plan_.graph.value(id).info.bytes()));
        runtime_.download(bytes.data(), addresses_[static_cast<std::size_t>(id)], std::ssize(bytes));
        return bytes;
    }

    /// Seconds spent in each step so far when timing is on; then nothing is recorded.
    void time_steps(bool on) { seconds_.assign(on ? plan_.steps.size() : 0, 0.0); }
    const std::vector<double>& step_seconds() const { return seconds_; }

private:
    /// One pass over the steps: knows whether anything else has written the variables since the last one.
    class Pass {
    public:
        explicit Pass(Executor& executor) : executor_(executor) {
            executor_.generation_ += executor_.variables_.writes() != executor_.seen_ ? 1 : 0;
        }
        ~Pass() {
            if (executor_.writes_) {
                executor_.variables_.note_run();
            }
            executor_.seen_ = executor_.variables_.writes();
        }
        Pass(const Pass&) = delete;
        Pass& operator=(const Pass&) = delete;

    private:
        Executor& executor_;
    };

    struct Bound {
        Kernel kernel;
        std::vector<void*> in, out, state;
        std::vector<char*> ends;  // of what it writes in the arena
        void* workspace = nullptr;
    };

    void bind();
    void enqueue(std::size_t step, int branch = 0) const;
    /// All steps, those of the second branch beside the first.
    void enqueue_branches();
    /// Bytes of the arena that nobody may read any more after the step; only in plans with gaps.
    void poison_the_dead(std::size_t step) const;
    void write_canaries(const Bound& step) const;
    void check_canaries(const Bound& step, const std::string& node) const;

    Plan plan_;
    const Variables& variables_;
    Runtime& runtime_;
    bool record_;
    bool writes_ = false;                         // variables
    std::uint64_t generation_ = 0;                // Operands::generation
    std::uint64_t seen_ = 0;                      // Variables::writes() after the last pass
    std::vector<void*> addresses_;                // per value
    std::vector<Bound> bound_;                    // per step
    std::vector<trace::Name> names_;              // per step
    std::vector<trace::Work> works_;              // per step
    std::vector<Phase> phases_;                   // per step
    std::map<int, std::unique_ptr<Mark>> marks_;  // by the step they stand behind
    std::unique_ptr<Recording> recording_;
    std::vector<std::pair<std::int64_t, std::int64_t>> recorded_nodes_;
    std::vector<double> seconds_;
};

}  // namespace fer
