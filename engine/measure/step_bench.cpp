#include "engine/measure/step_bench.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "engine/core/random.hpp"
#include "engine/measure/statistics.hpp"

namespace fer {
namespace {

constexpr std::int64_t kTrainingImages = 28'709;  // of FER2013
constexpr std::int64_t kBatches = 4;              // of images to go round
constexpr std::size_t kSettled = 5;               // steps that must take what those before took
constexpr double kSettledWithin = 0.02;
constexpr double kGroupSeconds = 0.02;  // steps whose mean is taken where single ones are not seen

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Dataset random_images(std::int64_t count, int height, int width, int classes) {
    Dataset data;
    data.height = height;
    data.width = width;
    const RandomStream random(1, 0, stream_of("images"));
    data.pixels.resize(static_cast<std::size_t>(count * height * width));
    for (std::size_t i = 0; i < data.pixels.size(); ++i) {
        data.pixels[i] = static_cast<std::uint8_t>(random.word(i));
    }
    for (std::int64_t i = 0; i < count; ++i) {
        data.labels.push_back(static_cast<std::int32_t>(random.word(static_cast<std::uint64_t>(i)) % classes));
    }
    return data;
}

std::int64_t images_for(const StepCase& which, const Device& device) {
    const std::int64_t batch = which.step.batch;
    return device.name() != "cuda" || which.streamed ? kBatches * batch : std::max(kBatches * batch, kTrainingImages);
}

/// Of the step's plan and what outlives the step.
std::int64_t planned_bytes(const StepCase& which, const Device& device, std::int64_t images) {
    StepOptions options = which.step;
    options.input.images = images;
    options.fuse = fusions_for(device, options.fuse);
    const Step step =
        which.use == Session::Use::kTrain ? training_step(which.build, options) : evaluation_step(which.build, options);
    const Plan plan = make_plan(step.graph, device, which.plan);
    return plan.arena_bytes + plan.persistent_bytes;
}

}  // namespace

StepBench::StepBench(const StepCase& which, const Device& device, Runtime& runtime, const Dataset* data,
                     std::shared_ptr<Tuner> tuner)
    : case_(which),
      runtime_(runtime),
      gpu_(device.name() == "cpu" ? nullptr : std::make_unique<GpuState>()),
      free_before_(runtime.free_bytes().value_or(0)) {
    const StepOptions& options = case_.step;
    const std::int64_t images = data != nullptr ? data->size() : images_for(case_, device);
    FER_CHECK(images >= options.batch, "the data set has {} images, a batch is {}", images, options.batch);
    double start = now();
    const std::int64_t need = planned_bytes(case_, device, images);
    plan_seconds_ = now() - start;
    // A device says itself when it is too small; the host would only begin to swap, or to kill.
    if (const std::int64_t available = available_bytes(); runtime.host_memory() && need > available) {
        throw MemoryError(fmt::format("out of memory: batch {} needs {:.1f} GB, {:.1f} GB are available", options.batch,
                                      static_cast<double>(need) * 1e-9, static_cast<double>(available) * 1e-9))
            .try_this("a smaller --batch");
    }
    data_ = data != nullptr ? *data : random_images(images, 48, 48, options.classes);
    if (case_.streamed) {
        host_images_ = data_.pixels;
    }
    start = now();
    session_ = std::make_unique<Session>(case_.build, options, data_, device, runtime, case_.use, case_.plan,
                                         case_.capture, std::move(tuner));
    initialize(session_->variables(), session_->step(), 1);
    session_->set_learning_rate(1e-4f);
    executor_ = &session_->steps(case_.use, options.batch);
    until_rewind_ = case_.streamed ? 1 : data_.size() / options.batch;
    step();
    runtime_.wait();
    cold_seconds_ = now() - start;
}

void StepBench::rewind() {
    session_->rewind(case_.use);
    done_ = 0;
}

// The images of the step that comes, from the first place of the data set on.
void StepBench::stream_in() {
    const std::int64_t image = std::int64_t{data_.height} * data_.width;
    const std::int64_t bytes = case_.step.batch * image;
    const std::int64_t first = done_ % (std::ssize(host_images_) / bytes) * bytes;
    std::copy_n(host_images_.begin() + first, bytes, data_.pixels.begin());
    session_->upload_images(case_.step.batch);
}

void StepBench::step() {
    if (done_ > 0 && done_ % until_rewind_ == 0) {
        session_->rewind(case_.use);
    }
    if (case_.streamed) {
        stream_in();
    }
    ++done_;
    executor_->run();
    if (case_.streamed && case_.use == Session::Use::kEvaluateOnly) {
        static_cast<void>(executor_->read<float>(session_->step().probabilities));
    }
}

void StepBench::warm_up(const Effort& effort) {
    const double start = now();
    std::vector<double> times;
    for (;;) {
        const double before = now();
        step();
        runtime_.wait();
        times.push_back(now() - before);
        const double elapsed = now() - start;
        if (elapsed < effort.warmup) {
            continue;
        }
        const std::span<const double> all(times);
        if (elapsed > std::max(effort.duration, effort.warmup) || times.size() < 2 * kSettled) {
            if (elapsed > std::max(effort.duration, effort.warmup)) {
                return;
            }
            continue;
        }
        const double last = median(all.last(kSettled));
        const double before_that = median(all.last(2 * kSettled).first(kSettled));
        if (std::abs(last / before_that - 1) < kSettledWithin) {
            return;
        }
    }
}

double StepBench::joules_so_far() const { return gpu_ == nullptr ? 0 : gpu_->energy_joules().value_or(0); }

Repetition StepBench::repeat(std::int64_t steps, double step_seconds) {
    Repetition r;
    r.steps = steps;
    runtime_.wait();
    const double joules = joules_so_far();
    const BusySeconds busy = busy_seconds();
    const double start = now();
    if (runtime_.host_memory()) {
        for (std::int64_t i = 0; i < steps; ++i) {
            const double before = now();
            step();
            r.step_seconds.push_back(now() - before);
        }
    } else {
        const auto group =
            std::clamp<std::int64_t>(std::llround(kGroupSeconds / std::max(1e-9, step_seconds)), 1, steps);
        for (std::int64_t i = 0; i < steps; i += group) {
            const std::int64_t count = std::min(group, steps - i);
            const double seconds = runtime_.seconds([&] {
                for (std::int64_t j = 0; j < count; ++j) {
                    step();
                }
            });
            r.step_seconds.push_back(seconds / static_cast<double>(count));
        }
    }
    runtime_.wait();
    r.wall_seconds = now() - start;
    const BusySeconds after = busy_seconds();
    r.cpu_seconds = after.process - busy.process;
    r.other_cores = std::max(0.0, after.machine - busy.machine - r.cpu_seconds) / r.wall_seconds;
    r.joules = joules_so_far() - joules;
    return r;
}

std::vector<Repetition> StepBench::measure(const Effort& effort) {
    if (effort.exact_steps > 0) {
        step();
        return {repeat(effort.exact_steps, 0)};
    }
    warm_up(effort);
    double one = now();
    step();
    runtime_.wait();
    one = now() - one;
    const double fit = effort.duration / (effort.repetitions * std::max(1e-9, one));
    const auto wanted = static_cast<double>(effort.iterations) / effort.repetitions;
    const auto steps = static_cast<std::int64_t>(std::max({1.0, std::floor(fit), std::ceil(wanted)}));
    std::vector<Repetition> all;
    const double start = now();
    while (std::ssize(all) < effort.repetitions &&
           (all.empty() || now() - start < effort.duration || std::ssize(all) * steps < effort.iterations)) {
        all.push_back(repeat(steps, one));
    }
    return all;
}

Pieces StepBench::take_to_pieces(int count) {
    std::vector<double> enqueue, upload, compute, download;
    const bool behind = !runtime_.host_memory();
    for (int i = 0; i < count; ++i) {
        rewind();
        if (case_.streamed) {
            upload.push_back(runtime_.seconds([&] { stream_in(); }));
        }
        runtime_.wait();
        compute.push_back(runtime_.seconds([&] {
            const double before = now();
            executor_->run();
            enqueue.push_back(now() - before);
        }));
        if (case_.streamed && case_.use == Session::Use::kEvaluateOnly) {
            download.push_back(
                runtime_.seconds([&] { static_cast<void>(executor_->read<float>(session_->step().probabilities)); }));
        }
    }
    const auto middle = [](const std::vector<double>& times) { return times.empty() ? 0 : median(times); };
    return {behind ? middle(enqueue) : 0, middle(upload), middle(compute), middle(download)};
}

std::int64_t StepBench::peak_bytes() const {
    return runtime_.free_bytes() ? free_before_ - *runtime_.free_bytes() : peak_resident_bytes();
}

}  // namespace fer
