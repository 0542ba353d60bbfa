#include "kernels/emulator/stream.hpp"

#include <algorithm>
#include <chrono>

#include "engine/core/error.hpp"
#include "kernels/emulator/schedule.hpp"

namespace fer::emulated {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

bool is_runnable(const Stream& stream) {
    return !stream.queue.empty() && (stream.queue.front().after == nullptr || stream.queue.front().after->reached);
}

void run_front(Stream& stream) {
    const Operation operation = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (operation.action && device().sticky == cudaSuccess) {
        operation.action();
    }
}

bool run_any() {
    std::vector<Stream*> runnable;
    for (const auto& stream : device().streams) {
        if (is_runnable(*stream)) {
            runnable.push_back(stream.get());
        }
    }
    if (runnable.empty()) {
        return false;
    }
    run_front(*runnable[device().dice.below(runnable.size())]);
    return true;
}

Event* find_event(cudaEvent_t handle) {
    for (const auto& event : device().events) {
        if (event.get() == reinterpret_cast<Event*>(handle)) {
            return event.get();
        }
    }
    return nullptr;
}

// The default stream and the blocking ones wait for each other's earlier work.
void settle_default_stream(const Stream& stream) {
    const auto& all = device().streams;
    const bool is_default = &stream == all.front().get();
    if (!is_default && !stream.with_default) {
        return;
    }
    work_until([&] {
        return is_default
                   ? std::all_of(all.begin(), all.end(),
                                 [&](const auto& s) { return !s->with_default || s.get() == &stream || is_idle(*s); })
                   : is_idle(*all.front());
    });
}

}  // namespace

Device& device() {
    static Device* const instance = new Device;  // alive until the end: destructors of others may still call
    return *instance;
}

Counters& counters() { return device().counters; }

Stream* find_stream(cudaStream_t handle) {
    if (handle == nullptr || handle == cudaStreamLegacy) {
        return device().streams.front().get();
    }
    for (const auto& stream : device().streams) {
        if (stream.get() == reinterpret_cast<Stream*>(handle)) {
            return stream.get();
        }
    }
    return nullptr;
}

bool is_idle(const Stream& stream) { return stream.queue.empty(); }

void work_until(const std::function<bool()>& done) {
    while (!done()) {
        if (device().sticky != cudaSuccess) {
            for (const auto& stream : device().streams) {
                stream->queue.clear();
            }
            return;
        }
        FER_ASSERT(run_any(), "emulator: streams wait for each other");
    }
}

void work_a_little() {
    if (schedule().streams == Streams::kDeferred && device().dice.below(4) == 0) {
        run_any();
    }
}

cudaError_t enqueue(Stream& stream, Action action) {
    if (stream.capture != nullptr) {
        stream.capture->graph.nodes.push_back({std::move(action), stream.tail});
        stream.tail = {stream.capture->graph.nodes.size() - 1};
        return cudaSuccess;
    }
    settle_default_stream(stream);
    stream.queue.push_back({std::move(action), nullptr});
    if (schedule().streams == Streams::kInOrder) {
        work_until([&] { return is_idle(stream); });
    } else {
        work_a_little();
    }
    return cudaSuccess;
}

// Streams ------------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
    Entry entry("cudaStreamCreateWithPriority");
    if (entry.refused()) {
        return entry.error();
    }
    auto created = std::make_unique<Stream>();
    created->with_default = (flags & cudaStreamNonBlocking) == 0;
    created->priority = std::clamp(priority, -5, 0);
    *stream = reinterpret_cast<cudaStream_t>(created.get());
    device().streams.push_back(std::move(created));
    return entry.leave();
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    Entry entry("cudaStreamDestroy");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = handle == nullptr ? nullptr : find_stream(handle);
    if (stream == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    work_until([&] { return is_idle(*stream); });
    std::erase_if(device().streams, [&](const auto& s) { return s.get() == stream; });
    return entry.leave();
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    Entry entry("cudaStreamQuery");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    if (stream->capture != nullptr) {
        stream->capture->broken = cudaErrorStreamCaptureInvalidated;
        return entry.leave(cudaErrorStreamCaptureUnsupported);
    }
    work_a_little();
    const bool idle = is_idle(*stream);
    return idle ? entry.leave() : cudaErrorNotReady;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    Entry entry("cudaStreamSynchronize");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    if (stream->capture != nullptr) {
        stream->capture->broken = cudaErrorStreamCaptureInvalidated;
        return entry.leave(cudaErrorStreamCaptureUnsupported);
    }
    ++device().counters.synchronisations;
    settle_default_stream(*stream);
    work_until([&] { return is_idle(*stream); });
    return entry.leave();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
    Entry entry("cudaStreamWaitEvent");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    const Event* event = find_event(event_handle);
    if (stream == nullptr || event == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    if (event->capture != nullptr && !event->capture->ended) {
        if (stream->capture == nullptr) {  // the wait draws the stream into the capture
            stream->capture = event->capture;
            stream->tail = event->nodes;
        } else if (stream->capture == event->capture) {
            stream->tail.insert(stream->tail.end(), event->nodes.begin(), event->nodes.end());
        } else {
            return entry.leave(cudaErrorStreamCaptureIsolation);
        }
        return entry.leave();
    }
    if (stream->capture != nullptr) {
        stream->capture->broken = cudaErrorStreamCaptureInvalidated;
        return entry.leave(cudaErrorStreamCaptureIsolation);
    }
    if (event->mark != nullptr && !event->mark->reached) {
        stream->queue.push_back({{}, event->mark});
    }
    return entry.leave();
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
    Entry entry("cudaLaunchHostFunc");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    return entry.leave(stream == nullptr ? cudaErrorInvalidResourceHandle : enqueue(*stream, [=] { function(data); }));
}

// Events -------------------------------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
    Entry entry("cudaEventCreateWithFlags");
    if (entry.refused()) {
        return entry.error();
    }
    auto created = std::make_unique<Event>();
    created->timing = (flags & cudaEventDisableTiming) == 0;
    *event = reinterpret_cast<cudaEvent_t>(created.get());
    device().events.push_back(std::move(created));
    return entry.leave();
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    Entry entry("cudaEventDestroy");
    if (entry.refused()) {
        return entry.error();
    }
    const bool found =
        std::erase_if(device().events, [&](const auto& e) { return e.get() == reinterpret_cast<Event*>(handle); }) > 0;
    return entry.leave(found ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle) {
    Entry entry("cudaEventRecord");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    Event* event = find_event(event_handle);
    if (stream == nullptr || event == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    event->capture = stream->capture;
    event->nodes = stream->tail;
    event->mark = nullptr;
    if (stream->capture != nullptr) {
        return entry.leave();
    }
    event->mark = std::make_shared<Mark>();
    return entry.leave(enqueue(*stream, [mark = event->mark] {
        mark->reached = true;
        mark->seconds = now();
    }));
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    Entry entry("cudaEventQuery");
    if (entry.refused()) {
        return entry.error();
    }
    const Event* event = find_event(handle);
    if (event == nullptr || event->capture != nullptr) {
        return entry.leave(event == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorCapturedEvent);
    }
    work_a_little();
    return event->mark == nullptr || event->mark->reached ? entry.leave() : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    Entry entry("cudaEventSynchronize");
    if (entry.refused()) {
        return entry.error();
    }
    const Event* event = find_event(handle);
    if (event == nullptr || event->capture != nullptr) {
        return entry.leave(event == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorCapturedEvent);
    }
    ++device().counters.synchronisations;
    work_until([mark = event->mark] { return mark == nullptr || mark->reached; });
    return entry.leave();
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start_handle, cudaEvent_t end_handle) {
    Entry entry("cudaEventElapsedTime");
    if (entry.refused()) {
        return entry.error();
    }
    const Event* start = find_event(start_handle);
    const Event* end = find_event(end_handle);
    if (start == nullptr || end == nullptr || start->mark == nullptr || end->mark == nullptr || !start->timing ||
        !end->timing) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    if (!start->mark->reached || !end->mark->reached) {
        return cudaErrorNotReady;
    }
    *ms = static_cast<float>(1000.0 * (end->mark->seconds - start->mark->seconds));
    return entry.leave();
}

}  // namespace fer::emulated
