// Whole steps of a network, measured as they run in training and evaluation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/measure/machine.hpp"
#include "engine/train/session.hpp"

namespace fer {

/// What is measured. Capture and precision that a device lacks are the caller's mistake.
struct StepCase {
    ModelBuilder build;
    StepOptions step;  // batch, size of the input, precision, width, fusions; the data decide the rest
    Session::Use use = Session::Use::kTrain;
    PlanOptions plan = {};
    bool capture = true;
    bool streamed = false;  // every step's images come from the host, and of inference the probabilities go there
};

/// How long. All in seconds of the wall.
struct Effort {
    double warmup = 0.2;
    double duration = 3;  // ends with the repetition that passes it, after one at least
    int repetitions = 9;  // of equally many steps
    int iterations = 0;   // steps in all, even if they take longer than `duration`
    int exact_steps = 0;  // one repetition of so many, whatever they take
};

struct Repetition {
    std::int64_t steps = 0;
    double wall_seconds = 0;  // of all of them
    double cpu_seconds = 0;
    double joules = 0;                 // 0: not known
    double other_cores = 0;            // that other processes kept busy meanwhile
    std::vector<double> step_seconds;  // of single steps; where the device runs behind the host, means of a few steps
};

/// One step apart, as trtexec takes it to pieces; 0 for a part that is none of its own.
struct Pieces {
    double enqueue = 0;  // until the call that starts the step returns; 0 where it returns when the step is done
    double upload = 0, compute = 0, download = 0;
};

class StepBench {
public:
    /// `data`: null for random images, never zeros: on cuda as many as FER2013 has for training, elsewhere four
    /// batches. The rest must outlive this. Throws MemoryError before anything is allocated.
    StepBench(const StepCase& which, const Device& device, Runtime& runtime, const Dataset* data = nullptr,
              std::shared_ptr<Tuner> tuner = nullptr);

    /// Of graph and plan, without the device.
    double plan_seconds() const { return plan_seconds_; }
    /// From nothing to the end of the first step: kernels set themselves up.
    double cold_seconds() const { return cold_seconds_; }
    const Plan& plan() const { return executor_->plan(); }
    Executor& executor() { return *executor_; }
    bool recorded() const { return executor_->recorded(); }
    /// Of the first image again, for those who run the executor themselves.
    void rewind();

    /// Enqueues the next step.
    void step();
    /// Warms up until the last five steps take within 2 % what the five before took, and measures.
    std::vector<Repetition> measure(const Effort& effort);
    /// The median of `count` steps.
    Pieces take_to_pieces(int count);
    /// The most bytes held so far: the process's, or of a device with memory of its own the device's.
    std::int64_t peak_bytes() const;
    /// Null on a CPU.
    const GpuState* gpu() const { return gpu_.get(); }

private:
    void stream_in();
    void warm_up(const Effort& effort);
    double joules_so_far() const;
    Repetition repeat(std::int64_t steps, double step_seconds);

    StepCase case_;
    Runtime& runtime_;
    std::unique_ptr<GpuState> gpu_;
    std::int64_t free_before_ = 0;
    double plan_seconds_ = 0, cold_seconds_ = 0;
    Dataset data_;
    std::vector<std::uint8_t> host_images_;  // streamed: where the steps' images come from
    std::unique_ptr<Session> session_;
    Executor* executor_ = nullptr;
    std::int64_t done_ = 0, until_rewind_ = 0;
};

}  // namespace fer
